"""What a loss term sees, and what it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from unsharpen.batch import Array
from unsharpen.errors import InputError, MissingFieldError


@dataclass(frozen=True, eq=False, kw_only=True)
class LossBatch:
    """N completions of up to T tokens at one update. Fields marked (g) carry the gradient, the others none.

    The fields come from the forward pass that the engine makes anyway; entries where ``mask`` is False may hold
    anything finite.

    Args:
        logprobs: (g) [N, T] log-probability of each token under the policy in training (nats).
        old_logprobs: [N, T] under the policy at the time of sampling; with one update per batch the same numbers.
        mask: [N, T] bool, True for the completion's own tokens.
        advantages: [N, T].
        correct: [N] bool.
        entropies: (g) [N, T] entropy of each token's distribution (nats).
        reference_logprobs: [N, T] under the frozen reference model.
        top_logprobs: (g) [N, T, K] the K largest log-probabilities at each place, the largest first.
        likeliest: [N, T] bool, whether the token is the first of these.
        mean_logprobs: [N, T] mean of the log-probabilities of the whole vocabulary.
        old_mean_logprobs: [N, T] the same at the time of sampling.
        clip_low: the engine clips the ratio of probabilities below 1 - clip_low where the advantage is negative.
        clip_high: and above 1 + clip_high where it is positive.

    Raises:
        InputError: shapes that don't agree.
    """

    logprobs: Array
    old_logprobs: Array
    mask: Array
    advantages: Array
    correct: Array
    entropies: Array = None
    reference_logprobs: Array = None
    top_logprobs: Array = None
    likeliest: Array = None
    mean_logprobs: Array = None
    old_mean_logprobs: Array = None
    clip_low: float = 0.2
    clip_high: float = 0.2

    def __post_init__(self) -> None:
        shape = tuple(self.logprobs.shape)
        per_token = ("old_logprobs", "mask", "advantages", "entropies", "reference_logprobs", "likeliest")
        wanted = dict.fromkeys((*per_token, "mean_logprobs", "old_mean_logprobs"), shape) | {"correct": shape[:1]}
        for name, good in wanted.items():
            array = getattr(self, name)
            if array is not None and tuple(array.shape) != good:
                raise InputError(f"`{name}` of a LossBatch must have shape {good}, found {tuple(array.shape)}")
        if self.top_logprobs is not None and tuple(self.top_logprobs.shape[:2]) != shape:
            raise InputError(f"`top_logprobs` must have shape {(*shape, 'K')}, found {tuple(self.top_logprobs.shape)}")

    @property
    def xp(self) -> Any:
        """The array namespace of the fields."""
        return array_namespace(self.logprobs)

    @property
    def log_ratio(self) -> Array:
        """(g) [N, T] log of the ratio to the sampling policy; 0 where masked."""
        return self.own(self.logprobs - self.old_logprobs)

    def own(self, values_NT: Array) -> Array:
        """[N, T] the values, 0 where masked."""
        return self.xp.where(self.mask, values_NT, self.xp.zeros_like(values_NT))

    def mean_over_tokens(self, values_NT: Array) -> Array:
        """[N, 1] mean over each completion's tokens; 0 where it has none."""
        xp = self.xp
        real = xp.astype(self.mask, self.logprobs.dtype)
        return xp.sum(self.own(values_NT), axis=1, keepdims=True) / xp.clip(
            xp.sum(real, axis=1, keepdims=True), 1, None
        )

    def unclipped(self, log_ratio: Array) -> Array:
        """[N, T] bool, the tokens whose policy loss has a gradient: PPO's clip does not hold them."""
        ratio = self.xp.exp(log_ratio)
        too_high = (self.advantages > 0) & (ratio > 1 + self.clip_high)
        return ~(too_high | ((self.advantages < 0) & (ratio < 1 - self.clip_low)))


@dataclass(frozen=True)
class LossTerm:
    """Something to add to the policy loss.

    Attributes:
        name: shown in errors and in ``unsharpen methods``.
        apply: ``batch -> [N, T]``, added to the policy loss of each token before the engine takes its mean; pure, with
            gradient.
        requires: names of the optional :class:`LossBatch` fields that ``apply`` reads, besides ``entropies``. With
            ``clip_low`` it counts on PPO's clip of each token's ratio.
        num_top: the K of ``top_logprobs``.
        replaces_policy_loss: the engine's own policy loss is left out.
        replaces_kl: the engine's own KL term is left out; the reference model is there for ``apply`` alone.
    """

    name: str
    apply: Callable[[LossBatch], Array]
    requires: frozenset[str] = frozenset()
    num_top: int = 0
    replaces_policy_loss: bool = False
    replaces_kl: bool = False

    def __call__(self, batch: LossBatch) -> Array:
        if missing := sorted(name for name in self.requires if getattr(batch, name) is None):
            raise MissingFieldError(f"the loss term `{self.name}` needs `{missing[0]}`; the batch does not carry it")
        return self.apply(batch)


def detached(values: Array) -> Array:
    """The values without gradient; arrays of a library without gradients as they are."""
    return values.detach() if hasattr(values, "detach") else values
