"""Token steps that act on entropy: more advantage where the policy is unsure, none where it would lose most entropy."""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.advantages.tokens import TokenBatch, TokenTransform
from unsharpen.batch import Array
from unsharpen.errors import InputError


def add_entropy(*, alpha: float = 0.4, kappa: float = 2.0) -> TokenTransform:
    """Add the token's entropy to its advantage, but never more than a share of it.

    ::

        A_t + min(alpha H_t, |A_t| / kappa)

    With kappa above 1 no advantage changes its sign, and tokens with advantage 0 stay there. H_t is the entropy of the
    policy in training and takes no gradient.

    Args:
        alpha: at least 0; per nat of entropy.
        kappa: above 0; at 2 an advantage grows by half at most.

    References:
        arXiv 2506.14758, Eq. 4 and 5.
    """
    check_coefficients(alpha=alpha)
    if not 0 < kappa < math.inf:
        raise InputError(f"kappa must be positive and finite, found {kappa}")

    def apply(advantages_NT: Array, batch: TokenBatch) -> Array:
        xp = array_namespace(advantages_NT, batch.entropies)
        zero = xp.zeros_like(advantages_NT)
        entropies = xp.astype(xp.where(batch.mask, batch.entropies, zero), advantages_NT.dtype)
        bonus = xp.minimum(alpha * entropies, xp.abs(advantages_NT) / kappa)
        return xp.where(batch.mask, advantages_NT + bonus, zero)

    return TokenTransform("add_entropy", apply, frozenset({"entropies"}), stage="loss")


def drop_covariant_tokens(*, share: float = 2e-4, lower: float = 1.0, upper: float = 5.0) -> TokenTransform:
    """Take out of the update a few of the tokens whose log-probability and advantage are high together.

    ::

        cov_t = (A_t - mean A) (log pi_t - mean log pi),  means over all tokens of the batch
        A_t = 0 for max(1, floor(share * tokens)) of the tokens with lower < cov_t < upper

    In a softmax policy the expected covariance is what the entropy falls by, and a handful of tokens carries most of
    it. A token without advantage has no policy loss, so dropping it from the loss is the same.

    Which of the candidates go is not random: they are taken at even distances in the order of the batch, which an
    engine shuffles. Nothing random has to be saved for a resumed run, and every array library gives the same.

    Args:
        share: in [0, 1], of all tokens; 0 drops none.
        lower: open bound of cov_t.
        upper: open bound of cov_t.

    References:
        Clip-Cov, arXiv 2505.22617; the formula is that of verl's ``clip_cov``, which draws the candidates at random and
        leaves out those that the PPO clip takes already (with one update per batch there are none).
    """
    if not 0 <= share <= 1 or not lower < upper:
        raise InputError(f"need share in [0, 1] and lower < upper; found {share}, {lower} and {upper}")

    def apply(advantages_NT: Array, batch: TokenBatch) -> Array:
        xp = array_namespace(advantages_NT, batch.logprobs)
        covariance = token_covariance(advantages_NT, batch.logprobs, batch.mask)
        flat = xp.reshape(batch.mask & (covariance > lower) & (covariance < upper), (-1,))
        count, tokens = int(xp.sum(xp.astype(flat, xp.int64))), int(xp.sum(xp.astype(batch.mask, xp.int64)))
        dropped = min(count, max(int(share * tokens), 1)) if share > 0 else 0
        if dropped == 0:
            return xp.where(batch.mask, advantages_NT, xp.zeros_like(advantages_NT))
        place = xp.cumulative_sum(xp.astype(flat, xp.int64)) - 1  # of a candidate among the candidates
        # place i goes when the i-th multiple of dropped / count passes a whole number: `dropped` of `count` do
        chosen = xp.reshape(flat & ((place + 1) * dropped // count > place * dropped // count), batch.mask.shape)
        return xp.where(batch.mask & ~chosen, advantages_NT, xp.zeros_like(advantages_NT))

    return TokenTransform("drop_covariant_tokens", apply, stage="loss")


def token_covariance(advantages_NT: Array, logprobs_NT: Array, mask_NT: Array) -> Array:
    """[N, T] ``(A_t - mean A)(log pi_t - mean log pi)`` over the unmasked tokens of the batch; 0 where masked."""
    xp = array_namespace(advantages_NT, logprobs_NT, mask_NT)
    real = xp.astype(mask_NT, advantages_NT.dtype)
    count = xp.clip(xp.sum(real), 1, None)

    def centred(values: Array) -> Array:
        clean = xp.astype(xp.where(mask_NT, values, xp.zeros_like(values)), real.dtype)
        return (clean - xp.sum(clean) / count) * real

    return centred(advantages_NT) * centred(logprobs_NT)
