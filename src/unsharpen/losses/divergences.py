"""Divergences from the base model, estimated on completions that the *base model* sampled before training."""

from __future__ import annotations

from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.batch import Array
from unsharpen.losses.batch import LossBatch, LossTerm

_LIMIT = 20.0  # nats; exp beyond it is of no use, and the authors' code clips here too


def push_to_forward_kl(*, coef: float) -> LossTerm:
    """``KL(base || pi)`` on the base model's own completions: ``coef (u - 1 - log u)``, ``u = pi / pi_base``.

    Its mean over tokens of the base model is the forward KL divergence, which grows where the policy gives up what the
    base model does: it covers modes instead of seeking one. ``old_logprobs`` are the base model's.

    References:
        DPH-RL, arXiv 2509.07430; the estimator (k3) and its clips are those of the authors' code. A token's value is
        clipped at 10, so one that the policy has given up by 11 nats or more is not pulled back.
    """
    check_coefficients(coef=coef)

    def apply(batch: LossBatch) -> Array:
        xp = batch.xp
        log_ratio = xp.clip(batch.log_ratio, -_LIMIT, _LIMIT)
        return coef * xp.clip(xp.exp(log_ratio) - log_ratio - 1, None, 10)

    return LossTerm("push_to_forward_kl", apply)


def push_to_jensen_shannon(*, coef: float) -> LossTerm:
    """Twice the Jensen-Shannon divergence: ``coef (u log u - (u + 1) log((u + 1) / 2))``, ``u = pi / pi_base``.

    Bounded by 2 log 2, so single tokens pull less hard than with the forward KL. ``old_logprobs`` are the base
    model's.

    References:
        DPH-RL, arXiv 2509.07430; the generator form (``js_low_var`` in the authors' code).
    """
    check_coefficients(coef=coef)

    def apply(batch: LossBatch) -> Array:
        xp = batch.xp
        log_ratio = xp.clip(batch.log_ratio, -_LIMIT, _LIMIT)
        ratio = xp.exp(log_ratio)
        return coef * (ratio * log_ratio - (ratio + 1) * xp.log((ratio + 1) / 2))

    return LossTerm("push_to_jensen_shannon", apply)
