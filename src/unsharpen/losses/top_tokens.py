"""A loss term on the likeliest tokens at each place, drawn or not."""

from __future__ import annotations

import math

from array_api_compat import device

from unsharpen.batch import Array
from unsharpen.errors import InputError
from unsharpen.losses.batch import LossBatch, LossTerm, detached


def redistribute_to_top_tokens(
    *, num_top: int = 3, mix: float = 0.01, quantile: float = 0.8, wrong_scale: float = 1.1
) -> LossTerm:
    """At uncertain places, share what a correct token gains with the likeliest ones; blame a wrong likeliest more.

    ::

        correct:  ratio <- (1 - mix) ratio + mix / K sum_k sg(ratio / ratio_k) ratio_k     (k: the K likeliest tokens)
        wrong, negative advantage, and the token is the likeliest:  A <- wrong_scale A

    at tokens whose entropy is above the given quantile of their completion; ``sg`` stops the gradient, so the value of
    the ratio stays and only its gradient spreads. Written as what is added to the engine's clipped loss.

    Args:
        num_top: K, at least 1.
        mix: in [0, 1], share of the gradient that goes to the likeliest tokens.
        quantile: in [0, 1].
        wrong_scale: at least 0; 1 leaves wrong completions alone.

    References:
        SimKO, arXiv 2510.14807 and the authors' code, which calls every completion of negative advantage wrong.
    """
    if num_top < 1 or not 0 <= mix <= 1 or not 0 <= quantile <= 1 or not 0 <= wrong_scale < math.inf:
        raise InputError(
            "need num_top >= 1, mix and quantile in [0, 1] and wrong_scale >= 0; found "
            f"{num_top}, {mix}, {quantile} and {wrong_scale}"
        )

    def apply(batch: LossBatch) -> Array:
        xp, advantages = batch.xp, batch.own(batch.advantages)
        log_ratio = batch.log_ratio
        zero = xp.zeros_like(log_ratio)
        uncertain = batch.mask & (detached(batch.entropies) > _quantile_of_rows(batch, quantile))
        free = batch.unclipped(detached(log_ratio))

        shift = xp.mean(batch.top_logprobs, axis=-1) - batch.logprobs
        spread = -advantages * mix * xp.exp(detached(log_ratio)) * (shift - detached(shift))
        term = xp.where(batch.correct[:, None] & uncertain & free, spread, zero)

        ratio = xp.where(free, xp.exp(log_ratio), xp.full_like(zero, 1 - batch.clip_low))  # clipped: a constant
        blame = uncertain & batch.likeliest & (batch.mean_over_tokens(batch.advantages) < 0)
        return term + xp.where(blame, (1 - wrong_scale) * advantages * ratio, zero)

    needs = frozenset({"likeliest", "top_logprobs", "clip_low", "clip_high"})
    return LossTerm("redistribute_to_top_tokens", apply, needs, num_top=num_top)


def _quantile_of_rows(batch: LossBatch, quantile: float) -> Array:
    """[N, 1] quantile of each completion's token entropies, linear between two of them as in ``torch.quantile``."""
    xp = batch.xp
    entropies = detached(batch.entropies)
    last = xp.full_like(entropies, xp.finfo(entropies.dtype).max)  # finite: a completion may have no tokens at all
    ordered = xp.sort(xp.where(batch.mask, entropies, last), axis=1)
    count = xp.clip(xp.sum(xp.astype(batch.mask, xp.int64), axis=1, keepdims=True), 1, None)
    place = quantile * xp.astype(count - 1, entropies.dtype)
    below = xp.astype(xp.floor(place), xp.int64)
    columns = xp.arange(ordered.shape[1], device=device(ordered))[None, :]

    def at(index: Array) -> Array:
        return xp.sum(xp.where(columns == index, ordered, xp.zeros_like(ordered)), axis=1, keepdims=True)

    low, high = at(below), at(xp.where(below + 1 < count, below + 1, below))
    return low + (high - low) * (place - xp.astype(below, entropies.dtype))
