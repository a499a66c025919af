"""Rare correct completions count for more: by likelihood, by how often the answer occurs, by cluster."""

from __future__ import annotations

from typing import Literal, get_args

from unsharpen.advantages.baselines import zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pairs import Column, cosine, highest, same_answer, sum_over_group
from unsharpen.advantages.smoothing import check_coefficients
from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError

Cluster = Literal["answers", "embeddings"]
_ROUNDING = 1e-6  # of a cosine in float32
_LEAST_SHARE = 1e-6  # of UCPO's softmax, as in its code


def discount_likely(*, beta: float = 0.25) -> Transform:
    """Take from the reward of likely completions: ``x_i (1 - beta rank_i / G)``, rank 0 for the least likely one.

    The rank is by mean token log-probability under the sampling policy; it puts the first step of a chain in place of
    the raw rewards. Ranks know no scale, so one beta serves any length of text.

    Args:
        beta: in [0, 1]; 0 changes nothing.

    References:
        Unlikeliness reward, arXiv 2506.02355; checked against the authors' code (beta .25). Deviation: completions of
        equal likelihood share their mean rank, where the code ranks them by position.
    """
    check_coefficients(beta=beta)
    if beta > 1:
        raise InputError(f"beta must be at most 1, found {beta}", hint="above 1 a correct completion loses its reward")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        mean = mean_logprob(batch)
        below = sum_over_group(lambda j: mean[:, j : j + 1] < mean, batch)
        equal = sum_over_group(lambda j: mean[:, j : j + 1] == mean, batch)
        rank = below + (equal - 1) / 2
        return zero_masked(advantages * (1 - beta * rank / batch.num_completions), batch)

    return Transform("discount_likely", apply, frozenset({"logprobs", "lengths"}))


def favour_unlikely_correct(*, tau: float = 0.2) -> Transform:
    """Hand the advantage of a group's correct completions to the unlikely ones among them.

    ::

        q = softmax of m over the correct completions,   v = normalised 1 / max(q, 1e-6)
        A_i = x_i ((1 - tau) + tau c v_i)

    ``m`` is the mean token log-probability and ``c`` the number of correct completions. The factors have mean 1, so
    the sum stays where the correct completions have equal advantages, as they have for 0/1 rewards. Groups with at
    most one correct completion, and wrong completions, stay as they are.

    Args:
        tau: in [0, 1]; 0 changes nothing, 1 makes the advantage inversely proportional to q.

    References:
        UCPO, arXiv 2605.00365; checked against the authors' code (tau .2, length-normalised log-probs).
    """
    check_coefficients(tau=tau)
    if tau > 1:
        raise InputError(f"tau must be at most 1, found {tau}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, count = batch.xp, batch.num_correct
        mean = mean_logprob(batch)
        zero = xp.zeros_like(mean)
        relative = xp.where(batch.correct, mean - highest(mean, batch.correct), zero)
        raw = xp.where(batch.correct, xp.exp(relative), zero)
        share = raw / xp.clip(xp.sum(raw, axis=1, keepdims=True), 1, None)  # the likeliest has raw 1
        inverse = xp.where(batch.correct, 1 / xp.clip(share, _LEAST_SHARE, None), zero)
        target = inverse / xp.clip(xp.sum(inverse, axis=1, keepdims=True), 1, None)
        factor = (1 - tau) + tau * count * target
        return xp.where(batch.correct & (count > 1), advantages * factor, advantages)

    return Transform("favour_unlikely_correct", apply, frozenset({"logprobs", "lengths"}))


def scale_by_distinctness(*, floor: float = 0.1, cluster: Cluster = "answers", threshold: float = 0.9) -> Transform:
    """Multiply the reward by how many of the correct completions do *not* say the same.

    ::

        d_i = (c - size_i) / (c - 1),   x_i max(d_i, floor) if correct, x_i floor if not

    ``size_i`` counts the correct completions in i's cluster, itself included. As in the published code, a lone correct
    completion is multiplied by the floor too, so hard prompts weigh less than prompts with several solutions.

    Args:
        floor: in [0, 1]; 1 changes nothing.
        cluster: ``"answers"``: the same answer id; ``"embeddings"``: a cosine of at least ``threshold``.
        threshold: read with ``cluster="embeddings"`` only.

    References:
        DARLING, arXiv 2509.02534; checked against the authors' code for mathematics (floor .1, only correct
        completions count). Deviation: they cluster by a trained classifier, served beside the trainer.
    """
    if not 0 <= floor <= 1 or not -1 <= threshold <= 1 or cluster not in get_args(Cluster):
        raise InputError(
            "need floor in [0, 1], threshold in [-1, 1] and cluster 'answers' or 'embeddings'; "
            f"found {floor}, {threshold} and {cluster!r}"
        )

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, count = batch.xp, batch.num_correct
        same = same_answer(batch) if cluster == "answers" else _near(batch, threshold)
        size = sum_over_group(lambda j: batch.correct[:, j : j + 1] & same(j), batch)
        distinct = xp.clip((count - size) / xp.clip(count - 1, 1, None), floor, None)
        return zero_masked(advantages * xp.where(batch.correct, distinct, floor * xp.ones_like(distinct)), batch)

    return Transform("scale_by_distinctness", apply, frozenset({cluster}))


def reward_even_answers() -> Transform:
    """Replace the reward by how evenly the group uses the valid answers.

    ::

        r_i = 1 - |f_i - 1 / L| if correct, -1 if not

    ``f_i`` is the share of i's answer among the group's correct completions and ``L = num_solutions`` the number of
    correct answers that exist: best is a group that uses each of them equally often. The incoming values are ignored.

    Raises:
        InputError: (when applied) a prompt with a correct completion has ``num_solutions`` below 1.

    References:
        GAPO, arXiv 2511.12596; the formula as two independent re-implementations have it.
    """

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp, count = batch.xp, batch.num_correct
        known = batch.num_solutions[:, None]
        wrong = (known < 1) & (count > 0)
        if bool(xp.any(wrong)):
            row = int(xp.argmax(xp.astype(xp.reshape(wrong, (-1,)), xp.int32)))
            raise InputError(
                f"`num_solutions` must be at least 1 where a completion is correct; prompt {row} has "
                f"{int(batch.num_solutions[row])}"
            )
        same = same_answer(batch)
        uses = sum_over_group(lambda j: batch.correct[:, j : j + 1] & same(j), batch)
        share = uses / xp.clip(count, 1, None)
        even = 1 - xp.abs(share - 1 / xp.astype(xp.clip(known, 1, None), share.dtype))
        return zero_masked(xp.where(batch.correct, even, -xp.ones_like(even)), batch)

    return Transform("reward_even_answers", apply, frozenset({"answers", "num_solutions"}))


def divide_by_answer_frequency(*, floor: float = 1e-6) -> Transform:
    """Inverse probability scaling: ``x_i / max(phat_i, floor)``, phat the share of i's answer in its group.

    In expectation every outcome then pulls with its reward alone and not with its probability times its reward, which
    is what makes the likelier of two equally good outcomes win.

    Args:
        floor: in (0, 1]; the least share. 1 changes nothing.

    References:
        IPS-GRPO, arXiv 2601.21669; the formula as two independent re-implementations have it.
    """
    if not 0 < floor <= 1:
        raise InputError(f"floor must be in (0, 1], found {floor}")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        frequency = sum_over_group(same_answer(batch), batch) / batch.num_completions
        return zero_masked(advantages / batch.xp.clip(frequency, floor, None), batch)

    return Transform("divide_by_answer_frequency", apply, frozenset({"answers"}))


def mean_logprob(batch: GroupBatch) -> Array:
    """[P, G] log-probability per token under the sampling policy, 0 where masked."""
    xp = batch.xp
    lengths = xp.where(batch.mask, batch.lengths, xp.ones_like(batch.lengths))
    return batch.logprobs / xp.astype(lengths, batch.logprobs.dtype)


def _near(batch: GroupBatch, threshold: float) -> Column:
    similarity = cosine(batch)
    return lambda j: similarity(j) >= threshold - _ROUNDING
