"""What users build on, frozen: names, parameters, defaults. A change here is a change for them: see CHANGELOG.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import unsharpen
from unsharpen import GroupBatch, Method, advantages, get_method, list_methods, metrics
from unsharpen.advantages import TokenBatch, Transform
from unsharpen.methods import default_coefficients


def test_exported_names() -> None:
    assert sorted(unsharpen.__all__) == ["GroupBatch", "Method", "__version__", "get_method", "list_methods"]
    assert sorted(advantages.__all__) == [
        "TokenBatch",
        "TokenTransform",
        "Transform",
        "centered_smoothing",
        "chain",
        "differential_smoothing",
        "divide_by_batch_std",
        "divide_by_group_mean",
        "divide_by_group_std",
        "entropy_smoothing",
        "skip_uniform_groups",
        "spread_smoothing_over_tokens",
        "standardize_group",
        "subtract_group_mean",
        "subtract_leave_one_out_mean",
    ]
    assert sorted(metrics.__all__) == [
        "Crossover",
        "DiversitySummary",
        "Interval",
        "bootstrap_mean",
        "bootstrap_over_seeds",
        "crossover",
        "default_ks",
        "distinct",
        "diversity_summary",
        "effective_number",
        "entropy_number",
        "expected_distinct",
        "paired_bootstrap_difference",
        "pairwise_diversity",
        "pass_at_k",
        "pass_at_k_curve",
    ]


@pytest.mark.parametrize("module", [unsharpen, advantages, metrics])
def test_every_exported_name_exists(module: Any) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


# Methods may be added, never renamed or removed.
METHODS = [
    "grpo",
    "dr-grpo",
    "rloo",
    "maxrl",
    "grpo-low-lr",
    "grpo-kl",
    "ds-grpo",
    "ds-grpo-sum",
    "ds-grpo-token",
    "ds-grpo-reward",
    "ds-grpo-centered",
    "ds-grpo-robust",
    "entropy-bonus-seq",
    "entropy-penalty-seq",
]
# Changing a default changes what a published command trains.
DEFAULTS: dict[str, dict[str, Any]] = {
    "grpo": {"ddof": 1, "eps": 1e-4},
    "dr-grpo": {},
    "rloo": {},
    "maxrl": {"eps": 1e-6},
    "grpo-low-lr": {"learning_rate_scale": 0.3, "ddof": 1, "eps": 1e-4},
    "grpo-kl": {"kl_coef": 1e-3, "ddof": 1, "eps": 1e-4},
    "ds-grpo": {"gamma_p": 0.05, "gamma_n": 0.05, "ddof": 1, "eps": 1e-4, "reference": "sampling"},
    "ds-grpo-sum": {"gamma_p": 0.1, "gamma_n": 0.0, "ddof": 1, "eps": 1e-4, "reference": "sampling"},
    "ds-grpo-token": {"gamma_p": 0.01, "gamma_n": 0.01, "ddof": 1, "eps": 1e-4},
    "ds-grpo-reward": {"gamma_p": 0.01, "gamma_n": 0.01, "length": "mean", "reference": "sampling"},
    "ds-grpo-centered": {"kappa": 0.2, "clip": 3.0, "all_correct_weight": 0.1},
    "ds-grpo-robust": {"gamma_p": 0.2, "gamma_n": 0.0, "length": "sum", "reference": "sampling"},
    "entropy-bonus-seq": {"gamma": 0.02, "length": "sum", "ddof": 1, "eps": 1e-4},
    "entropy-penalty-seq": {"gamma": 0.02, "length": "sum", "ddof": 1, "eps": 1e-4},
}


def test_method_names() -> None:
    assert [name for name in METHODS if name not in list_methods()] == []


@pytest.mark.parametrize("name", METHODS)
def test_default_coefficients(name: str) -> None:
    assert default_coefficients(name) == DEFAULTS[name]


def shape_of(function: Callable[..., Any]) -> str:
    """The signature without its annotations: what a call depends on."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


SIGNATURES: list[tuple[Callable[..., Any], str]] = [
    (get_method, "(name, **coefficients)"),
    (list_methods, "()"),
    (Method.advantages, "(self, batch)"),
    (
        GroupBatch,
        "(*, rewards, correct, mask=None, logprobs=None, lengths=None, entropies=None, answers=None, "
        "reference_logprobs=None, num_solutions=None, prompt_ids=None)",
    ),
    (GroupBatch.require, "(self, names, *, by)"),
    (TokenBatch, "(*, logprobs, mask, correct)"),
    (Transform, "(name, apply, requires=frozenset())"),
    (Transform.__call__, "(self, advantages, batch)"),
    (advantages.chain, "(*transforms)"),
    (advantages.subtract_group_mean, "(*, singleton='zero')"),
    (advantages.subtract_leave_one_out_mean, "()"),
    (advantages.divide_by_group_std, "(*, ddof=1, eps=0.0001, floor=0.0, of='input', singleton='zero')"),
    (advantages.standardize_group, "(*, ddof=1, eps=0.0001)"),
    (advantages.divide_by_batch_std, "(*, ddof=1, eps=0.0001)"),
    (advantages.divide_by_group_mean, "(*, eps=1e-06)"),
    (advantages.skip_uniform_groups, "()"),
    (advantages.differential_smoothing, "(*, gamma_p, gamma_n, length='mean', reference='sampling')"),
    (advantages.entropy_smoothing, "(*, gamma, length='sum', reference='sampling')"),
    (advantages.centered_smoothing, "(*, kappa, clip=3.0, all_correct_weight=0.0)"),
    (advantages.spread_smoothing_over_tokens, "(*, gamma_p, gamma_n)"),
    (metrics.pass_at_k, "(num_samples, num_correct, k)"),
]


@pytest.mark.parametrize(("function", "shape"), SIGNATURES, ids=lambda value: getattr(value, "__qualname__", ""))
def test_signatures(function: Callable[..., Any], shape: str) -> None:
    assert shape_of(function) == shape


def test_method_attributes() -> None:
    method = get_method("ds-grpo")
    assert [name for name in vars(method) if not name.startswith("_")] == [
        "name",
        "coefficients",
        "recipe",
        "summary",
        "equation",
        "paper",
        "notes",
        "experimental",
    ]
    assert method.requires == {"logprobs", "lengths"}
    assert list(vars(method.recipe)) == ["transform", "token_transform", "settings"]
