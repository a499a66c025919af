"""Parameters and defaults that users build on, frozen. A change here is a change for them: see CHANGELOG.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import unsharpen
from unsharpen import (
    GroupBatch,
    Method,
    advantages,
    diagnosis,
    get_method,
    list_methods,
    losses,
    metrics,
    tasks,
    theory,
)
from unsharpen.advantages import TokenBatch, TokenTransform, Transform
from unsharpen.losses import LossBatch, LossTerm
from unsharpen.reports.evaluation import write_evaluation_report


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
    (Transform, "(name, apply, requires=frozenset(), least_completions=1, binary_rewards=False)"),
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
    (advantages.centered_smoothing, "(*, kappa, clip=3.0, all_correct_weight=0.0, per_success=False)"),
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
    (advantages.divide_by_relative_entropy, "(*, max_weight=10.0)"),
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
    (tasks.get_task, "(name, **options)"),
    (
        tasks.MathTask,
        "(*, name='math', answer_format='boxed', problem_column=None, answer_column=None, pool=None)",
    ),
    (tasks.MathTask.verify_many, "(self, problems, completions, *, num_workers=None)"),
    (tasks.MathTask.load, "(self, source=None, *, limit=None, split='train', fallback=False)"),
    (tasks.MathProblem, "(text, answer, source='', level='')"),
    (tasks.decontaminate, "(train, evaluation, *, num_words=13, max_common=10)"),
    (metrics.pass_at_k, "(num_samples, num_correct, k)"),
    (metrics.g_pass_at_k, "(num_samples, num_correct, k, tau)"),
    (metrics.mg_pass_at_k, "(num_samples, num_correct, k)"),
    (metrics.summarise, "(table, *, ks=None, level=0.95, seed=0)"),
    (metrics.compare, "(table, base, *, ks=None, level=0.95, seed=0, common=False)"),
    (diagnosis.read_log, "(path)"),
    (diagnosis.diagnose, "(log, *, since=-inf, level=0.01)"),
    (diagnosis.advise, "(diagnosis, method=None)"),
    (diagnosis.find_turn, "(steps, values, *, rising=False)"),
    (diagnosis.rank_trend, "(steps, values, *, since=-inf)"),
    (write_evaluation_report, "(tables, path, *, title='How often, and in how many ways')"),
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
