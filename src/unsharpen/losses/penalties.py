"""Loss terms that hold single tokens or completions near an earlier policy."""

from __future__ import annotations

import math

from unsharpen.advantages.token_entropy import token_covariance
from unsharpen.batch import Array
from unsharpen.errors import InputError
from unsharpen.losses.batch import LossBatch, LossTerm, detached

_MOST = 80.0  # nats


def tether_covariant_tokens(*, coef: float = 1.0, share: float = 2e-4) -> LossTerm:
    """Hold the tokens of highest covariance at their old probability: ``coef |log pi_t - log pi_old_t|`` there.

    ::

        cov_t = (A_t - mean A) (log pi_t - mean log pi);  the top max(1, floor(share * tokens)) of the batch

    With one update per batch the two policies are the same at every update, the term is 0 and so is its gradient: it
    needs several updates per batch.

    Args:
        coef: at least 0.
        share: in [0, 1], of all tokens.

    References:
        KL-Cov, arXiv 2505.22617; the formula is that of verl's ``kl_cov``.
    """
    if not 0 <= coef < math.inf or not 0 <= share <= 1:
        raise InputError(f"need a finite coef >= 0 and share in [0, 1]; found {coef} and {share}")

    def apply(batch: LossBatch) -> Array:
        xp, mask = batch.xp, batch.mask
        covariance = token_covariance(batch.advantages, detached(batch.logprobs), mask)
        flat = xp.reshape(xp.where(mask, covariance, xp.full_like(covariance, -math.inf)), (-1,))
        tokens = int(xp.sum(xp.astype(mask, xp.int64)))
        num_held = min(tokens, max(1, int(tokens * share))) if share > 0 else 0
        place = xp.argsort(xp.argsort(flat, descending=True, stable=True), stable=True)
        held = xp.reshape(place < num_held, mask.shape)
        return xp.where(held, coef * xp.abs(batch.log_ratio), xp.zeros_like(batch.logprobs))

    return LossTerm("tether_covariant_tokens", apply)


def scale_kl_by_advantage(*, scale: float = 0.04) -> LossTerm:
    """Make the coefficient of the KL term ``beta - scale A`` for each completion, by adding ``-scale A KL_t``.

    ``KL_t = exp(d) - d - 1`` with ``d = log pi_ref - log pi``, the estimator of the engine's own term, which supplies
    the ``beta``. Completions that did well may move away from the reference, those that did badly are held.

    Args:
        scale: at least 0.

    References:
        ADRPO, arXiv 2510.18053.
    """
    if not 0 <= scale < math.inf:
        raise InputError(f"scale must be finite and at least 0, found {scale}")

    def apply(batch: LossBatch) -> Array:
        gap = batch.own(batch.reference_logprobs - batch.logprobs)
        gap = batch.xp.clip(gap, None, _MOST)  # exp beyond it is infinite in float32, and 0 times that is no number
        return -scale * batch.own(batch.advantages) * (batch.xp.exp(gap) - gap - 1)

    return LossTerm("scale_kl_by_advantage", apply, frozenset({"reference_logprobs"}))
