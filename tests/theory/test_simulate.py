"""Training on tables: the catalogue's own advantages, the exact expected step, and what the worlds show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.theory.instances import instance

from unsharpen import GroupBatch, Method, get_method, list_methods
from unsharpen.advantages import Transform, chain, differential_smoothing, divide_by_group_std, subtract_group_mean
from unsharpen.catalogue.recipe import Recipe
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
from unsharpen.theory.compare import _student

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


def with_outliers(method: Method, share: float = 0.02, nats: float = -500.0) -> Method:
    """The same method, fed log-probs of which a few are far off."""
    rng = np.random.default_rng(0)
    inner = method.recipe.transform

    def apply(advantages: Any, batch: GroupBatch) -> Any:
        off = rng.random(batch.rewards.shape) < share
        return inner(advantages, replace(batch, logprobs=batch.logprobs + nats * off))

    return replace(method, recipe=Recipe(Transform("outliers", apply, inner.requires)))


def test_outliers_switch_the_centred_form_off() -> None:
    """2 % of the log-probs 500 nats too low: the clip bounds the harm, but they blow up the batch scale.

    What is left is GRPO: nothing is lost at Pass@1 and nothing gained at Pass@8.
    """
    centered = get_method("ds-grpo-centered")
    methods = {"grpo": get_method("grpo"), "clean": centered, "outliers": with_outliers(centered)}
    _, clean, noisy = compare_methods(methods, multiplicity="high", seeds=3, steps=150)
    assert clean.gain[8].value > 0.1
    assert abs(noisy.gain[8].value) < 0.03
    assert abs(noisy.gain[1].value) < 0.03


def test_smoothing_beats_grpo_at_pass_at_8_where_solutions_are_many() -> None:
    grpo, robust = compare_methods(["grpo", "ds-grpo-robust"], multiplicity="high", seeds=3, steps=150)
    assert robust.gain[8].low > 0.03
    assert robust.gain[1].high > 0  # and nothing is lost
    assert grpo.gain[8].value == 0
    assert grpo.curves[1].shape == grpo.steps.shape


def test_tying_gamma_n_hurts_where_prompts_are_hard() -> None:
    methods = {"grpo": get_method("grpo"), "tied": get_method("ds-grpo-sum", gamma_p=0.3, gamma_n=0.3)}
    _, tied = compare_methods(methods, multiplicity="low", seeds=3, steps=100)
    assert tied.gain[1].value < -0.05
    assert tied.gain[8].value < -0.05


def test_student_quantiles() -> None:
    """From printed tables."""
    for dof, expected in ((1, 12.706), (2, 4.303), (4, 2.776), (19, 2.093)):
        assert _student(dof) == pytest.approx(expected, abs=2e-3)


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


def test_compare_refuses() -> None:
    with pytest.raises(InputError, match="at least 1 method"):
        compare_methods([])
    with pytest.raises(InputError, match="seeds must be a whole number of at least 2, found 1"):
        compare_methods(["grpo"], seeds=1)
    with pytest.raises(InputError, match="multiplicity must be one of 'low', 'medium', 'high'; found 'huge'"):
        compare_methods(["grpo"], multiplicity="huge")  # type: ignore[arg-type]
