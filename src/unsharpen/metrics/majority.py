"""maj@k: how often the most frequent answer of k samples is right.

The voting rule: k samples are drawn without replacement; those with a readable answer vote; the answer with most votes
wins, a tie is decided by an even draw among the tied answers; a draw without a vote is wrong. The value of a tie is its
expectation, not one draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, Integers, generator, nonnegative_integers
from unsharpen.metrics.answers import AnswerGroups, answer_groups
from unsharpen.metrics.pass_at_k import default_ks
from unsharpen.metrics.samples import UNREADABLE, SampleTable

_EXACT_COST = 200_000  # polynomial products, a few microseconds each
_EXACT_SAMPLES = 1000  # binomials of more samples overflow double precision
_DRAWN_SAMPLES = 8_000_000
_MIN_DRAWS, _MAX_DRAWS = 3, 256


@dataclass(frozen=True, eq=False)
class MajorityCurve:
    """maj@k of every problem.

    Args:
        ks: [K].
        values: [K, P] in [0, 1].
        exact: [K] whether the values are the exact expectation over all k-subsets, or the mean over `num_draws` drawn
            subsets, which is unbiased.
        num_draws: subsets drawn for each problem where not exact; 0 where all are exact.
    """

    ks: Integers
    values: Floats
    exact: NDArray[np.bool_]
    num_draws: int


def majority_at_k(counts: ArrayLike, right: ArrayLike, k: int, *, num_samples: int | None = None) -> float:
    """Exact expectation of maj@k for one problem, over all k-subsets of its samples.

        maj@k = sum_a r_a sum_m C(c_a, m) [z^(k-m)] prod_{b != a} (sum_{j < m} C(c_b, j) z^j + t C(c_b, m) z^m)
                / C(n, k)

    with t^T read as 1 / (T + 1): answer a has m votes, T others have as many, nobody has more. All terms are positive.

    Args:
        counts: samples of each answer [answers].
        right: whether an answer is right, or the share of its samples that is, in [0, 1] [answers].
        k: samples drawn, 1 <= k <= n.
        num_samples: n; default: the sum of the counts. More than that: the rest has no readable answer.

    Returns:
        A value in [0, 1].

    Raises:
        InputError: k out of range, n below the sum of the counts or above 1000, or shapes that differ.

    Reference: Wang et al. 2022, arXiv 2203.11171 (self-consistency); the expectation over subsets is ours.

    >>> majority_at_k([2, 1], [1, 0], 2)  # pairs aa, ab, ab: 1, 1/2, 1/2
    0.6666666666666666
    """
    c, r = nonnegative_integers("counts", counts), np.asarray(right, dtype=np.float64)
    total = int(c.sum())
    n = total if num_samples is None else num_samples
    if c.shape != r.shape or not ((r >= 0) & (r <= 1)).all():
        raise InputError(f"right must hold one number in 0..1 per answer; found {r.tolist()} for {c.size} answers")
    if not total <= n <= _EXACT_SAMPLES or not 1 <= k <= n:
        raise InputError(f"k must lie in 1..n, and n in {total}..{_EXACT_SAMPLES}; found k {k}, n {n}")
    won = math.fsum(r[a] * _wins(c, a, n - total, k) for a in np.flatnonzero((r > 0) & (c > 0)).tolist())
    return min(1.0, won / math.comb(n, k))


def majority_curve(
    table: SampleTable, ks: Iterable[int] | None = None, *, seed: int = 0, num_draws: int | None = None
) -> MajorityCurve:
    """maj@k of every problem of a table.

    Exact where that is cheap (k = 1, k = n, small k or few answers: at most 200,000 polynomial products in all);
    otherwise the mean over seeded random subsets, with ties by expectation: unbiased, and its noise is part of every
    interval over problems. A right answer without an identity can't vote: maj@1 then lies below Pass@1.

    Args:
        table: the samples; answers that are the same must have the same code.
        ks: at most the smallest n; default: powers of two up to it, and it.
        seed: of the subsets.
        num_draws: subsets per problem; default: what 8 million drawn samples allow, from 3 to 256.

    Raises:
        InputError: a k below 1 or above the smallest n, or num_draws below 1.
    """
    least = int(table.num_samples.min()) if table.num_problems else 0
    grid = default_ks(least) if ks is None else nonnegative_integers("ks", list(ks))
    if grid.size == 0 or grid.min() < 1 or grid.max() > least:
        raise InputError(f"ks must lie in 1..{least}, the smallest number of samples; found {grid.tolist()}")
    draws = min(_MAX_DRAWS, max(_MIN_DRAWS, _DRAWN_SAMPLES // table.problem.size)) if num_draws is None else num_draws
    if draws < 1:
        raise InputError(f"num_draws must be 1 or more; found {draws}")
    rng, groups = generator(seed), answer_groups(table)
    exact = _cheap(groups, table.num_samples, grid)
    values = np.zeros((grid.size, table.num_problems))
    for i in np.flatnonzero(exact):
        values[i] = _exact(groups, table.num_samples, int(grid[i]))
    if not exact.all():
        values[~exact] = _drawn(table, groups, grid[~exact], draws, rng)
    return MajorityCurve(grid, values, exact, 0 if exact.all() else draws)


def _wins(counts: Integers, a: int, abstaining: int, k: int) -> float:
    """Number of k-subsets that answer a wins, ties by their share."""
    others = sorted(int(c) for b, c in enumerate(counts) if b != a and c > 0)
    won = 0.0
    for m in range(1, min(int(counts[a]), k) + 1):
        rest = k - m
        ways = np.zeros((rest // m + 1, rest + 1))  # [others with m votes, samples used]
        used = min(abstaining, rest)
        ways[0, : used + 1] = [math.comb(abstaining, j) for j in range(used + 1)]
        for c in others:
            fewer = np.zeros_like(ways)
            for j in range(min(m - 1, c, rest) + 1):
                fewer[:, j:] += math.comb(c, j) * ways[:, : rest + 1 - j]
            if m <= min(c, rest):
                fewer[1:, m:] += math.comb(c, m) * ways[:-1, : rest + 1 - m]
            ways = fewer
        won += math.comb(int(counts[a]), m) * float((ways[:, rest] / np.arange(1, len(ways) + 1)).sum())
    return won


def _cheap(groups: AnswerGroups, num_samples: Integers, ks: Integers) -> NDArray[np.bool_]:
    """For which ks, from the first on, the exact expectation stays within the budget; k = 1 and k = n always do."""
    direct = (ks == 1) | (num_samples == ks[:, None]).all(axis=1)
    right = np.bincount(groups.problem[groups.num_correct > 0], minlength=groups.num_problems)
    size = groups.distinct.astype(np.float64) * right
    cost = np.asarray([float((size * k * k / 2).sum()) for k in ks.tolist()])
    fits = (np.cumsum(np.where(direct, 0.0, cost)) <= _EXACT_COST) & (num_samples.max(initial=0) <= _EXACT_SAMPLES)
    return np.asarray(direct | fits)


def _exact(groups: AnswerGroups, num_samples: Integers, k: int) -> Floats:
    share = groups.num_correct / groups.count
    starts = np.searchsorted(groups.problem, np.arange(groups.num_problems + 1))
    if k == 1:
        return np.bincount(groups.problem, groups.num_correct, groups.num_problems) / num_samples
    if (num_samples == k).all():
        return _winners(groups.count, share, groups.problem, groups.num_problems)
    return np.asarray(
        [
            majority_at_k(groups.count[i:j], share[i:j], k, num_samples=n) if j > i else 0.0
            for i, j, n in zip(starts[:-1].tolist(), starts[1:].tolist(), num_samples.tolist(), strict=True)
        ]
    )


def _winners(votes: Integers, share: Floats, problem: Integers, num_problems: int) -> Floats:
    """[P] the share of the right among the answers with most votes; 0 without a vote."""
    most = np.zeros(num_problems, dtype=np.int64)
    np.maximum.at(most, problem, votes)
    top = (votes == most[problem]) & (votes > 0)
    tied = np.bincount(problem[top], minlength=num_problems)
    return np.bincount(problem[top], share[top], num_problems) / np.maximum(tied, 1)


def _drawn(table: SampleTable, groups: AnswerGroups, ks: Integers, draws: int, rng: np.random.Generator) -> Floats:
    """[K, P] means over random subsets: the first k samples of each problem in a random order."""
    width = max(1, len(table.answer_names))
    group = np.searchsorted(groups.problem * width + groups.answer, table.problem * width + table.answers)
    group[table.answers == UNREADABLE] = -1
    share = groups.num_correct / groups.count
    starts = np.cumsum(table.num_samples) - table.num_samples
    order = np.argsort(ks, kind="stable")
    total = np.zeros((ks.size, table.num_problems))
    for _ in range(draws):
        shuffled = np.argsort(table.problem + rng.random(table.problem.size))
        position = np.arange(table.problem.size) - starts[table.problem[shuffled]]
        voter = group[shuffled]
        votes, last = np.zeros(groups.count.size, dtype=np.int64), 0
        for i in order.tolist():
            k = int(ks[i])
            new = voter[(position >= last) & (position < k) & (voter >= 0)]
            votes += np.bincount(new, minlength=votes.size)
            total[i] += _winners(votes, share, groups.problem, groups.num_problems)
            last = k
    return np.asarray(total / draws)
