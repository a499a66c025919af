"""Losses that take the place of the policy gradient."""

from __future__ import annotations

import math

from unsharpen.batch import Array
from unsharpen.errors import InputError
from unsharpen.losses.batch import LossBatch, LossTerm, detached


def balance_flow(*, beta: float = 15.0, max_weight: float = 10.0) -> LossTerm:
    """Match the distribution ``pi_ref exp(beta A)`` instead of maximising: ``w (m - beta A - m_ref)^2``.

    ::

        m, m_ref = mean token log-probabilities of the completion;  A = its mean advantage
        w = min(max_weight, pi(y) / pi_old(y)), without gradient

    Every token of a completion carries the same value, so the mean over its tokens is the loss of the completion.

    Args:
        beta: above 0.
        max_weight: above 0.

    References:
        FlowRL, arXiv 2509.15207, in the form without a head for log Z and with weights up to 10, which the authors'
        recipe for verl has. The paper's form adds ``log Z(x)`` of a network on the prompt's hidden states.
    """
    if not 0 < beta < math.inf or not 0 < max_weight < math.inf:
        raise InputError(f"need beta and max_weight above 0; found {beta} and {max_weight}")

    def apply(batch: LossBatch) -> Array:
        xp, mean = batch.xp, batch.mean_over_tokens
        gap = mean(batch.logprobs) - beta * mean(batch.advantages) - mean(batch.reference_logprobs)
        total = detached(xp.sum(batch.log_ratio, axis=1, keepdims=True))
        weight = xp.exp(xp.clip(total, None, math.log(max_weight)))
        return batch.own(weight * gap * gap * xp.ones_like(batch.logprobs))

    return LossTerm(
        "balance_flow", apply, frozenset({"reference_logprobs"}), replaces_policy_loss=True, replaces_kl=True
    )


def value_uniform_policy(*, rho: float = 1.0, future: float = 1.0) -> LossTerm:
    """Regress ``rho log(pi / pi_old)`` onto the value of a policy that chooses uniformly.

    ::

        (rho log(pi_t / pi_old_t) - target_t)^2
        target_t = A + future rho (mean_v log pi_{t+1}(v) - mean_v log pi_old_{t+1}(v)), without gradient

    The logits stand for action values; the uniform policy's value of the next state is their mean over the vocabulary.
    At the last token the future is 0. With one update per batch it is 0 everywhere, and the gradient is that of the
    policy gradient, twice.

    Args:
        rho: above 0.
        future: at least 0; how much of the next state's value counts.

    References:
        ROVER, arXiv 2509.24981 and the authors' code.
    """
    if not 0 < rho < math.inf or not 0 <= future < math.inf:
        raise InputError(f"need rho above 0 and future >= 0; found {rho} and {future}")

    def apply(batch: LossBatch) -> Array:
        xp = batch.xp
        value = batch.own(batch.mean_logprobs - batch.old_mean_logprobs)
        following = xp.concat([value[:, 1:], xp.zeros_like(value[:, :1])], axis=1)
        gap = rho * batch.log_ratio - (batch.advantages + future * rho * detached(following))
        return batch.own(gap * gap)

    needs = frozenset({"mean_logprobs", "old_mean_logprobs"})
    return LossTerm("value_uniform_policy", apply, needs, replaces_policy_loss=True)
