"""Pass@k curves over seeds, resampled together: crossover with the base, and samples needed for equal Pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.comparison.results import ArmResult, Results
from unsharpen.metrics import Crossover, Interval
from unsharpen.metrics.bootstrap import resample_counts
from unsharpen.metrics.pass_at_k import pass_at_k
from unsharpen.reports import Evaluation

Floats = NDArray[np.float64]
_RESAMPLES = 1000
_TIE = 1e-12  # means of Pass@k closer than this are equal up to rounding


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean Pass@k for k = 1..K: ``value`` [K], and under each resample of problems and seeds ``drawn`` [R, K]."""

    value: Floats
    drawn: Floats


class Curves:
    """The curves of all arms and of the base, under the same resamples of problems and seeds.

        curve_r(k) = sum_sp w_rs u_rp Pass@k_sp / sum_sp w_rs u_rp,  w, u: counts of seeds and problems drawn anew

    Problems are shared by all, seeds by the arms that have equally many, so that differences are paired. The base has
    one evaluation and varies with the problems alone. Reference: as for
    :func:`unsharpen.metrics.bootstrap_over_seeds`.
    """

    def __init__(self, results: Results, num_resamples: int = _RESAMPLES, seed: int = 0) -> None:
        self.results = results
        self.max_k = results.num_samples
        self.num_resamples = num_resamples
        self.seed = seed
        self._known: dict[tuple[str, tuple[int, ...]], Curve] = {}

    @cached_property
    def _problems(self) -> Floats:
        return np.concatenate(list(resample_counts(self.results.base.num_problems, self.num_resamples, self.seed)))

    def _weights(self, seeds: Sequence[Any]) -> Floats:
        """[resamples, seeds]; the same for every arm with equally many."""
        return np.concatenate(list(resample_counts(len(seeds), self.num_resamples, self.seed + 1)))

    @cached_property
    def base(self) -> Curve:
        """The curve of the base model."""
        values = self._per_problem(self.results.base)
        return Curve(values.mean(axis=0), self._problems @ values / len(values))

    def of(self, arm: ArmResult, seeds: Sequence[int] | None = None) -> Curve:
        """The curve of an arm, over all its seeds or over some."""
        chosen = tuple(arm.seeds if seeds is None else seeds)
        key = (arm.label, chosen)
        if key not in self._known:
            self._known[key] = self.over(arm.finals(chosen))
        return self._known[key]

    def over(self, evaluations: Sequence[Evaluation]) -> Curve:
        """The curve of evaluations of one model per seed."""
        weights = self._weights(evaluations) / len(evaluations)
        values = [self._per_problem(evaluation) for evaluation in evaluations]
        drawn = sum(w[:, None] * (self._problems @ v) for w, v in zip(weights.T, values, strict=True))
        mean = np.mean([v.mean(axis=0) for v in values], axis=0)
        return Curve(mean, np.asarray(drawn) / self.results.base.num_problems)

    def _per_problem(self, evaluation: Evaluation) -> Floats:
        """Pass@k [problems, K]."""
        ks = np.arange(1, self.max_k + 1)
        return np.asarray(pass_at_k(evaluation.num_samples, evaluation.num_correct[:, None], ks[None, :]))


def first_k(reached: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The first k with True in each row [rows, K]; K + 1 where there is none.

    >>> first_k(np.asarray([[False, True, True], [False, False, False]])).tolist()
    [2, 4]
    """
    first = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, reached.shape[1] + 1)
    return np.asarray(first, dtype=np.int64)


def crossover(base: Curve, arm: Curve, level: float = 0.95) -> Crossover:
    """First k at which the base is at least as good as the mean over the seeds."""
    return _interval(base.value >= arm.value - _TIE, base.drawn >= arm.drawn - _TIE, level)


def samples_needed(arm: Curve, other: Curve, k: int, level: float = 0.95) -> Crossover:
    """How many samples the arm needs for the Pass@k that the other curve has at ``k``; never: more than K.

    The ratio ``k / samples_needed`` is the sampling efficiency.
    """
    wanted, drawn = other.value[k - 1], other.drawn[:, k - 1 : k]
    return _interval(arm.value >= wanted - _TIE, arm.drawn >= drawn - _TIE, level)


def lowest(value: Floats, drawn: Floats, level: float = 0.95) -> Interval:
    """The smallest of K differences, and an interval that allows for its having been picked out of K.

    ::

        value = min_k d_k,   [min_k (d_k - c s_k), min_k (d_k + c s_k)]

    ``s_k`` is the standard error of ``d_k``, and ``c`` the quantile of ``max_k |d_rk - d_k| / s_k`` over the resamples
    r: with the probability ``level`` all K true differences lie within ``c s_k`` of the ``d_k``, and then the smallest
    one lies in the interval. (The quantiles of ``min_k d_rk`` would not do: noise alone makes a minimum negative.)

    Args:
        value: [K] the differences.
        drawn: [R, K] the same under each resample.
        level: of confidence.

    References:
        Simultaneous (sup-t) bands, Montiel Olea and Plagborg-Moller, Journal of Applied Econometrics 34 (2019).
    """
    error = drawn.std(axis=0)
    known = error > _TIE
    apart = np.abs(drawn - value)[:, known] / error[known]
    reach = error * float(np.quantile(apart.max(axis=1), level)) if known.any() else 0 * error
    return Interval(float(value.min()), float((value - reach).min()), float((value + reach).min()))


def drawn_interval(value: float, drawn: Floats) -> Interval:
    """A value with the central 95 % of what it was under the resamples [R]."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _interval(reached: NDArray[np.bool_], drawn: NDArray[np.bool_], level: float) -> Crossover:
    max_k = drawn.shape[1]
    quantiles = np.quantile(first_k(drawn), [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    found = [int(x) if x <= max_k else None for x in (first_k(reached[None, :])[0], *quantiles)]
    return Crossover(found[0], found[1], found[2], max_k)
