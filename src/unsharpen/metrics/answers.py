"""Answers per problem, as arrays: how often each came, how many differ, and how evenly they are spread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unsharpen.metrics._checks import Floats, Integers
from unsharpen.metrics.samples import UNREADABLE, SampleTable


@dataclass(frozen=True, eq=False)
class AnswerGroups:
    """Samples with the same answer to the same problem, grouped; sorted by problem.

    Args:
        num_problems: P, problems without a readable answer included.
        problem: [G] problem of each group.
        answer: [G] its answer code.
        count: [G] its samples.
        num_correct: [G] the correct ones among them.
    """

    num_problems: int
    problem: Integers
    answer: Integers
    count: Integers
    num_correct: Integers

    @cached_property
    def total(self) -> Integers:
        """[P] samples with a readable answer."""
        return self._sum(self.count).astype(np.int64)

    @cached_property
    def distinct(self) -> Integers:
        """[P] distinct answers."""
        return np.bincount(self.problem, minlength=self.num_problems).astype(np.int64)

    @cached_property
    def effective(self) -> Floats:
        """[P] effective number 1 / sum q^2; NaN below two, as for `effective_number`."""
        total = self.total.astype(np.float64)
        number = self._ratio(total * total, self._sum(np.square(self.count.astype(np.float64))))
        return np.where(total >= 2, number, np.nan)

    @cached_property
    def entropy(self) -> Floats:
        """[P] entropy of the answers in nats, -sum q ln q; NaN without an answer."""
        shares = self.count / self.total[self.problem]
        return np.where(self.total > 0, np.maximum(0.0, self._sum(-shares * np.log(shares))), np.nan)

    @cached_property
    def pairwise(self) -> Floats:
        """[P] chance that two different samples have different answers, unbiased; NaN below two."""
        total = self.total.astype(np.float64)
        equal = self._sum(self.count * (self.count - 1.0))
        return 1 - self._ratio(equal, total * (total - 1))

    @cached_property
    def largest_share(self) -> Floats:
        """[P] share of the most frequent answer; NaN without an answer."""
        most = np.zeros(self.num_problems)
        np.maximum.at(most, self.problem, self.count)
        return self._ratio(most, self.total.astype(np.float64))

    def _sum(self, values: Floats | Integers) -> Floats:
        return np.asarray(np.bincount(self.problem, values, self.num_problems), dtype=np.float64)

    @staticmethod
    def _ratio(above: Floats, below: Floats) -> Floats:
        return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))


def answer_groups(table: SampleTable, *, correct: bool | None = None) -> AnswerGroups:
    """The readable answers of all samples, of the correct ones, or of the wrong ones.

    Args:
        table: the samples.
        correct: None for all of them.

    Returns:
        AnswerGroups; the same numbers as the functions of one problem (`effective_number`, ...), for all problems.

    >>> rows = [{"problem_id": "p", "correct": c, "canonical": a} for c, a in [(1, "x"), (1, "y"), (0, "z"), (0, None)]]
    >>> groups = answer_groups(SampleTable.from_rows(rows, label="m"))
    >>> groups.distinct.tolist(), groups.total.tolist(), groups.entropy.round(4).tolist()
    ([3], [3], [1.0986])
    """
    kept: NDArray[np.bool_] = table.answers != UNREADABLE
    if correct is not None:
        kept = kept & (table.correct == correct)
    width = max(1, len(table.answer_names))
    keys = table.problem[kept] * width + table.answers[kept]
    unique, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    right = np.bincount(inverse.ravel(), weights=table.correct[kept], minlength=unique.size).astype(np.int64)
    return AnswerGroups(table.num_problems, unique // width, unique % width, count.astype(np.int64), right)
