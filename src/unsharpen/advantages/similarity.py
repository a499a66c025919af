"""Completions that resemble the others of their group count for less: by embeddings."""

from __future__ import annotations

from unsharpen.advantages.baselines import zero_masked
from unsharpen.advantages.chain import Transform
from unsharpen.advantages.pairs import cosine, highest, positions, same_answer, sum_over_group
from unsharpen.batch import Array, GroupBatch

_EPS = 1e-6


def discount_similar() -> Transform:
    """Divide the reward by how much company it has: ``x_i / sum_j max(cos(e_i, e_j), 0)``, itself included.

    A completion unlike all others keeps its reward; one of n copies keeps an n-th of it, so that the copies together
    count once.

    References:
        DRA-GRPO, arXiv 2505.09655; checked against the authors' code (1e-6 in the denominator). Deviations: the sum
        runs over the *prompt's* group, where the code takes whatever completions lie on the device; cosines below 0
        count as 0, so that the sum is at least 1 and no sign flips.
    """

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        similarity = cosine(batch)
        company = sum_over_group(lambda j: batch.xp.clip(similarity(j), 0, None), batch)
        return zero_masked(advantages / (company + _EPS), batch)

    return Transform("discount_similar", apply, frozenset({"embeddings"}))


def reward_majority_and_novelty() -> Transform:
    """Label-free: the majority answer earns [.5, 1], other answers [-1, -.5], more for what is new.

    ::

        novelty_i = 1 - (mean_{j in i's class} s_ij + max_j s_ij) / 2,   s_ij = cosine clipped to [0, 1], j != i
        u_i = novelty, scaled to [0, 1] within the class;   r_i = .5 + .5 u_i or -1 + .5 u_i

    The classes are "gives the majority answer" and "gives another". A completion alone in its class has u = 1 (and its
    mean over all others); u = 1/2 where the class is equally novel throughout. A completion without a readable answer
    (a negative id) earns -1 and is compared with nobody. The incoming values and the ``correct`` flags are ignored.

    References:
        EVOL-RL, arXiv 2509.15194; checked against the authors' code. Deviations: of equally frequent answers the
        smallest id is the majority, where the code takes the first one sampled; a lone readable answer earns 1, where
        the code leaves -1; novelties within 1e-6 of each other count as equal.
    """

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        xp = batch.xp
        readable = batch.mask & (batch.answers >= 0)
        majority = _majority(batch, readable)
        novelty = _novelty(batch, readable, majority)
        zero = xp.zeros_like(novelty)
        rewards = -xp.ones_like(novelty)
        for members, base in ((majority, 0.5), (readable & ~majority, -1.0)):
            low = -highest(-novelty, members)
            spread = highest(novelty, members) - low
            scaled = (novelty - low) / xp.where(spread > _EPS, spread, xp.ones_like(spread))
            scaled = xp.where(spread > _EPS, scaled, zero + 0.5)
            lone = xp.sum(xp.astype(members, novelty.dtype), axis=1, keepdims=True) == 1
            scaled = xp.where(lone, zero + 1, scaled)
            rewards = xp.where(members, base + 0.5 * scaled, rewards)
        return zero_masked(rewards, batch)

    return Transform("reward_majority_and_novelty", apply, frozenset({"answers", "embeddings"}))


def _majority(batch: GroupBatch, readable: Array) -> Array:
    """[P, G] bool: gives the most frequent readable answer."""
    xp, answers = batch.xp, batch.answers
    votes = xp.where(readable, sum_over_group(same_answer(batch), batch), xp.zeros_like(batch.rewards))
    winners = readable & (votes == xp.max(votes, axis=1, keepdims=True))
    return readable & (answers == -highest(-answers, winners))


def _novelty(batch: GroupBatch, readable: Array, majority: Array) -> Array:
    """[P, G] 1 - (mean similarity within the class + greatest similarity) / 2."""
    xp, similarity, position = batch.xp, cosine(batch), positions(batch)
    zero = xp.zeros_like(batch.rewards)
    own_sum, own_count, all_sum, all_count, greatest = zero, zero, zero, zero, zero
    for j in range(batch.rewards.shape[1]):
        value = xp.astype(xp.clip(similarity(j), 0, 1), zero.dtype)
        other = xp.astype(readable[:, j : j + 1] & (position != j), zero.dtype)
        own = other * xp.astype(majority[:, j : j + 1] == majority, zero.dtype)
        own_sum, own_count = own_sum + own * value, own_count + own
        all_sum, all_count = all_sum + other * value, all_count + other
        greatest = xp.where(other * value > greatest, other * value, greatest)
    half = zero + 0.5
    over_all = xp.where(all_count > 0, all_sum / xp.clip(all_count, 1, None), half)
    mean = xp.where(own_count > 0, own_sum / xp.clip(own_count, 1, None), over_all)
    return 1 - (mean + xp.where(all_count > 0, greatest, half)) / 2
