"""Rewards that depend on the length of a completion."""

from __future__ import annotations

import math

from unsharpen.advantages.baselines import zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError


def punish_overlong(*, penalty: float = 1.0, share: float = 0.2) -> Transform:
    """Take something off the reward of a completion that comes near the length at which the engine cuts it.

    ::

        start = (1 - share) L_max
        x_i - penalty * clip((length_i - start) / (L_max - start), 0, 1)

    A completion that was cut loses the whole penalty, one that ends at ``start`` or before loses nothing. Put it
    before the baseline. Which completions are *correct* does not change.

    Args:
        penalty: at least 0; in units of the reward.
        share: in (0, 1], the part of L_max over which the penalty grows.

    References:
        DAPO, arXiv 2503.14476, Eq. 13: 4,096 of 20,480 tokens, penalty 1. TRL's ``get_soft_overlong_punishment`` is
        the same function as a reward.
    """
    if not 0 <= penalty < math.inf or not 0 < share <= 1:
        raise InputError(f"need a finite penalty >= 0 and share in (0, 1]; found penalty {penalty}, share {share}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, dtype = batch.xp, batch.rewards.dtype
        longest = xp.astype(batch.max_lengths, dtype)[:, None]
        buffer = share * longest
        excess = xp.astype(batch.lengths, dtype) - (longest - buffer)
        return zero_masked(advantages - penalty * xp.clip(excess / buffer, 0, 1), batch)

    return Transform("punish_overlong", apply, frozenset({"lengths", "max_lengths"}))
