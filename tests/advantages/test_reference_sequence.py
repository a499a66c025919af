"""The sequence-level functions and methods equal naive loops, on random ragged batches with rubbish where masked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.advantages import naive, naive_sequence

from unsharpen import advantages, get_method
from unsharpen.advantages import AnswerCounts, Transform

SEEDS = range(4)
BINARY = {"credit_pass_at_k", "credit_by_sign", "pass-at-k", "w-reinforce", "psr", "nsr"}

ATOMS: list[tuple[str, dict[str, Any]]] = [
    ("discount_likely", {}),
    ("discount_likely", {"beta": 0.9}),
    ("favour_unlikely_correct", {}),
    ("favour_unlikely_correct", {"tau": 1.0}),
    ("scale_by_distinctness", {}),
    ("scale_by_distinctness", {"floor": 0.4}),
    ("scale_by_distinctness", {"cluster": "embeddings", "threshold": 0.3}),
    ("reward_even_answers", {}),
    ("divide_by_answer_frequency", {}),
    ("divide_by_answer_frequency", {"floor": 0.5}),
    ("discount_similar", {}),
    ("reward_majority_and_novelty", {}),
    *(("credit_pass_at_k", {"k": k}) for k in (1, 2, 3, 4, 5)),
    ("credit_pass_at_k", {"k": 2, "eps": 0.3}),
    *(("credit_max_at_k", {"k": k}) for k in (2, 3, 4, 5)),
    ("credit_best", {}),
    ("credit_best", {"scale": "none"}),
    ("credit_best", {"ddof": 0, "eps": 0.1}),
    ("penalize_repeats", {"coef": 0.3}),
    ("weigh_by_difficulty", {}),
    ("weigh_by_difficulty", {"gamma": 2.0}),
    ("seek_risk", {}),
    ("seek_risk", {"beta": 0.0}),
    ("seek_risk", {"beta": 7.0}),
    ("credit_by_sign", {"correct": 0.1, "wrong": 1.0}),
    ("weigh_by_entropy", {"alpha": 0.5, "temperature": 0.7}),
    ("divide_by_relative_entropy", {}),
    ("divide_by_relative_entropy", {"max_weight": 1.2}),
    ("level_correct_modes", {"beta": 0.1}),
    ("punish_overlong", {}),
    ("punish_overlong", {"penalty": 0.3, "share": 0.7}),
]


def least_completions(name: str, k: int | None) -> int:
    return 2 if name in ("credit_best", "best-of-k") else max(k or 1, 1)


def identity(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items())])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("atom", ATOMS, ids=identity)
def test_an_atom_equals_the_loop(atom: tuple[str, dict[str, Any]], seed: int) -> None:
    name, arguments = atom
    default = 4 if name in ("credit_pass_at_k", "credit_max_at_k") else None
    least = least_completions(name, arguments.get("k", default))
    fields = naive.random_fields(seed, binary=name in BINARY, least=least)
    x = np.where(fields["mask"], np.random.default_rng(100 + seed).normal(size=fields["mask"].shape).round(1), 0.0)
    transform: Transform = getattr(advantages, name)(**arguments)
    loop = getattr(naive_sequence, name)(**arguments)
    expected = naive.scattered(loop(naive.groups_of(fields, x)), fields["mask"])
    found = transform(x, naive.to_batch(fields))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("arguments", [{}, {"center": "mean"}, {"offset": 0.5}, {"center": "mean", "offset": 0.3}])
def test_the_history_equals_the_loop(arguments: dict[str, Any]) -> None:
    transform = advantages.reward_rare_answers(AnswerCounts(), coef=0.3, **arguments)
    history: Counter[tuple[int, int]] = Counter()
    loop = naive_sequence.reward_rare_answers(history, coef=0.3, **arguments)
    for seed in range(5):  # the prompts come again with every batch, the answers mostly
        fields = naive.random_fields(seed)
        x = np.where(fields["mask"], np.random.default_rng(seed).normal(size=fields["mask"].shape), 0.0)
        expected = naive.scattered(loop(naive.groups_of(fields, x)), fields["mask"])
        np.testing.assert_allclose(transform(x, naive.to_batch(fields)), expected, rtol=1e-12, atol=1e-12)
    assert max(history.values()) > 4


def standardised(ddof: int, eps: float) -> naive.Naive:
    return naive.chained(naive.subtract_group_mean(), naive.divide_by_group_std(ddof=ddof, eps=eps))


def shaped(step: Callable[..., naive.Naive]) -> Callable[..., naive.Naive]:
    """A step on the rewards, then GRPO."""
    return lambda ddof, eps, **own: naive.chained(step(**own), standardised(ddof, eps))


def after(step: Callable[..., naive.Naive]) -> Callable[..., naive.Naive]:
    """GRPO, then a step on the advantages."""
    return lambda ddof, eps, **own: naive.chained(standardised(ddof, eps), step(**own))


def robust(focal: float, **own: Any) -> naive.Naive:
    floored = naive.divide_by_group_std(of="correct", ddof=0, eps=0.0, floor=0.25)
    smooth = naive.differential_smoothing(**own)
    steps = (smooth, naive.subtract_group_mean(), floored, naive.skip_uniform_groups())
    return naive.chained(*steps, naive_sequence.weigh_by_difficulty(gamma=focal))


def ucb(ddof: int, eps: float, **own: Any) -> naive.Naive:
    return naive.chained(standardised(ddof, eps), naive_sequence.reward_rare_answers(Counter(), **own))


METHODS: dict[str, Callable[..., naive.Naive]] = {
    "unlikeliness": shaped(naive_sequence.discount_likely),
    "ucpo": after(naive_sequence.favour_unlikely_correct),
    "darling": lambda **own: naive.chained(naive_sequence.scale_by_distinctness(**own), naive.subtract_group_mean()),
    "gapo": shaped(naive_sequence.reward_even_answers),
    "ips": shaped(naive_sequence.divide_by_answer_frequency),
    "dra-grpo": shaped(naive_sequence.discount_similar),
    "evol-rl": shaped(naive_sequence.reward_majority_and_novelty),
    "pass-at-k": naive_sequence.credit_pass_at_k,
    "pkpo": naive_sequence.credit_max_at_k,
    "best-of-k": naive_sequence.credit_best,
    "f-grpo": after(naive_sequence.weigh_by_difficulty),
    "rs-grpo": naive_sequence.seek_risk,
    "w-reinforce": lambda weight: naive_sequence.credit_by_sign(correct=weight, wrong=1.0),
    "psr": lambda: naive_sequence.credit_by_sign(correct=1.0, wrong=0.0),
    "nsr": lambda: naive_sequence.credit_by_sign(correct=0.0, wrong=1.0),
    "ucb": ucb,
    "ucb-mean": lambda **own: ucb(center="mean", **own),
    "ucb-con": ucb,
    "batch-exploration": after(naive_sequence.penalize_repeats),
    "egsw": after(naive_sequence.weigh_by_entropy),
    "edge-grpo": lambda guided, max_weight, **own: after(
        lambda: naive_sequence.divide_by_relative_entropy(max_weight=max_weight)
    )(**own),
    "mara": lambda beta: naive.chained(naive_sequence.level_correct_modes(beta=beta), naive.subtract_group_mean()),
    "ds-grpo-f": robust,
}
OTHER_COEFFICIENTS: list[tuple[str, dict[str, Any]]] = [
    ("unlikeliness", {"beta": 0.8, "ddof": 0, "eps": 1e-6}),
    ("ucpo", {"tau": 0.7, "ddof": 0, "eps": 1e-8}),
    ("darling", {"cluster": "embeddings", "threshold": 0.5, "floor": 0.2}),
    ("gapo", {"ddof": 0, "eps": 0.1}),
    ("ips", {"floor": 0.4, "ddof": 0}),
    ("pass-at-k", {"k": 2, "eps": 0.1}),
    ("pkpo", {"k": 2}),
    ("best-of-k", {"scale": "none"}),
    ("f-grpo", {"gamma": 1.5}),
    ("rs-grpo", {"beta": 0.5}),
    ("w-reinforce", {"weight": 0.7}),
    ("ucb-con", {"coef": 0.7, "offset": 1.0}),
    ("egsw", {"alpha": 2.0, "temperature": 3.0}),
    ("mara", {"beta": 0.3}),
    ("ds-grpo-f", {"gamma_p": 0.3, "gamma_n": 0.2, "length": "mean", "focal": 0.5}),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", [*((name, {}) for name in METHODS), *OTHER_COEFFICIENTS], ids=identity)
def test_a_method_equals_the_loop(case: tuple[str, dict[str, Any]], seed: int) -> None:
    name, coefficients = case
    method = get_method(name, **coefficients)
    least = least_completions(name, method.coefficients.get("k"))
    fields = naive.random_fields(seed, binary=name in BINARY, least=least)
    expected = naive.scattered(METHODS[name](**method.coefficients)(naive.groups_of(fields)), fields["mask"])
    found = method.advantages(naive.to_batch(fields, *method.requires))  # with what it declares and no more
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
