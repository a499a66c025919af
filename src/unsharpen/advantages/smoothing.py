"""Differential smoothing: lower the advantage of likely *correct* completions, so that rare ones survive.

The paper (arXiv 2511.19942, ICML 2026, Eq. 6), with A_i the GRPO advantage and pi_old the policy that sampled::

    A_i - gamma_p log pi_old(y_i | x)    if y_i is correct
    A_i + gamma_n log pi_old(y_i | x)    if it is not

``log pi <= 0``, so with positive gammas a correct completion gains the more the less likely it was, and an incorrect
one loses the more the less likely it was: correctness pulls where diversity can't hurt, diversity where correctness
is already won. The published code and text differ in how long completions are normalised and in when the term is
added; :mod:`unsharpen.catalogue.smoothing` builds each form from the functions here.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from unsharpen.advantages.baselines import zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

Length = Literal["mean", "sum"]
_LEAST_SCALE = 1e-3  # nats; below it differences between log-probs are rounding, not preference
Reference = Literal["sampling", "base"]


def differential_smoothing(
    *, gamma_p: float, gamma_n: float, length: Length = "mean", reference: Reference = "sampling"
) -> Transform:
    """Smooth correct and incorrect completions in opposite directions.

    ``A_i = x_i - gamma_p L_i`` if correct, ``x_i + gamma_n L_i`` if not, where ``L_i`` is the completion's
    log-probability: its mean over tokens (``length="mean"``) or its sum (``length="sum"``, Eq. 6 as printed).
    The result is not centred again.

    Put it *after* the baseline for Eq. 6, or *before* it to shape the score itself. Use the mean for long text, where
    the sum would drown the reward; use the sum for short completions, where the mean hardly differs between them.
    A gamma_n above 0 speeds up correctness and *adds* to the collapse; see the theory notes before you raise it.

    Args:
        gamma_p: smoothing of correct completions, per nat; at least 0.
        gamma_n: smoothing of incorrect completions, per nat; at least 0.
        length: ``"mean"`` needs ``lengths``.
        reference: whose log-probability: of the policy that sampled, or of the frozen base model. The latter is
            meant for runs with a KL term; without one its optimum is a point mass on the rarest correct completion.

    Raises:
        InputError: a gamma is negative or not finite. A public fork flipped this sign and so reversed the method.

    References:
        arXiv 2511.19942, Eq. 6 and, for the mean form, the method's public code at MaxRL (arXiv 2602.02710).

    Example:
        >>> from unsharpen import GroupBatch
        >>> batch = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]], logprobs=[[-4.0, -2.0]])
        >>> smooth = differential_smoothing(gamma_p=0.5, gamma_n=0.25, length="sum")
        >>> smooth(batch.rewards, batch).tolist()  # 1 + .5 * 4, 0 - .25 * 2
        [[3.0, -0.5]]
    """
    check_coefficients(gamma_p=gamma_p, gamma_n=gamma_n)
    logprob = _logprob(length, reference)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        L_PG = logprob(advantages, batch)
        return zero_masked(advantages + batch.xp.where(batch.correct, -gamma_p * L_PG, gamma_n * L_PG), batch)

    return Transform("differential_smoothing", apply, logprob.requires)


def entropy_smoothing(*, gamma: float, length: Length = "sum", reference: Reference = "sampling") -> Transform:
    """The uniform control: ``A_i = x_i - gamma L_i`` for every completion, right or wrong.

    In expectation this is the policy gradient of ``E[r] + gamma H(pi)``: an entropy bonus for gamma > 0, a penalty
    for gamma < 0. It buys variety among *wrong* answers too, which is what differential smoothing avoids.

    Args:
        gamma: coefficient per nat; its sign chooses bonus or penalty.
        length: as in :func:`differential_smoothing`; ``"sum"`` is the exact entropy gradient.
        reference: as in :func:`differential_smoothing`.

    References:
        arXiv 2511.19942, the "entropy bonus" and "entropy penalty" that it compares with.
    """
    if not math.isfinite(gamma):
        raise InputError(f"gamma must be finite, found {gamma}")
    logprob = _logprob(length, reference)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        return zero_masked(advantages - gamma * logprob(advantages, batch), batch)

    return Transform("entropy_smoothing", apply, logprob.requires)


def centered_smoothing(
    *, kappa: float, clip: float = 3.0, all_correct_weight: float = 0.0, per_success: bool = False
) -> Transform:
    """Scale-free smoothing of correct completions: a z-score within the correct class instead of a raw log-prob.

    For a correct completion i of prompt p, with the mean taken over the correct completions of p::

        u_i = l_i - mean(l),   s = root mean square of u,   z_i = clip(u_i / s, -clip, clip)
        A_i = x_i - kappa * w_p * z_i,   w_p = all_correct_weight if all of p is correct, else 1

    and incorrect completions stay as they are. s is taken over all correct completions of the batch that are not the
    only one of their prompt (those have u = 0), and is at least 0.001 nats, so that a collapsed batch does not blow up
    rounding errors. Centring in the class keeps the smoothing from raising the pull towards correctness: uncentred, no
    gamma reverses the collapse on hard prompts with few solutions. The batch scale makes kappa independent of length
    and of the model. The clip bounds what an outlier gets, but outliers raise s and so weaken all the rest: with a few
    far ones, what is left is the method without smoothing.

    Args:
        kappa: advantage per standard deviation of log-probability; at least 0, typically .1 to .4.
        clip: in standard deviations.
        all_correct_weight: in [0, 1]; how strongly groups without any wrong completion are smoothed. More keeps more
            variety and costs some Pass@1.
        per_success: divide the term by the share of correct completions. Beside the advantages of MaxRL, whose
            objective is log p(correct), it is the gradient of the entropy of the correct completions among themselves.

    References:
        Ours, from the collapse law in the theory notes; not in the paper.

    Example:
        >>> from unsharpen import GroupBatch
        >>> batch = GroupBatch(rewards=[[1.0, 1.0, 0.0]], correct=[[True, True, False]], logprobs=[[-1.0, -3.0, -9.0]])
        >>> centered_smoothing(kappa=0.5)(batch.rewards, batch).tolist()  # u = +1, -1; s = 1
        [[0.5, 1.5, 0.0]]
    """
    check_coefficients(kappa=kappa, all_correct_weight=all_correct_weight)
    if all_correct_weight > 1 or not clip > 0:
        raise InputError(f"need all_correct_weight <= 1 and clip > 0; found {all_correct_weight} and {clip}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, count = batch.xp, batch.num_correct
        zero = xp.zeros_like(batch.logprobs)
        total = xp.sum(xp.where(batch.correct, batch.logprobs, zero), axis=1, keepdims=True)
        u_PG = xp.where(batch.correct, batch.logprobs - total / xp.clip(count, 1, None), zero)
        in_class = xp.where(count >= 2, count, xp.zeros_like(count))  # a lone correct completion has u = 0
        scale = xp.sqrt(xp.sum(u_PG * u_PG) / xp.clip(xp.sum(in_class), 1, None))
        z_PG = xp.clip(u_PG / xp.clip(scale, _LEAST_SCALE, None), -clip, clip)
        one = xp.ones_like(count)
        weight = xp.where(count == batch.num_completions, all_correct_weight * one, one)
        if per_success:
            weight = weight * batch.num_completions / xp.clip(count, 1, None)
        return advantages - kappa * weight * z_PG

    return Transform("centered_smoothing", apply, frozenset({"logprobs"}))


def _logprob(length: Length, reference: Reference) -> Transform:
    """A transform that ignores its input and returns L [P, G]."""
    if length not in get_args(Length) or reference not in get_args(Reference):
        raise InputError(
            f"need length 'mean' or 'sum' and reference 'sampling' or 'base'; found {length!r} and {reference!r}"
        )
    field = "logprobs" if reference == "sampling" else "reference_logprobs"

    def apply(_: Array, batch: GroupBatch) -> Array:
        total = getattr(batch, field)
        if length == "sum":
            return total
        lengths = batch.xp.where(batch.mask, batch.lengths, batch.xp.ones_like(batch.lengths))
        return total / batch.xp.astype(lengths, total.dtype)

    requires = {field, "lengths"} if length == "mean" else {field}
    return Transform("log-probability", apply, frozenset(requires))


def check_coefficients(**coefficients: float) -> None:
    """Raise unless every coefficient is finite and at least 0."""
    for name, value in coefficients.items():
        if not 0 <= value < math.inf:
            raise InputError(
                f"{name} must be finite and at least 0, found {value}",
                hint="positive coefficients smooth, as in the paper; there is no sign to flip",
            )
