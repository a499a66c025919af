"""Weights: by the prompt's difficulty, by the sign of the verdict, by risk, by entropy, by the reference model."""

from __future__ import annotations

import math

from unsharpen.advantages.baselines import group_mean, require_binary, zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pairs import highest
from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError


def weigh_by_difficulty(*, gamma: float = 0.5) -> Transform:
    """Turn down groups that mostly succeed: ``x_i (1 - c / G)^gamma``, the same weight for the whole group.

    A group that mostly succeeds shows the common solutions and misses the rare ones, from which its update then takes.
    Groups without a wrong completion get 0.

    Args:
        gamma: at least 0; 0 changes nothing.

    References:
        F-GRPO, arXiv 2602.06717 (gamma .5); compared with the baseline in the code of UCPO.
    """
    check_coefficients(gamma=gamma)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        return advantages * (1 - batch.num_correct / batch.num_completions) ** gamma

    return Transform("weigh_by_difficulty", apply)


def seek_risk(*, beta: float = 2.0) -> Transform:
    """The gradient of a risk-seeking objective: ``A_i = (e^{beta x_i} / mean_j e^{beta x_j} - 1) / beta``.

    It maximises ``log E[e^{beta r}] / beta``, which lies between the mean reward (beta 0, where this is the centred
    reward) and the best reward (large beta): hard prompts weigh more than easy ones.

    Args:
        beta: at least 0.

    References:
        RS-GRPO, arXiv 2509.24261; checked against the authors' code (beta 2, no std). Deviation: a group of one gets
        0, where the code keeps ``(e^{beta r} - 1) / beta``.
    """
    check_coefficients(beta=beta)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        if beta == 0:
            return zero_masked(advantages - group_mean(advantages, batch), batch)
        z = beta * zero_masked(advantages - highest(advantages, batch.mask), batch)
        raised = zero_masked(xp.expm1(z), batch)  # e^z - 1, exact for small z
        mean = group_mean(raised, batch)
        return zero_masked((raised - mean) / (1 + mean) / beta, batch)

    return Transform("seek_risk", apply)


def credit_by_sign(*, correct: float, wrong: float) -> Transform:
    """No baseline at all: ``A_i = correct`` if correct, ``-wrong`` if not. The incoming values are ignored.

    Positive credit alone sharpens; negative credit alone moves the mass of wrong completions to all others in
    proportion to their probability, and so keeps the variety.

    Args:
        correct: at least 0.
        wrong: at least 0.

    Raises:
        InputError: (when applied) a reward is neither 0 nor 1.

    References:
        arXiv 2506.01347; checked against the authors' code.
    """
    check_coefficients(correct=correct, wrong=wrong)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        require_binary(batch, by="credit_by_sign")
        one = batch.xp.ones_like(batch.rewards)
        return zero_masked(batch.xp.where(batch.correct, correct * one, -wrong * one), batch)

    return Transform("credit_by_sign", apply, binary_rewards=True)


def weigh_by_entropy(*, alpha: float, temperature: float) -> Transform:
    """Weigh by advantage and entropy: ``x_i G w_i``, ``w = softmax over the group of (x + alpha H) / temperature``.

    ``H`` is the mean token entropy. The weights have mean 1, so that a trainer's mean over completions is the weighted
    sum of the paper; an endless temperature changes nothing.

    Args:
        alpha: per nat; at least 0.
        temperature: above 0.

    References:
        EGSW, arXiv 2503.22456, in its form for whole trajectories.
    """
    check_coefficients(alpha=alpha)
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature must be positive and finite, found {temperature}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        score = (advantages + alpha * batch.entropies) / temperature
        raw = zero_masked(xp.exp(zero_masked(score - highest(score, batch.mask), batch)), batch)
        return advantages * batch.num_completions * raw / xp.sum(raw, axis=1, keepdims=True)

    return Transform("weigh_by_entropy", apply, frozenset({"entropies"}))


def divide_by_relative_entropy(*, max_weight: float = 10.0) -> Transform:
    """Confident completions learn more, from success and from failure: ``x_i min(mean(H) / H_i, max_weight)``.

    ``H`` is the mean token entropy of a completion under the policy that sampled it; its mean is over the batch.
    Confident mistakes are pushed down hardest, which keeps the entropy up.

    Args:
        max_weight: at least 1.

    References:
        EDGE-GRPO, arXiv 2507.21848, its entropy-driven advantage; checked against the authors' code. Deviations: H is
        taken when sampling, without gradient (the code takes it in the loss, and does not detach it), over a
        completion's own tokens (the code's mean includes padding, so that it seldom comes near 0), and its mean over
        the whole batch (there a micro-batch of all processes). The weight is bounded, as in a line that the code has
        commented out: a short completion without any choice would have a weight of millions.
    """
    if not 1 <= max_weight < math.inf:
        raise InputError(f"max_weight must be finite and at least 1, found {max_weight}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        entropy = batch.entropies
        mean = xp.sum(zero_masked(entropy, batch)) / xp.astype(xp.sum(batch.num_completions), entropy.dtype)
        none = mean == 0  # nobody had a choice: all weigh 1
        bounded = xp.clip(entropy, mean / max_weight, None)
        return advantages * xp.where(none, xp.ones_like(entropy), mean / xp.where(none, xp.ones_like(entropy), bounded))

    return Transform("divide_by_relative_entropy", apply, frozenset({"entropies"}))


def level_correct_modes(*, beta: float) -> Transform:
    """Make all correct completions equally good for a policy that a KL term holds to the reference.

    ::

        x_i = R(z) + beta (log pi_ref(z) - log pi_ref(y_i)) if correct, x_i if not

    ``z`` is the group's correct completion that the reference model likes best, ``R(z)`` its reward. The optimum of
    ``E[x] - beta KL(pi, pi_ref)`` then gives all correct completions the same probability, however the reference
    weighs them. Put it first in a chain, and do not divide by a std: that would change beta in one place only.

    Args:
        beta: the coefficient of the KL term, which sums over the tokens; at least 0.

    References:
        MARA, arXiv 2510.20817, Eq. 11 and Algorithm 1. Its threshold on the reward is here the batch's ``correct``.
    """
    check_coefficients(beta=beta)

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        reference = batch.reference_logprobs
        best = highest(reference, batch.correct)
        value = highest(advantages, batch.correct & (reference == best))
        return batch.xp.where(batch.correct, value + beta * (best - reference), advantages)

    return Transform("level_correct_modes", apply, frozenset({"reference_logprobs"}))
