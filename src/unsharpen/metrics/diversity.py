"""Diversity among the *correct* completions of a problem, by solution identity.

A solution is any hashable id: the canonical form of an expression, a cluster number, a final answer. Counts
are the number of correct completions c_i per distinct solution, c = sum c_i, shares q_i = c_i / c.

One rule for all measures of shares: below two correct completions they are undefined (NaN), because one completion
can only say 1, however diverse the model is. A mean leaves such problems out, and counts them. Training logs,
evaluations and reports follow it alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Integers, nonnegative_integers
from unsharpen.metrics.pass_at_k import pass_at_k


def distinct(solutions: Iterable[Hashable]) -> int:
    """Number of distinct solutions among the correct completions.

        S = |{s_1, ..., s_c}|

    It grows with the number of correct completions, so compare it at equal numbers only; otherwise use
    `expected_distinct` or `effective_number`.

    Args:
        solutions: one id per correct completion.

    Returns:
        The count, 0 when nothing is correct.

    >>> distinct(["1+2", "3*1", "1+2"])
    2
    """
    return len(set(solutions))


def effective_number(counts: ArrayLike) -> float:
    """Effective number of correct solutions (Hill number of order 2).

        N_eff = 1 / sum_i q_i^2

    The number of equally frequent solutions that would collide as often. Robust against rare solutions, and
    the quantity that sharpening drives to 1. As a plug-in it is at most c: biased low for small c, and undefined below
    two correct completions.

    Args:
        counts: correct completions per distinct solution [solutions].

    Returns:
        A value in [1, number of solutions]; NaN below two correct completions.

    Raises:
        InputError: negative or not integers.

    Reference: Hill 1973, Ecology 54(2), equation 1 with a = 2.

    >>> effective_number([3, 1])  # 1 / (9/16 + 1/16)
    1.6
    """
    array = _counts(counts)
    total = int(array.sum())
    return float(total**2 / np.square(array.astype(np.float64)).sum()) if total >= 2 else float("nan")


def entropy_number(counts: ArrayLike) -> float:
    """Exponential of the entropy of the solution shares (Hill number of order 1).

        exp(H) = exp(-sum_i q_i ln q_i)

    Between `distinct` and `effective_number`: it weighs rare solutions more than the latter.

    Args:
        counts: correct completions per distinct solution [solutions].

    Returns:
        A value in [1, number of solutions]; NaN below two correct completions.

    Raises:
        InputError: negative or not integers.

    Reference: Hill 1973, Ecology 54(2), the limit a -> 1.

    >>> round(entropy_number([5, 5]), 12)
    2.0
    """
    array = _counts(counts)
    total = int(array.sum())
    if total < 2:
        return float("nan")
    shares = array[array > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def pairwise_diversity(counts: ArrayLike) -> float:
    """Chance that two different correct completions are different solutions (PCMD, unbiased).

        D = 1 - sum_i c_i (c_i - 1) / (c (c - 1))

    The unbiased estimate of 1 - sum q^2, so runs with different numbers of correct completions compare
    fairly. Undefined below two correct completions: NaN, which a mean must count, not turn into 0.

    Args:
        counts: correct completions per distinct solution [solutions].

    Returns:
        A value in [0, 1], or NaN.

    Raises:
        InputError: negative or not integers.

    Reference: Simpson 1949, Nature 163, p. 688.

    >>> pairwise_diversity([2, 1, 1])  # 1 of the 6 pairs agrees: 1 - 2/12
    0.8333333333333334
    """
    array = _counts(counts).astype(np.float64)
    total = float(array.sum())
    return float(1 - (array * (array - 1)).sum() / (total * (total - 1))) if total >= 2 else float("nan")


def expected_distinct(counts: ArrayLike, num_drawn: int) -> float:
    """Expected number of distinct solutions among m correct completions drawn without replacement.

        E_m = sum_i (1 - C(c - c_i, m) / C(c, m))

    The rarefaction curve: it compares problems or runs with different numbers of correct completions at one
    m, by expectation instead of by one draw. It can't extrapolate to m > c.

    Args:
        counts: correct completions per distinct solution [solutions].
        num_drawn: m, completions drawn, 1 <= m <= c.

    Returns:
        A value in [1, min(m, number of solutions)].

    Raises:
        InputError: m < 1 or m > c, negative counts, not integers.

    Reference: Hurlbert 1971, Ecology 52(4), equation 14.

    >>> round(expected_distinct([2, 2], 2), 12)  # of the 6 pairs, 4 hold two solutions: (2 * 1 + 4 * 2) / 6
    1.666666666667
    """
    array = _counts(counts)
    total = int(array.sum())
    if not 1 <= num_drawn <= total:
        raise InputError(f"num_drawn must lie in 1..{total}, the number of correct ones; found {num_drawn}")
    return float(np.sum(pass_at_k(total, array, num_drawn)))


@dataclass(frozen=True)
class DiversitySummary:
    """Means over problems; each says in its comment over which ones."""

    num_problems: int
    num_with_correct: int  # problems with at least one correct completion
    num_with_pair: int  # problems with at least two
    distinct_correct: float  # over all problems, 0 where nothing is correct
    effective_solutions: float  # over problems with at least two
    entropy_solutions: float  # over problems with at least two
    pairwise_diversity: float  # over problems with at least two


def diversity_summary(solutions_per_problem: Sequence[Sequence[Hashable]]) -> DiversitySummary:
    """Mean diversity of the correct completions over problems.

        mean over the problems where the measure is defined, with the number of those problems

    `distinct_correct` counts an unsolved problem as 0, so it falls with accuracy, too; the other measures
    are conditional on correctness and leave problems with fewer than two correct completions out. Read them beside
    `num_with_pair`.

    Args:
        solutions_per_problem: for each problem the ids of its correct completions; may be empty.

    Returns:
        DiversitySummary; a mean over no problem is NaN.

    Raises:
        InputError: no problem, or a string where a sequence of ids belongs.

    >>> summary = diversity_summary([["a", "a", "b"], ["x"], []])
    >>> summary.distinct_correct, summary.effective_solutions, summary.num_with_pair
    (1.0, 1.8, 1)
    """
    if len(solutions_per_problem) == 0:
        raise InputError("solutions_per_problem must hold at least one problem; found none")
    for row, solutions in enumerate(solutions_per_problem):
        if isinstance(solutions, (str, bytes)):
            raise InputError(f"a problem must be a sequence of solution ids; problem {row} is a string")
    tallies = [list(Counter(solutions).values()) for solutions in solutions_per_problem]
    paired = [tally for tally in tallies if sum(tally) >= 2]
    return DiversitySummary(
        num_problems=len(tallies),
        num_with_correct=sum(map(bool, tallies)),
        num_with_pair=len(paired),
        distinct_correct=_mean([len(tally) for tally in tallies]),
        effective_solutions=_mean([effective_number(tally) for tally in paired]),
        entropy_solutions=_mean([entropy_number(tally) for tally in paired]),
        pairwise_diversity=_mean([pairwise_diversity(tally) for tally in paired]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _counts(counts: ArrayLike) -> Integers:
    array = nonnegative_integers("counts", counts)
    if array.ndim != 1:
        raise InputError(f"counts must be 1-d, one count per distinct solution; found shape {array.shape}")
    return array
