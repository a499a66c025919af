"""What users build on, frozen: names, parameters, defaults. A change here is a change for them: see CHANGELOG.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import unsharpen
from unsharpen import GroupBatch, Method, advantages, get_method, list_methods, losses, metrics, theory
from unsharpen.advantages import TokenBatch, TokenTransform, Transform
from unsharpen.losses import LossBatch, LossTerm
from unsharpen.methods import default_coefficients


def test_exported_names() -> None:
    assert sorted(unsharpen.__all__) == [
        *("GroupBatch", "Method", "__version__", "get_method", "list_methods", "suggest_gammas"),
    ]
    assert sorted(advantages.__all__) == [
        "AnswerCounts",
        "GammaSuggestion",
        "TokenBatch",
        "TokenTransform",
        "Transform",
        "add_entropy",
        "centered_smoothing",
        "chain",
        "credit_best",
        "credit_by_sign",
        "credit_max_at_k",
        "credit_pass_at_k",
        "differential_smoothing",
        "discount_likely",
        "discount_similar",
        "divide_by_answer_frequency",
        "divide_by_batch_std",
        "divide_by_group_mean",
        "divide_by_group_std",
        "divide_by_relative_entropy",
        "drop_covariant_tokens",
        "entropy_smoothing",
        "favour_unlikely_correct",
        "level_correct_modes",
        "penalize_repeats",
        "punish_overlong",
        "reward_even_answers",
        "reward_majority_and_novelty",
        "reward_rare_answers",
        "scale_by_distinctness",
        "seek_risk",
        "skip_uniform_groups",
        "spread_smoothing_over_tokens",
        "standardize_group",
        "subtract_group_mean",
        "subtract_leave_one_out_mean",
        "suggest_gammas",
        "token_covariance",
        "ucb_bonus",
        "weigh_by_difficulty",
        "weigh_by_entropy",
    ]
    assert sorted(losses.__all__) == [
        "EntropyHistory",
        "LossBatch",
        "LossTerm",
        "balance_flow",
        "hold_entropy_window",
        "push_to_forward_kl",
        "push_to_jensen_shannon",
        "redistribute_to_top_tokens",
        "reward_entropy_of_correct",
        "scale_kl_by_advantage",
        "tether_covariant_tokens",
        "track_entropy",
        "value_uniform_policy",
    ]
    assert sorted(metrics.__all__) == [
        "Crossover",
        "DiversitySummary",
        "Interval",
        "SampleTable",
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

    assert sorted(theory.__all__) == [
        "Comparison",
        "Estimate",
        "Exponents",
        "FrontierPoint",
        "KINDS",
        "Match",
        "Point",
        "Tilt",
        "Trajectory",
        "World",
        "collapse_rate",
        "compare_methods",
        "conditional",
        "correct_mass",
        "critical_gamma",
        "divergence",
        "dominate",
        "effective_number",
        "entropy_bonus",
        "entropy_proxy",
        "entropy_rate",
        "entropy_slope",
        "expected_grpo_update",
        "expected_smoothed_update",
        "fixed_point_exponents",
        "frontier",
        "is_feasible",
        "iterate_equivalent",
        "logit_mass",
        "normalised_variance",
        "potential",
        "selection_probability",
        "shannon",
        "shared_world",
        "simulate",
        "simulate_shared",
        "smoothed",
        "tilt",
        "vanilla",
    ]


@pytest.mark.parametrize("module", [unsharpen, advantages, losses, metrics, theory])
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
    "unlikeliness",
    "ucpo",
    "darling",
    "gapo",
    "ips",
    "dra-grpo",
    "evol-rl",
    "pass-at-k",
    "pkpo",
    "best-of-k",
    "f-grpo",
    "rs-grpo",
    "w-reinforce",
    "psr",
    "nsr",
    "ucb",
    "ucb-mean",
    "ucb-con",
    "batch-exploration",
    "egsw",
    "edge-grpo",
    "mara",
    "ds-grpo-f",
    "dapo",
    "clip-higher",
    "gspo",
    "entropy-bonus",
    "entropy-penalty",
    "entropy-target",
    "top-entropy",
    "soft-preference",
    "entropy-advantage",
    "clip-cov",
    "kl-cov",
    "epo",
    "diversity-po",
    "adrpo",
    "simko",
    "flow-rl",
    "rover",
    "dph",
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
    "unlikeliness": {"beta": 0.25, "ddof": 1, "eps": 0.0001},
    "ucpo": {"tau": 0.2, "ddof": 1, "eps": 0.0001},
    "darling": {"floor": 0.1, "cluster": "answers", "threshold": 0.9},
    "gapo": {"ddof": 1, "eps": 0.0001},
    "ips": {"floor": 1e-06, "ddof": 1, "eps": 0.0001},
    "dra-grpo": {"ddof": 1, "eps": 0.0001},
    "evol-rl": {"ddof": 1, "eps": 0.0001},
    "pass-at-k": {"k": 4, "eps": 1e-06},
    "pkpo": {"k": 4},
    "best-of-k": {"scale": "std", "ddof": 1, "eps": 1e-06},
    "f-grpo": {"gamma": 0.5, "ddof": 1, "eps": 0.0001},
    "rs-grpo": {"beta": 2.0},
    "w-reinforce": {"weight": 0.1},
    "psr": {},
    "nsr": {},
    "ucb": {"coef": 0.2, "ddof": 1, "eps": 0.0001},
    "ucb-mean": {"coef": 0.2, "ddof": 1, "eps": 0.0001},
    "ucb-con": {"coef": 0.2, "offset": 0.5, "ddof": 1, "eps": 0.0001},
    "batch-exploration": {"coef": 0.2, "ddof": 1, "eps": 0.0001},
    "egsw": {"alpha": 0.3, "temperature": 1.0, "ddof": 1, "eps": 0.0001},
    "edge-grpo": {"guided": 0.0, "ddof": 1, "eps": 0.0001},
    "mara": {"beta": 0.001},
    "ds-grpo-f": {"gamma_p": 0.1, "gamma_n": 0.0, "length": "sum", "focal": 1.0},
    "dapo": {
        "clip_low": 0.2,
        "clip_high": 0.28,
        "token_mean": "on",
        "drop_uniform": "on",
        "overlong_penalty": 1.0,
        "overlong_share": 0.2,
        "ddof": 1,
        "eps": 0.0001,
    },
    "clip-higher": {"clip_low": 0.2, "clip_high": 0.28, "ddof": 1, "eps": 0.0001},
    "gspo": {"clip_low": 0.0003, "clip_high": 0.0004, "ddof": 1, "eps": 0.0001},
    "entropy-bonus": {"coef": 0.001, "ddof": 1, "eps": 0.0001},
    "entropy-penalty": {"coef": 0.001, "ddof": 1, "eps": 0.0001},
    "entropy-target": {"target": 0.2, "coef": 0.0, "step": 0.005, "coef_max": 1.0, "ddof": 1, "eps": 0.0001},
    "top-entropy": {"share": 0.2, "ddof": 1, "eps": 0.0001},
    "soft-preference": {"alpha": 0.002, "beta": 0.001, "ddof": 1, "eps": 0.0001},
    "entropy-advantage": {"alpha": 0.4, "kappa": 2.0, "ddof": 1, "eps": 0.0001},
    "clip-cov": {"share": 0.0002, "lower": 1.0, "upper": 5.0, "ddof": 1, "eps": 0.0001},
    "kl-cov": {"coef": 1.0, "share": 0.0002, "ddof": 1, "eps": 0.0001},
    "epo": {
        "coef": 0.001,
        "smooth": 1.0,
        "penalty": 0.1,
        "low": 0.8,
        "high": 1.2,
        "shape": "constant",
        "ddof": 1,
        "eps": 0.0001,
    },
    "diversity-po": {"coef": 0.01, "ddof": 1, "eps": 0.0001},
    "adrpo": {"beta": 0.04, "scale": 0.04, "ddof": 1, "eps": 0.0001},
    "simko": {"num_top": 3, "mix": 0.01, "quantile": 0.8, "wrong_scale": 1.1, "ddof": 1, "eps": 0.0001},
    "flow-rl": {"beta": 15.0, "max_weight": 10.0, "ddof": 1, "eps": 0.0001},
    "rover": {"rho": 1.0, "future": 1.0},
    "dph": {"divergence": "forward-kl", "coef": 0.01, "pool": "", "pool_share": 0.25, "ddof": 1, "eps": 0.0001},
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
        "reference_logprobs=None, embeddings=None, num_solutions=None, prompt_ids=None, "
        "max_lengths=None)",
    ),
    (GroupBatch.require, "(self, names, *, by)"),
    (TokenBatch, "(*, logprobs, mask, correct, entropies=None)"),
    (TokenTransform, "(name, apply, requires=frozenset(), stage='sampling')"),
    (
        LossBatch,
        "(*, logprobs, old_logprobs, mask, advantages, correct, entropies=None, reference_logprobs=None, "
        "top_logprobs=None, likeliest=None, mean_logprobs=None, old_mean_logprobs=None, clip_low=0.2, clip_high=0.2)",
    ),
    (
        LossTerm,
        "(name, apply, requires=frozenset(), num_top=0, replaces_policy_loss=False, replaces_kl=False)",
    ),
    (Transform, "(name, apply, requires=frozenset())"),
    (Transform.__call__, "(self, advantages, batch)"),
    (advantages.chain, "(*transforms)"),
    (advantages.subtract_group_mean, "(*, singleton='zero')"),
    (advantages.subtract_leave_one_out_mean, "()"),
    (advantages.divide_by_group_std, "(*, ddof=1, eps=0.0001, floor=0.0, of='input', singleton='zero')"),
    (advantages.standardize_group, "(*, ddof=1, eps=0.0001, of='rewards')"),
    (advantages.divide_by_batch_std, "(*, ddof=1, eps=0.0001)"),
    (advantages.divide_by_group_mean, "(*, eps=1e-06)"),
    (advantages.skip_uniform_groups, "()"),
    (advantages.differential_smoothing, "(*, gamma_p, gamma_n, length='mean', reference='sampling')"),
    (advantages.entropy_smoothing, "(*, gamma, length='sum', reference='sampling')"),
    (advantages.centered_smoothing, "(*, kappa, clip=3.0, all_correct_weight=0.0)"),
    (advantages.spread_smoothing_over_tokens, "(*, gamma_p, gamma_n)"),
    (advantages.discount_likely, "(*, beta=0.25)"),
    (advantages.favour_unlikely_correct, "(*, tau=0.2)"),
    (advantages.scale_by_distinctness, "(*, floor=0.1, cluster='answers', threshold=0.9)"),
    (advantages.reward_even_answers, "()"),
    (advantages.divide_by_answer_frequency, "(*, floor=1e-06)"),
    (advantages.discount_similar, "()"),
    (advantages.reward_majority_and_novelty, "()"),
    (advantages.credit_pass_at_k, "(*, k=4, eps=1e-06)"),
    (advantages.credit_max_at_k, "(*, k=4)"),
    (advantages.credit_best, "(*, scale='std', ddof=1, eps=1e-06)"),
    (advantages.reward_rare_answers, "(memory, *, coef, center='none', offset=0.0)"),
    (advantages.penalize_repeats, "(*, coef)"),
    (advantages.ucb_bonus, "(counts)"),
    (advantages.AnswerCounts, "(max_answers=1000000)"),
    (advantages.weigh_by_difficulty, "(*, gamma=0.5)"),
    (advantages.seek_risk, "(*, beta=2.0)"),
    (advantages.credit_by_sign, "(*, correct, wrong)"),
    (advantages.weigh_by_entropy, "(*, alpha, temperature)"),
    (advantages.divide_by_relative_entropy, "()"),
    (advantages.level_correct_modes, "(*, beta)"),
    (advantages.add_entropy, "(*, alpha=0.4, kappa=2.0)"),
    (advantages.drop_covariant_tokens, "(*, share=0.0002, lower=1.0, upper=5.0)"),
    (advantages.punish_overlong, "(*, penalty=1.0, share=0.2)"),
    (losses.tether_covariant_tokens, "(*, coef=1.0, share=0.0002)"),
    (losses.scale_kl_by_advantage, "(*, scale=0.04)"),
    (
        losses.hold_entropy_window,
        "(history, *, coef=0.001, smooth=1.0, penalty=0.1, low=0.8, high=1.2, shape='constant')",
    ),
    (losses.reward_entropy_of_correct, "(*, coef=0.01)"),
    (losses.push_to_forward_kl, "(*, coef)"),
    (losses.push_to_jensen_shannon, "(*, coef)"),
    (losses.balance_flow, "(*, beta=15.0, max_weight=10.0)"),
    (losses.value_uniform_policy, "(*, rho=1.0, future=1.0)"),
    (losses.redistribute_to_top_tokens, "(*, num_top=3, mix=0.01, quantile=0.8, wrong_scale=1.1)"),
    (unsharpen.suggest_gammas, "(log_probs, correct, *, lengths=None, mask=None, share=0.25)"),
    (metrics.pass_at_k, "(num_samples, num_correct, k)"),
    (theory.tilt, "(log_base, correct, *, a, b, kappa)"),
    (theory.vanilla, "(log_base, correct, *, beta)"),
    (theory.entropy_proxy, "(log_base, correct, *, gamma, beta)"),
    (theory.entropy_bonus, "(log_base, correct, *, gamma, beta)"),
    (theory.smoothed, "(log_base, correct, *, gamma_p, gamma_n=0.0, beta, offset=0.0)"),
    (theory.conditional, "(log_policy, correct, *, of='correct')"),
    (theory.correct_mass, "(log_policy, correct)"),
    (theory.effective_number, "(log_policy, correct)"),
    (theory.divergence, "(log_policy, log_base, kind='reverse-kl', *, parameter=None)"),
    (
        theory.dominate,
        "(log_base, correct, *, gamma, beta, form='bonus', kind='reverse-kl', parameter=None, diversity='shannon', "
        "budget=None, tied=False, centered=False)",
    ),
    (theory.is_feasible, "(log_base, correct, *, gamma, beta, **options)"),
    (theory.entropy_slope, "(log_base, correct, *, gamma=0.0, beta=1.0, form='proxy')"),
    (theory.selection_probability, "(log_base, correct, *, group_size)"),
    (
        theory.expected_grpo_update,
        "(log_base, correct, *, group_size, scale='std', ddof=0, eps=0.0, learning_rate=1.0)",
    ),
    (theory.critical_gamma, "(log_base, correct, *, gamma_n=0.0, centered=True)"),
    (
        theory.simulate,
        "(log_base, correct, method='grpo', *, group_size=16, learning_rate=1.0, steps=200, every=10, seed=0)",
    ),
    (
        theory.simulate_shared,
        "(log_base, correct, method='grpo', *, types, held_out, group_size=16, learning_rate=1.0, steps=200, "
        "every=10, seed=0)",
    ),
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
    assert list(vars(method.recipe)) == [
        *("transform", "token_transform", "settings", "memory", "loss_term", "pool_term", "pool", "pool_share"),
        "excludes",
    ]
