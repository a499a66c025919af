"""Known failures: what is said, what is not, and that the simulations bear it out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from unsharpen import GroupBatch, Method, get_method, list_methods, suggest_gammas
from unsharpen.advantages import chain, differential_smoothing, divide_by_group_std, subtract_group_mean
from unsharpen.catalogue.recipe import Recipe
from unsharpen.cli.options import quiet_libraries
from unsharpen.engines._warnings import (
    FailureWatch,
    known_failures,
    loud_wrong_groups,
    rewards_differ,
    too_much_smoothing,
)
from unsharpen.errors import UnsharpenWarning
from unsharpen.theory import simulate

from .conftest import Make, countdown_reward


def through_its_own_std(gamma_n: float) -> Method:
    """The shaped reward, standardised: what a reader of the paper might write."""
    smooth = differential_smoothing(gamma_p=0.2, gamma_n=gamma_n, length="sum")
    recipe = Recipe(chain(smooth, subtract_group_mean(), divide_by_group_std()))
    return Method("own-std", {"gamma_p": 0.2, "gamma_n": gamma_n}, recipe, "", "", "")


FAILING = {
    "own std": through_its_own_std(0.05),
    "sum": get_method("ds-grpo-sum", gamma_p=0.3, gamma_n=0.3),
    "reward": get_method("ds-grpo-reward", gamma_p=0.2, gamma_n=0.2, length="sum"),
}
SAFE = {
    "own std": through_its_own_std(0.0),
    "sum": get_method("ds-grpo-sum", gamma_p=0.3, gamma_n=0.07),
    "reward": get_method("ds-grpo-reward", gamma_p=0.2, gamma_n=0.0, length="sum"),
    "skips": get_method("ds-grpo-robust", gamma_p=0.2, gamma_n=0.2),
}


@pytest.fixture(scope="module")
def hard_prompts() -> tuple[np.ndarray, np.ndarray]:
    """32 prompts that the base solves in 2 % of its tries."""
    rng = np.random.default_rng(0)
    logits, flags = rng.normal(scale=1.5, size=(32, 24)), np.tile(np.arange(24) < 6, (32, 1))
    for mass, members in ((0.02, flags), (0.98, ~flags)):
        part = np.where(members, logits, -np.inf)
        logits = np.where(members, np.log(mass) + part - np.logaddexp.reduce(part, axis=1, keepdims=True), logits)
    return logits, flags


def lost(method: Method, prompts: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of the prompts whose Pass@1 has halved after training."""
    run = simulate(*prompts, method, steps=150, every=150, group_size=8)
    return float((run.pass_at(1)[-1] < run.pass_at(1)[0] / 2).mean())


@pytest.mark.parametrize("name", FAILING)
def test_what_fails_is_said_and_fails(name: str, hard_prompts: tuple[np.ndarray, np.ndarray]) -> None:
    (text,) = known_failures(FAILING[name], kl_coef=0.0)
    assert "hard prompts lose their Pass@1" in text
    assert lost(FAILING[name], hard_prompts) > 0.25


@pytest.mark.parametrize("name", SAFE)
def test_what_is_safe_is_not_said_and_holds(name: str, hard_prompts: tuple[np.ndarray, np.ndarray]) -> None:
    assert known_failures(SAFE[name], kl_coef=0.0) == []
    assert lost(SAFE[name], hard_prompts) <= 1 / 32  # a quarter of gamma_p costs one prompt


@pytest.mark.parametrize("name", list_methods())
def test_no_default_is_a_known_failure(name: str) -> None:
    assert known_failures(get_method(name), kl_coef=0.0) == []


@pytest.mark.parametrize(
    ("coefficients", "kl_coef", "said"),
    [
        ({}, 0.0, "without a KL term"),
        ({}, 0.1, "rarest correct completions"),
        ({}, 0.5, None),
        ({"reference": "sampling"}, 0.0, None),
        ({"gamma_p": 0.0}, 0.0, None),
    ],
)
def test_a_frozen_reference(coefficients: dict[str, Any], kl_coef: float, said: str | None) -> None:
    method = get_method("ds-grpo-sum", **{"gamma_p": 0.3, "reference": "base", **coefficients})
    texts = known_failures(method, kl_coef=kl_coef)
    assert len(texts) == (said is not None)
    assert all(said in text for text in texts if said)


def test_a_frozen_reference_per_token_is_measured_otherwise() -> None:
    assert known_failures(get_method("ds-grpo", gamma_p=0.3, reference="base"), kl_coef=0.1) == []


def long_text(*, groups: int = 16, wrong: bool = False) -> GroupBatch:
    """Completions of 400 tokens whose log-probs differ by 20 nats; the last groups may be all wrong."""
    rng = np.random.default_rng(0)
    correct = np.tile(np.arange(8) < 3, (groups, 1))
    if wrong:
        correct[-2:] = False
    logprobs = -200 + rng.normal(scale=20, size=correct.shape)
    return GroupBatch(
        rewards=correct.astype(float), correct=correct, logprobs=logprobs, lengths=np.full(correct.shape, 400)
    )


def test_summed_log_probs_of_long_text_are_measured() -> None:
    batch = long_text()
    text = too_much_smoothing(get_method("ds-grpo-sum", gamma_p=0.3), batch)
    assert text is not None
    # about 20 nats * .3 = 6 against a lead of (1 - 3/8) / std = 1.2
    found = suggest_gammas(batch.logprobs, batch.correct)
    assert f"by {0.3 * found.spread / found.scaled_lead:.2g} times" in text
    assert f"gamma_p={found.sum:.2g}, found 0.3" in text
    assert found.sum == pytest.approx(0.25 * 1.2 / 20, rel=0.25)
    for method in (get_method("ds-grpo-sum", gamma_p=0.015), get_method("ds-grpo", gamma_p=0.3), get_method("grpo")):
        assert too_much_smoothing(method, batch) == ""
    assert too_much_smoothing(get_method("ds-grpo-robust", gamma_p=0.2), batch) != ""
    assert too_much_smoothing(get_method("ds-grpo-robust", gamma_p=0.2, length="mean"), batch) == ""


def test_a_small_or_uniform_batch_tells_nothing() -> None:
    method = get_method("ds-grpo-sum", gamma_p=50.0)
    assert too_much_smoothing(method, long_text(groups=7)) is None  # 14 comparisons
    none = GroupBatch(rewards=[[0.0, 0.0]], correct=[[False, False]], logprobs=[[-1.0, -2.0]])
    assert too_much_smoothing(method, none) is None
    without = GroupBatch(rewards=[[1.0, 1.0]], correct=[[True, True]])
    assert too_much_smoothing(get_method("ds-grpo-sum", reference="base"), without) == ""


def test_loud_wrong_groups_are_measured() -> None:
    batch, plain = long_text(wrong=True), get_method("grpo").advantages(long_text(wrong=True))

    def said(gamma_n: float, batch: GroupBatch = batch) -> str | None:
        method = get_method("ds-grpo", gamma_p=0.0, gamma_n=gamma_n)
        return loud_wrong_groups(method, batch, method.advantages(batch), plain)

    # mean log-prob -.5, so advantages of about -.5 gamma_n; those of plain GRPO: (3 * 1.21 + 5 * .72) / 8 = .9
    assert said(0.05) == ""
    text = said(2.0)
    assert text is not None
    assert "1.1 times" in text
    assert said(2.0, long_text()) is None
    assert said(0.0, long_text()) == ""


def test_each_thing_is_said_once() -> None:
    method = get_method("ds-grpo-sum", gamma_p=3.0, gamma_n=3.0)
    batch = long_text(wrong=True)
    arguments = batch, method.advantages(batch), get_method("grpo").advantages(batch)
    with pytest.warns(UnsharpenWarning) as construction:
        watch = FailureWatch(method, kl_coef=0.0)
    assert len(construction) == 1
    with pytest.warns(UnsharpenWarning) as first:
        watch(*arguments)
    assert len(first) == 2
    watch(*arguments)  # warnings are errors
    FailureWatch(method, kl_coef=0.0, speaks=False)(*arguments)


def test_negative_rewards_of_a_method_that_multiplies_them() -> None:
    batch = GroupBatch(rewards=np.array([[1.0, -1.0]]), correct=np.array([[True, False]]))
    plain = np.array([[0.7, -0.7]])
    for name in ("unlikeliness", "ips", "dra-grpo"):
        watch = FailureWatch(get_method(name), kl_coef=0.0)
        with pytest.warns(UnsharpenWarning, match=f"{name}: it multiplies rewards"):
            watch(batch, plain, plain)
        watch(batch, plain, plain)  # once; warnings are errors
    FailureWatch(get_method("grpo"), kl_coef=0.0)(batch, plain, plain)


def test_rewards_that_differ_while_nothing_is_correct() -> None:
    def batch(*rewards: float, correct: bool = False) -> GroupBatch:
        return GroupBatch(rewards=np.array([[0.0, 0.0], rewards]), correct=np.array([[False] * 2, [correct, False]]))

    form, same, plain = batch(0.1, 0.0), batch(0.1, 0.1), np.zeros((2, 2))
    watch = FailureWatch(get_method("grpo"), kl_coef=0.0)
    for _ in range(19):
        watch(form, plain, plain)  # warnings are errors
        watch(same, plain, plain)  # nothing to go wrong
    with pytest.warns(
        UnsharpenWarning, match=r"correct in 20 batches whose rewards differ .*correct_threshold .*corre"
    ):
        watch(form, plain, plain)
    watch(form, plain, plain)  # once
    watch = FailureWatch(get_method("grpo"), kl_coef=0.0)
    watch(batch(1.0, 0.0, correct=True), plain, plain)
    for _ in range(30):
        watch(form, plain, plain)


def test_absent_completions_do_not_differ() -> None:
    absent = GroupBatch(rewards=[[1.0, 0.0]], correct=[[False, False]], mask=[[True, False]])
    assert not rewards_differ(absent)
    assert rewards_differ(GroupBatch(rewards=[[1.0, 0.0]], correct=[[False, False]]))


def test_a_threshold_that_nothing_reaches_is_said(make_trainer: Make) -> None:
    def percent(completions: list[str], **kwargs: Any) -> list[float]:
        return [score / 100 for score in countdown_reward(completions, **kwargs)]

    trainer = make_trainer("dapo", reward_funcs=percent, max_steps=30)
    with pytest.warns(UnsharpenWarning, match="dapo: no completion was correct in 20 batches"):
        trainer.train()


def test_the_trainer_warns(make_trainer: Make) -> None:
    with pytest.warns(UnsharpenWarning, match="gamma_n 13 acts on summed") as said:
        trainer = make_trainer(
            get_method("ds-grpo-sum", gamma_p=50.0, gamma_n=13.0),
            per_device_train_batch_size=96,
            num_generations=16,
            max_steps=1,
        )
    (ours,) = (warning for warning in said if warning.category is UnsharpenWarning)
    assert ours.filename.endswith("conftest.py")  # where the trainer is made
    with pytest.warns(UnsharpenWarning, match="suggest_gammas gives"):
        trainer.train()


def test_the_command_shows_warnings_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    quiet_libraries()
    warnings.warn("chatter", FutureWarning, stacklevel=1)
    FailureWatch(FAILING["sum"], kl_coef=0.0)
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.startswith("warning: ds-grpo-sum: gamma_n 0.3 acts")
    assert shown.err.count("\n") == 1
