"""Training on tables: the catalogue's own advantages, the exact expected step, and what runs show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.theory.instances import instance

from unsharpen import GroupBatch, Method, get_method, list_methods
from unsharpen.advantages import Transform, chain, differential_smoothing, divide_by_group_std, subtract_group_mean
from unsharpen.errors import InputError
from unsharpen.theory import (
    compare_methods,
    correct_mass,
    critical_gamma,
    effective_number,
    expected_grpo_update,
    expected_smoothed_update,
    shannon,
    shared_world,
    simulate,
    simulate_shared,
)

X = instance([0.25, 0.1, 0.05], [0.4, 0.2])


def logits(log_policy: np.ndarray, log_base: np.ndarray) -> np.ndarray:
    moved = log_policy - log_base
    return moved - moved.mean(axis=-1, keepdims=True)


def first_steps(method: str | Method, prompts: int = 20_000, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of one step's logits, over independent copies of X."""
    run = simulate(np.tile(X.log_base, (prompts, 1)), X.correct, method, group_size=8, steps=1, **options)
    moved = logits(run.log_policy, X.log_base)
    return moved.mean(0), moved.std(0) / np.sqrt(prompts)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("grpo", expected_grpo_update(*X, group_size=8, ddof=1, eps=1e-4)),
        ("dr-grpo", expected_grpo_update(*X, group_size=8, scale="none")),
        (
            get_method("ds-grpo-reward", gamma_p=0.2, gamma_n=0.1),
            expected_smoothed_update(*X, gamma_p=0.2, gamma_n=0.1, group_size=8),
        ),
        (
            get_method("ds-grpo-sum", gamma_p=0.2, ddof=0, eps=1e-9),
            expected_smoothed_update(*X, gamma_p=0.2, group_size=8, stage="advantage"),
        ),
    ],
    ids=["grpo", "dr-grpo", "reward", "advantage"],
)
def test_one_step_is_the_expected_update(method: Any, expected: np.ndarray) -> None:
    mean, error = first_steps(method, learning_rate=0.5)
    assert (np.abs(mean - 0.5 * expected) < 4.5 * error).all()
    assert error.max() < 0.05 * np.abs(expected).max()


def test_engine_settings_act() -> None:
    mean, error = first_steps("grpo-low-lr")
    expected = 0.3 * expected_grpo_update(*X, group_size=8, ddof=1, eps=1e-4)
    assert (np.abs(mean - expected) < 4.5 * error).all()
    # the KL pull is 0 at the base, and later holds the policy back
    free, held = (
        simulate(*X, get_method("grpo-kl", kl_coef=coef), steps=300, learning_rate=0.3) for coef in (0.0, 0.5)
    )
    assert held.pass_at(1)[-1, 0] < 0.99 < free.pass_at(1)[-1, 0]


def test_the_kl_term_by_hand() -> None:
    """At the base it is 0, so one step of GRPO leads away; a second one without advantages is the KL term alone."""
    grpo = get_method("grpo-kl", kl_coef=0.5)

    def once(steps: int) -> np.ndarray:
        seen: list[Any] = []

        def apply(advantages: Any, batch: GroupBatch) -> Any:
            seen.append(batch)
            return grpo.recipe.transform(advantages, batch) * (len(seen) == 1)

        method = replace(grpo, recipe=replace(grpo.recipe, transform=Transform("once", apply)))
        return np.asarray(simulate(*X, method, steps=steps, learning_rate=0.8).log_policy[0])

    before, after = once(1), once(2)
    pi, gap = np.exp(before), before - X.log_base
    assert np.abs(gap).max() > 0.05
    step = -0.8 * 0.5 * pi * (gap - pi @ gap)  # minus the gradient of sum pi (log pi - log p)
    np.testing.assert_allclose(logits(after, before), step - step.mean(), atol=1e-12)


@pytest.mark.parametrize("name", ["ucb", "ucb-mean", "ucb-con"])
def test_what_a_method_saw_in_one_world_reaches_no_other(name: str) -> None:
    method = get_method(name, coef=1.0)
    assert method.memory is not None
    one, two = (simulate(*X, method, steps=30) for _ in range(2))
    np.testing.assert_array_equal(one.log_policy, two.log_policy)
    np.testing.assert_array_equal(simulate(*X, get_method(name, coef=1.0), steps=30).log_policy, one.log_policy)
    assert method.memory.state_dict() == {"counts": {}}

    methods = {"grpo": get_method("grpo"), "one": method, "again": method}
    _, first, again = compare_methods(methods, multiplicity="high", seeds=2, steps=20)
    assert first.pass_at == again.pass_at
    fresh = []
    for seed in range(2):
        world = shared_world(multiplicity="high", seed=seed)
        run = simulate_shared(
            world.log_base,
            world.correct,
            get_method(name, coef=1.0),
            types=world.types,
            held_out=world.held_out,
            steps=20,
            seed=seed,
        )
        fresh.append(run.pass_at(8)[-1, world.held_out].mean())
    assert first.pass_at[8].value == pytest.approx(np.mean(fresh), abs=1e-15)


def test_a_setting_that_a_table_cannot_stand_for_is_refused() -> None:
    method = get_method("grpo")
    odd = replace(method, recipe=replace(method.recipe, settings={"entropy_coef": 0.1}))
    with pytest.raises(InputError, match="can't stand for the engine setting entropy_coef of method 'grpo'"):
        simulate(*X, odd, steps=1)


def test_tokens_and_losses_are_no_part_of_a_table() -> None:
    for name, words in (
        ("entropy-advantage", "token step `add_entropy`"),
        ("epo", "loss term `hold_entropy_window`"),
        ("rover", "loss term `value_uniform_policy`"),
        ("dph", "engine setting clip_high, clip_low"),
    ):
        with pytest.raises(InputError, match=f"a table can't stand for the {words} of method '{name}'"):
            simulate(*X, name, steps=1)


@pytest.mark.parametrize("name", list_methods())
def test_every_method_of_the_catalogue_trains_or_says_why_not(name: str) -> None:
    method = get_method(name)
    step = method.recipe.token_transform
    at_loss = set(method.beyond_advantages) - {"token step"} or (step is not None and step.stage == "loss")
    if set(method.recipe.settings) - {"learning_rate_scale", "kl_coef", "loss"} or at_loss:
        with pytest.raises(InputError, match="a table can't stand for the"):
            simulate(*X, method, steps=1)
        return
    run = simulate(*X, method, steps=20, every=20)
    assert np.isfinite(run.log_policy).all()
    assert np.exp(run.log_policy).sum() == pytest.approx(1)
    assert not np.array_equal(run.log_policy[0], X.log_base)


def test_records() -> None:
    run = simulate(*X, "grpo", steps=25, every=10)
    assert run.steps.tolist() == [0, 10, 20, 25]
    assert run.pass_at(1)[0, 0] == pytest.approx(float(correct_mass(*X)))
    assert run.pass_at(8)[0, 0] == pytest.approx(1 - 0.6**8)
    assert run.effective[-1, 0] == pytest.approx(float(effective_number(run.log_policy, X.correct)[0]))
    assert run.entropy[-1, 0] == pytest.approx(float(shannon(run.log_policy, X.correct)[0]))
    again = simulate(*X, "grpo", steps=25, every=10)
    np.testing.assert_array_equal(again.log_policy, run.log_policy)
    other = simulate(*X, "grpo", steps=25, every=10, seed=1)
    assert not np.array_equal(other.log_policy, run.log_policy)


def test_prompts_of_a_type_share_what_is_learned() -> None:
    log_base, correct = np.tile(X.log_base, (3, 1)), np.tile(X.correct, (3, 1))
    run = simulate_shared(log_base, correct, "grpo", types=[7, 7, 3], held_out=np.array([False, True, False]), steps=50)
    moved = logits(run.log_policy, log_base)
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-12)
    assert not np.allclose(moved[2], moved[0])
    assert run.held_out.tolist() == [False, True, False]


def test_worlds() -> None:
    for multiplicity, valid in (("low", 3), ("medium", 8), ("high", 16)):
        world = shared_world(multiplicity=multiplicity, seed=3)  # type: ignore[arg-type]
        assert world.correct.shape == (320, 32)
        assert world.correct.any(axis=1).all()
        for kind in range(8):
            ever = world.correct[world.types == kind].any(axis=0)
            assert ever.sum() == valid
    assert not np.array_equal(shared_world(seed=0).correct, shared_world(seed=1).correct)


# ------------------------------------------------------------------------------ what the simulations show


def test_grpo_collapses_and_smoothing_does_not() -> None:
    start = np.tile(X.log_base, (50, 1))
    grpo, smooth = (
        simulate(start, X.correct, method, steps=400)
        for method in ("grpo", get_method("ds-grpo-centered", kappa=0.4, all_correct_weight=0.25))
    )
    assert grpo.pass_at(1)[-1].mean() > 0.99 < smooth.pass_at(1)[-1].mean()
    assert grpo.effective[-1].mean() < 1.6 < grpo.effective[0].mean()
    assert smooth.effective[-1].mean() > grpo.effective[-1].mean() + 0.8


def test_a_small_gamma_acts_late() -> None:
    """Class-centred gamma .2: H(q) falls while gamma* > .2, that is until 1 - C is about .2, then rises."""
    log_pi, gamma, seen = X.log_base, 0.2, []
    for _ in range(1000):
        u = np.where(
            X.correct, log_pi - (np.exp(log_pi) * log_pi)[X.correct].sum() / np.exp(log_pi)[X.correct].sum(), 0
        )
        reward = X.correct - gamma * u
        log_pi = log_pi + np.exp(log_pi) * (reward - np.exp(log_pi) @ reward)
        log_pi = log_pi - np.logaddexp.reduce(log_pi)
        seen.append((float(shannon(log_pi, X.correct)), float(critical_gamma(log_pi, X.correct))))
    entropies, thresholds = map(np.asarray, zip(*seen, strict=True))
    turn = int(entropies.argmin())
    assert 0 < turn < 999
    assert thresholds[turn] == pytest.approx(gamma, abs=0.02)
    assert entropies[-1] > entropies[0] > entropies[turn]


def test_a_shaped_reward_through_its_own_std_is_discontinuous_at_gamma_zero() -> None:
    """An all-correct group: unit-size advantages at any gamma > 0, none at 0. The robust form has none either."""
    batch = GroupBatch(rewards=[[1.0] * 4], correct=[[True] * 4], logprobs=[[-1.0, -2.0, -3.0, -4.0]])
    for gamma in (1e-3, 1e-6):
        naive = chain(
            differential_smoothing(gamma_p=gamma, gamma_n=0.0, length="sum"),
            subtract_group_mean(),
            divide_by_group_std(ddof=0, eps=1e-12),
        )
        assert naive(batch.rewards, batch).std() == pytest.approx(1, rel=1e-4)
    assert not get_method("ds-grpo-robust").advantages(batch).any()
    assert not get_method("grpo").advantages(batch).any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"types": [0, 0]}, r"found shapes \(3, 5\), \(2,\) and \(3,\)"),
        ({"types": [0.5, 0.0, 0.0]}, "types must be integers"),
        ({"held_out": [0, 0, 1]}, "held_out bool"),
        ({"held_out": [False, False, True]}, "type 1 has none"),
        ({"group_size": 0}, "group_size must be a whole number of at least 1"),
        ({"steps": -1}, "steps must be a whole number of at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and above 0"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_refuses(change: dict[str, Any], match: str) -> None:
    options: dict[str, Any] = {"types": [0, 0, 1], "held_out": [False, True, False], "steps": 1, **change}
    with pytest.raises(InputError, match=match):
        simulate_shared(np.tile(X.log_base, (3, 1)), np.tile(X.correct, (3, 1)), "grpo", **options)


def test_steps_that_overflow_are_an_error() -> None:
    with pytest.raises(InputError, match="the table of logits overflows"):
        simulate(*X, get_method("ds-grpo-sum", gamma_p=1e3), learning_rate=1e308, steps=50)
    method = get_method("ucb", coef=1e300)
    with pytest.raises(InputError, match="the table of logits overflows"):
        simulate(*X, method, learning_rate=1e308, steps=50)
    assert method.memory is not None
    assert method.memory.state_dict() == {"counts": {}}
