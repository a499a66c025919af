"""Token-level methods: ``(token_advantages [N, T], TokenBatch) -> token_advantages [N, T]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from array_api_compat import array_namespace

from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.batch import Array, without_gradient
from unsharpen.errors import InputError, MissingFieldError

Stage = Literal["sampling", "loss"]
"""When a token step runs: once, on what was sampled; or at every update, with the policy as it then is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenBatch:
    """N completions of up to T tokens.

    Args:
        logprobs: [N, T] log-probability of each sampled token (nats): under the sampling policy, or for a step at
            stage "loss" under the policy in training; without gradient.
        mask: [N, T] bool, True for the completion's own tokens.
        correct: [N] bool, of the whole completion.
        entropies: [N, T] entropy of the distribution that each token was drawn from (nats), of the same policy.

    Raises:
        InputError: shapes that don't agree, flags that are not bool, or a log-probability or entropy that is not
            finite where unmasked.
    """

    logprobs: Array
    mask: Array
    correct: Array
    entropies: Array = None

    def __post_init__(self) -> None:
        for name in ("logprobs", "entropies"):
            object.__setattr__(self, name, without_gradient(getattr(self, name)))
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
        if self.entropies is not None and tuple(self.entropies.shape) != shape:
            raise InputError(f"`entropies` must have shape [N, T] = {shape}, found {tuple(self.entropies.shape)}")
        for name, values in (("log-probabilities", self.logprobs), ("entropies", self.entropies)):
            if values is not None and bool(xp.any(self.mask & ~xp.isfinite(values))):
                raise InputError(f"token {name} must be finite where the mask is True")


@dataclass(frozen=True)
class TokenTransform:
    """One step on the advantages of tokens.

    Attributes:
        name: shown in errors and in ``unsharpen methods``.
        apply: ``(advantages [N, T], batch) -> advantages [N, T]``, 0 where masked; pure, no gradient, never mutates.
        requires: names of the optional :class:`TokenBatch` fields that ``apply`` reads.
        stage: when it runs. With one update per batch the two are the same policy.
    """

    name: str
    apply: Callable[[Array, TokenBatch], Array]
    requires: frozenset[str] = frozenset()
    stage: Stage = "sampling"

    def __call__(self, advantages_NT: Array, batch: TokenBatch) -> Array:
        if missing := sorted(name for name in self.requires if getattr(batch, name) is None):
            raise MissingFieldError(f"`{self.name}` needs `{missing[0]}`; the batch of tokens does not carry it")
        return self.apply(advantages_NT, batch)


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

    return TokenTransform("spread_smoothing_over_tokens", apply)
