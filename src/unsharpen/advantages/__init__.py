"""Advantage functions: pure, on any array library, composed with :func:`chain`."""

from unsharpen.advantages.baselines import (
    divide_by_batch_std,
    divide_by_group_mean,
    divide_by_group_std,
    skip_uniform_groups,
    standardize_group,
    subtract_group_mean,
    subtract_leave_one_out_mean,
)
from unsharpen.advantages.chain import Transform, chain
from unsharpen.advantages.exploration import AnswerCounts, penalize_repeats, reward_rare_answers, ucb_bonus
from unsharpen.advantages.guidance import GammaSuggestion, suggest_gammas
from unsharpen.advantages.lengths import punish_overlong
from unsharpen.advantages.pass_at_k import credit_best, credit_max_at_k, credit_pass_at_k
from unsharpen.advantages.rarity import (
    discount_likely,
    divide_by_answer_frequency,
    favour_unlikely_correct,
    reward_even_answers,
    scale_by_distinctness,
)
from unsharpen.advantages.reweighting import (
    credit_by_sign,
    divide_by_relative_entropy,
    level_correct_modes,
    seek_risk,
    weigh_by_difficulty,
    weigh_by_entropy,
)
from unsharpen.advantages.similarity import discount_similar, reward_majority_and_novelty
from unsharpen.advantages.smoothing import centered_smoothing, differential_smoothing, entropy_smoothing
from unsharpen.advantages.token_entropy import add_entropy, drop_covariant_tokens, token_covariance
from unsharpen.advantages.tokens import TokenBatch, TokenTransform, spread_smoothing_over_tokens

__all__ = [
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
