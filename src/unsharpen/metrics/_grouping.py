"""Problems with equal counts share one curve: grouping, and resampling weights per group."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from unsharpen.metrics._checks import Floats, Integers
from unsharpen.metrics.bootstrap import resample_counts
from unsharpen.metrics.pass_at_k import pass_at_k

_CHUNK_CELLS = 1 << 23  # at most 64 MB of weights at a time
_KS_AT_A_TIME = 64


class CountGroups:
    """The distinct (n, c) among the problems of one model; Pass@k is computed once for each.

    Args:
        num_samples: [P] n of each problem.
        num_correct: [P] c of each problem.
    """

    def __init__(self, num_samples: Integers, num_correct: Integers) -> None:
        pairs, inverse = np.unique(np.stack([num_samples, num_correct]), axis=1, return_inverse=True)
        self.n, self.c = pairs
        order = np.argsort(inverse.ravel(), kind="stable")
        self._order = order
        self._starts = np.searchsorted(inverse.ravel()[order], np.arange(self.n.size))

    def fold(self, weights: Floats) -> Floats:
        """[rows, P] weights of problems, summed per group: [rows, groups]."""
        return np.asarray(np.add.reduceat(weights[:, self._order], self._starts, axis=1))

    def curves(self, ks: Integers) -> Floats:
        """[ks, groups] Pass@k."""
        return np.asarray(pass_at_k(self.n, self.c, ks[:, None]))


def folded_resamples(
    models: tuple[CountGroups, ...], num_problems: int, num_resamples: int, seed: int
) -> Iterator[tuple[Floats, ...]]:
    """The weights of `resample_counts`, the same problems for every model, folded per model, in batches of rows."""
    kept: list[tuple[Floats, ...]] = []
    cells = 0
    for block in resample_counts(num_problems, num_resamples, seed):
        kept.append(tuple(model.fold(block) for model in models))
        cells += sum(part.size for part in kept[-1])
        if cells > _CHUNK_CELLS:
            yield tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))
            kept, cells = [], 0
    if kept:
        yield tuple(np.concatenate(parts) for parts in zip(*kept, strict=True))


def first_reach(lead: Callable[[Integers], Floats], num_rows: int, max_k: int, tie: float) -> tuple[Integers, Floats]:
    """Where a lead that depends on k first reaches 0.

    Args:
        lead: of some ks, the lead [rows, ks].
        num_rows: rows of the lead.
        max_k: the largest k to try.
        tie: a lead of at least -tie counts as reached.

    Returns:
        [rows] the first k, max_k + 1 for never; [rows] the same with a fraction, by a straight line between the lead
        at k - 1 and at k; k itself where k = 1.
    """
    first = np.full(num_rows, max_k + 1)
    exact = np.full(num_rows, float(max_k + 1))
    before = np.full(num_rows, np.nan)
    for start in range(1, max_k + 1, _KS_AT_A_TIME):
        ks = np.arange(start, min(start + _KS_AT_A_TIME, max_k + 1))
        values = lead(ks)
        reached = values >= -tie
        rows = np.flatnonzero((first > max_k) & reached.any(axis=1))
        at = reached[rows].argmax(axis=1)
        now = values[rows, at]
        prior = np.where(at > 0, values[rows, np.maximum(at - 1, 0)], before[rows])
        first[rows] = start + at
        with np.errstate(invalid="ignore"):
            back = np.clip(now / (now - prior), 0.0, 1.0)  # how far before k the line crosses 0
        exact[rows] = first[rows] - np.where(np.isnan(prior), 0.0, back)
        before = values[:, -1]
        if (first <= max_k).all():
            break
    return first, exact
