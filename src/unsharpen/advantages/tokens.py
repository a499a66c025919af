"""Token-level methods: ``(token_advantages [N, T], TokenBatch) -> token_advantages [N, T]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from array_api_compat import array_namespace

from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.batch import Array
from unsharpen.errors import InputError


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenBatch:
    """N completions of up to T tokens.

    Args:
        logprobs: [N, T] log-probability of each sampled token under the sampling policy (nats).
        mask: [N, T] bool, True for the completion's own tokens.
        correct: [N] bool, of the whole completion.

    Raises:
        InputError: shapes that don't agree, flags that are not bool, or a log-probability that is not finite where
            unmasked.
    """

    logprobs: Array
    mask: Array
    correct: Array

    def __post_init__(self) -> None:
        shape = tuple(self.logprobs.shape)
        if len(shape) != 2 or tuple(self.mask.shape) != shape or tuple(self.correct.shape) != shape[:1]:
            raise InputError(
                "TokenBatch needs logprobs [N, T], mask [N, T] and correct [N]; found "
                f"{shape}, {tuple(self.mask.shape)} and {tuple(self.correct.shape)}"
            )
        xp = array_namespace(self.logprobs, self.mask, self.correct)
        for name, flags in (("mask", self.mask), ("correct", self.correct)):
            if not xp.isdtype(flags.dtype, "bool"):
                raise InputError(f"`{name}` must be boolean, found {flags.dtype}")
        if bool(xp.any(self.mask & ~xp.isfinite(self.logprobs))):
            raise InputError("token log-probabilities must be finite where the mask is True")


TokenTransform = Callable[[Array, TokenBatch], Array]


def spread_smoothing_over_tokens(*, gamma_p: float, gamma_n: float) -> TokenTransform:
    """Move the mean-form smoothing term of a completion to the tokens that earned it.

    The chain before it gives ``A_i = GRPO_i -/+ gamma m_i`` with ``m_i`` the mean of ``log pi_old(y_it)`` over the
    tokens. This step adds ``-/+ gamma (log pi_old(y_it) - m_i)``, so that ``A_it = GRPO_i - gamma_p log pi_old(y_it)``
    on correct completions and ``GRPO_i + gamma_n log pi_old(y_it)`` on others, and the mean over tokens stays A_i.

    References:
        arXiv 2511.19942; per-token code was used around its first submission.
    """
    check_coefficients(gamma_p=gamma_p, gamma_n=gamma_n)

    def apply(advantages_NT: Array, batch: TokenBatch) -> Array:
        xp = array_namespace(advantages_NT, batch.logprobs)
        mask = xp.astype(batch.mask, advantages_NT.dtype)
        logprobs = xp.astype(xp.where(batch.mask, batch.logprobs, xp.zeros_like(batch.logprobs)), mask.dtype)
        length = xp.clip(xp.sum(mask, axis=1, keepdims=True), 1, None)
        surprise = logprobs - xp.sum(logprobs, axis=1, keepdims=True) / length
        term = xp.where(batch.correct[:, None], -gamma_p * surprise, gamma_n * surprise)
        return xp.where(batch.mask, advantages_NT + term, xp.zeros_like(advantages_NT))

    return apply
