"""Every vectorised function equals a naive loop, on random ragged batches with rubbish in the masked entries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.advantages import naive, test_reference_sequence

from unsharpen import advantages, get_method
from unsharpen.advantages import TokenBatch, Transform

SEEDS = range(4)

ATOMS: list[tuple[str, dict[str, Any]]] = [
    ("subtract_group_mean", {}),
    ("subtract_group_mean", {"singleton": "keep"}),
    ("subtract_leave_one_out_mean", {}),
    ("divide_by_group_std", {}),
    ("divide_by_group_std", {"ddof": 0, "eps": 1e-6}),
    ("divide_by_group_std", {"of": "rewards"}),
    ("divide_by_group_std", {"of": "correct", "ddof": 0, "floor": 0.45, "eps": 0.0}),
    ("divide_by_group_std", {"of": "correct", "ddof": 1}),
    ("divide_by_group_std", {"singleton": "keep", "eps": 1e-6}),
    ("divide_by_batch_std", {}),
    ("divide_by_batch_std", {"ddof": 0, "eps": 0.5}),
    ("divide_by_group_mean", {}),
    ("divide_by_group_mean", {"eps": 0.3}),
    ("skip_uniform_groups", {}),
    *(
        ("differential_smoothing", {"gamma_p": p, "gamma_n": n, "length": length, "reference": reference})
        for p, n in ((0.3, 0.0), (0.0, 0.7), (0.2, 0.05))
        for length in ("mean", "sum")
        for reference in ("sampling", "base")
    ),
    ("differential_smoothing", {"gamma_p": 0.3, "gamma_n": 0.1}),
    *(
        ("entropy_smoothing", {"gamma": gamma, "length": length, "reference": reference})
        for gamma in (0.3, -0.2)
        for length in ("mean", "sum")
        for reference in ("sampling", "base")
    ),
    ("entropy_smoothing", {"gamma": 0.3}),
    ("centered_smoothing", {"kappa": 0.3}),
    ("centered_smoothing", {"kappa": 0.3, "clip": 0.8, "all_correct_weight": 0.25}),
    ("centered_smoothing", {"kappa": 0.3, "all_correct_weight": 1.0}),
    ("centered_smoothing", {"kappa": 0.3, "all_correct_weight": 0.5, "per_success": True}),
]


def identity(atom: tuple[str, dict[str, Any]]) -> str:
    return "-".join([atom[0], *(f"{k}={v}" for k, v in atom[1].items())])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("atom", ATOMS, ids=identity)
def test_an_atom_equals_the_loop(atom: tuple[str, dict[str, Any]], seed: int) -> None:
    name, arguments = atom
    fields = naive.random_fields(
        seed, binary=name == "divide_by_group_mean", least=2 if name == "subtract_leave_one_out_mean" else 1
    )
    x = np.where(fields["mask"], np.random.default_rng(100 + seed).normal(size=fields["mask"].shape), 0.0)
    transform: Transform = getattr(advantages, name)(**arguments)
    loop = getattr(naive, name)(**arguments)
    expected = naive.scattered(loop(naive.groups_of(fields, x)), fields["mask"])
    found = transform(x, naive.to_batch(fields))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_every_atom_is_compared() -> None:
    others = {"TokenBatch", "TokenTransform", "Transform", "chain", "spread_smoothing_over_tokens"}
    others.add("standardize_group")  # a chain of two atoms: the method "grpo", compared below
    others |= {"AnswerCounts", "ucb_bonus", "reward_rare_answers"}  # compared over several batches
    others |= {"add_entropy", "drop_covariant_tokens", "token_covariance"}  # of tokens: test_tokens.py
    others |= {"GammaSuggestion", "suggest_gammas"}  # advice, tested on its own
    assert set(advantages.__all__) - others == {name for name, _ in [*ATOMS, *test_reference_sequence.ATOMS]}


def standardised(ddof: int, eps: float) -> naive.Naive:
    return naive.chained(naive.subtract_group_mean(), naive.divide_by_group_std(ddof=ddof, eps=eps))


def binary_std() -> naive.Naive:
    return naive.divide_by_group_std(of="correct", ddof=0, eps=0.0, floor=0.25)


# The formulas of the catalogue, written from their equations. Note that DS forms that act after scaling and forms
# that act before it differ only in the order of the steps.
METHODS: dict[str, Callable[..., naive.Naive]] = {
    "grpo": standardised,
    "dr-grpo": naive.subtract_group_mean,
    "rloo": naive.subtract_leave_one_out_mean,
    "maxrl": lambda eps: naive.chained(naive.subtract_group_mean(), naive.divide_by_group_mean(eps=eps)),
    "grpo-low-lr": lambda ddof, eps, learning_rate_scale: standardised(ddof, eps),
    "grpo-kl": lambda ddof, eps, kl_coef: standardised(ddof, eps),
    "wise-ft": lambda ddof, eps, base_share: standardised(ddof, eps),
    "ds-grpo": lambda ddof, eps, **ds: naive.chained(
        standardised(ddof, eps), naive.differential_smoothing(length="mean", **ds)
    ),
    "ds-grpo-sum": lambda ddof, eps, **ds: naive.chained(
        standardised(ddof, eps), naive.differential_smoothing(length="sum", **ds)
    ),
    "ds-grpo-token": lambda ddof, eps, **ds: naive.chained(
        standardised(ddof, eps), naive.differential_smoothing(length="mean", **ds)
    ),
    "ds-grpo-reward": lambda **ds: naive.chained(naive.differential_smoothing(**ds), naive.subtract_group_mean()),
    "ds-grpo-centered": lambda **ds: naive.chained(
        naive.subtract_group_mean(), naive.centered_smoothing(**ds), binary_std()
    ),
    "ds-maxrl": lambda eps, **ds: naive.chained(
        naive.subtract_group_mean(),
        naive.divide_by_group_mean(eps=eps),
        naive.centered_smoothing(per_success=True, **ds),
    ),
    "ds-grpo-robust": lambda **ds: naive.chained(
        naive.differential_smoothing(**ds), naive.subtract_group_mean(), binary_std(), naive.skip_uniform_groups()
    ),
    "entropy-bonus-seq": lambda ddof, eps, **ds: naive.chained(standardised(ddof, eps), naive.entropy_smoothing(**ds)),
    "entropy-penalty-seq": lambda ddof, eps, gamma, length: naive.chained(
        standardised(ddof, eps), naive.entropy_smoothing(gamma=-gamma, length=length)
    ),
}
OTHER_COEFFICIENTS: list[tuple[str, dict[str, Any]]] = [
    ("grpo", {"ddof": 0, "eps": 1e-6}),
    ("maxrl", {"eps": 0.2}),
    ("ds-grpo", {"gamma_p": 0.4, "gamma_n": 0.1, "ddof": 0, "eps": 1e-6}),
    ("ds-grpo", {"gamma_p": 0.4, "reference": "base"}),
    ("ds-grpo-sum", {"gamma_p": 0.2, "gamma_n": 0.3, "ddof": 0, "eps": 0.01}),
    ("ds-grpo-sum", {"reference": "base"}),
    ("ds-grpo-token", {"gamma_p": 0.2, "gamma_n": 0.3, "ddof": 0, "eps": 0.01}),
    ("ds-grpo-reward", {"gamma_p": 0.2, "gamma_n": 0.3, "length": "sum", "reference": "base"}),
    ("ds-grpo-centered", {"kappa": 0.7, "clip": 0.8, "all_correct_weight": 0.0}),
    ("ds-maxrl", {"kappa": 0.7, "clip": 0.8, "all_correct_weight": 0.6, "eps": 0.2}),
    ("ds-grpo-robust", {"gamma_p": 0.3, "gamma_n": 0.2, "length": "mean", "reference": "base"}),
    ("entropy-bonus-seq", {"gamma": 0.3, "length": "mean", "ddof": 0, "eps": 0.01}),
    ("entropy-penalty-seq", {"gamma": 0.3, "length": "mean", "ddof": 0, "eps": 0.01}),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", [*((name, {}) for name in METHODS), *OTHER_COEFFICIENTS], ids=identity)
def test_a_method_equals_the_loop(case: tuple[str, dict[str, Any]], seed: int) -> None:
    name, coefficients = case
    fields = naive.random_fields(seed, binary=name in ("maxrl", "ds-maxrl"), least=2 if name == "rloo" else 1)
    method = get_method(name, **coefficients)
    expected = naive.scattered(METHODS[name](**method.coefficients)(naive.groups_of(fields)), fields["mask"])
    found = method.advantages(naive.to_batch(fields, *method.requires))  # with what it declares and no more
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_equal_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (6, 5)
    mask = rng.random(shape) < 0.6
    mask[0] = False  # a completion whose tokens are all masked
    mask[1:, 0] = True
    logprobs = np.where(mask, -rng.gamma(1.0, 2.0, shape), rng.choice([np.nan, -np.inf, 5.0], shape))
    correct = rng.random(6) < 0.5
    x = rng.normal(size=shape)
    found = advantages.spread_smoothing_over_tokens(gamma_p=0.3, gamma_n=0.2)(
        x, TokenBatch(logprobs=logprobs, mask=mask, correct=correct)
    )
    expected = naive.spread_over_tokens(
        x.tolist(), logprobs.tolist(), mask.tolist(), correct.tolist(), gamma_p=0.3, gamma_n=0.2
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
