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
from unsharpen.advantages.guidance import GammaSuggestion, suggest_gammas
from unsharpen.advantages.smoothing import centered_smoothing, differential_smoothing, entropy_smoothing
from unsharpen.advantages.tokens import TokenBatch, TokenTransform, spread_smoothing_over_tokens

__all__ = [
    "GammaSuggestion",
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
    "suggest_gammas",
]
