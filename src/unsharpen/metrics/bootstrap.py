"""Percentile bootstrap intervals over problems, for one run, for two runs, and over seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, float_array, generator

NanPolicy = Literal["raise", "omit"]
_CHUNK_CELLS = 1 << 21  # at most 16 MB of resampling counts at a time


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval.

    `num_omitted` counts the undefined (NaN) entries that were left out on request. When nothing is defined
    all three numbers are NaN.

    >>> print(Interval(0.5649, 0.5312, 0.6011))
    .565 [.53, .60]
    >>> print(Interval(4.31, 4.05, 4.58))
    4.31 [4.0, 4.6]
    >>> print(Interval(0.02, -0.0002, 0.041))  # bounds near 0 keep their side of it
    .020 [-.000, .041]
    """

    value: float
    low: float
    high: float
    num_omitted: int = 0

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "undefined"
        digits = 3 if max(abs(self.value), abs(self.low), abs(self.high)) <= 1 else 2
        bounds = (self.low, self.high)
        if any(x != 0 and round(x, digits - 1) == 0 for x in bounds):
            low, high = (("-" if x < 0 else "") + format_number(abs(x), digits) for x in bounds)
        else:
            low, high = (format_number(x, digits - 1) for x in bounds)
        return f"{format_number(self.value, digits)} [{low}, {high}]"


def format_number(value: float, digits: int) -> str:
    """Fixed decimals without the zero before the point.

    >>> format_number(0.25, 2), format_number(-0.25, 1), format_number(1.5, 1), format_number(-0.001, 2)
    ('.25', '-.2', '1.5', '.00')
    """
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def bootstrap_mean(
    values: ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
    nan: NanPolicy = "raise",
) -> Interval:
    """Mean over problems with a percentile interval.

        mean_r = (1/P) sum_j v[i_rj],  i_rj uniform on 0..P-1;  [low, high] = quantiles of mean_r over r

    Use it for the spread over problems of one run. It does not cover the spread over training seeds
    (`bootstrap_over_seeds`), and with fewer than about 20 problems it is too narrow.

    Args:
        values: one number per problem [problems], any unit.
        level: coverage aimed at, in (0, 1).
        num_resamples: number of resampled means.
        seed: of the resampling; the same seed and number of problems draw the same problems.
        nan: "raise", or "omit" to take the mean over the defined problems and count the others.

    Returns:
        Interval in the unit of `values`, with the number of problems omitted.

    Raises:
        InputError: no values, not 1-d, infinite, or NaN under nan="raise".

    Reference: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.

    >>> print(bootstrap_mean([0.0, 1.0] * 50))
    .500 [.41, .60]
    """
    array = float_array("values", values, 1)
    defined = _defined(array, nan, "values")
    kept = array[defined]
    means = [counts @ kept / kept.size for counts in resample_counts(kept.size, num_resamples, seed)]
    value = float(kept.mean()) if kept.size else np.nan
    return _percentile_interval(value, means, level, int((~defined).sum()))


def paired_bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
    nan: NanPolicy = "raise",
) -> Interval:
    """Mean of a - b over the same problems, with a percentile interval.

        d_i = a_i - b_i;  interval = bootstrap_mean(d)

    Use it to compare two runs on one set of problems: the difficulty of a problem cancels, so it is much
    sharper than two intervals side by side. Wrong when row i of `a` and of `b` are different problems.

    Args:
        a: one number per problem [problems].
        b: the other run, the same problems in the same order [problems].
        level: as in `bootstrap_mean`.
        num_resamples: as in `bootstrap_mean`.
        seed: as in `bootstrap_mean`.
        nan: "raise", or "omit" to leave out the problems where either is undefined, and count them.

    Returns:
        Interval of the mean difference; above 0 where `a` is larger.

    Raises:
        InputError: shapes that differ, or what `bootstrap_mean` refuses.

    Reference: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.

    >>> print(paired_bootstrap_difference([0.5, 0.75], [0.25, 0.5]))
    .250 [.25, .25]
    """
    first, second = float_array("a", a, 1), float_array("b", b, 1)
    if first.shape != second.shape:
        raise InputError(
            f"a and b must hold the same problems; found {first.size} and {second.size}",
            hint="evaluate both runs on one set of problems, in one order",
        )
    return bootstrap_mean(first - second, level=level, num_resamples=num_resamples, seed=seed, nan=nan)


def bootstrap_means(
    values: Sequence[Floats] | Sequence[Sequence[float]],
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> list[Interval]:
    """Means of several measures over the same problems, with intervals from one set of resampled problems.

        mean_r = sum_j w_rj v_j / sum_j w_rj over the problems where v is defined,  w_rj how often r drew problem j

    As `bootstrap_mean` with nan="omit" for each measure, at the cost of one. A measure that is defined everywhere has
    the interval of `bootstrap_mean`; for others the number of defined problems varies from resample to resample here,
    and resamples without one are left out.

    Args:
        values: measures, each [problems]; NaN where undefined.
        level: as in `bootstrap_mean`.
        num_resamples: as in `bootstrap_mean`.
        seed: as in `bootstrap_mean`.

    Returns:
        One Interval per measure, with the number of problems where it is undefined.

    Raises:
        InputError: not the same number of problems in each, none, or an infinite value.

    >>> [str(interval) for interval in bootstrap_means([[0.0, 1.0] * 50, [float("nan"), 1.0] * 50])]
    ['.500 [.41, .60]', '1.000 [1.00, 1.00]']
    """
    if len(values) == 0:
        return []
    array = float_array("values", values, 2)
    quantiles = check_level(level)
    defined = ~np.isnan(array)
    filled = np.where(defined, array, 0.0)
    totals, sizes = [], []
    for weights in resample_counts(array.shape[1], num_resamples, seed):
        totals.append(weights @ filled.T)
        sizes.append(weights @ defined.T.astype(np.float64))
    total, size = np.concatenate(totals), np.concatenate(sizes)
    result = []
    for m, row in enumerate(array):
        some = size[:, m] > 0
        value = float(row[defined[m]].mean()) if defined[m].any() else np.nan
        low, high = np.quantile(total[some, m] / size[some, m], quantiles) if some.any() else (np.nan, np.nan)
        result.append(Interval(value, float(low), float(high), int((~defined[m]).sum())))
    return result


def bootstrap_over_seeds(
    values: ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
    nan: NanPolicy = "raise",
) -> Interval:
    """Mean over repeated runs and problems, with an interval that covers both spreads.

        mean_r = sum_sp w_s u_p v_sp / sum_sp w_s u_p,  w and u: counts of rows and columns drawn anew

    Rows (training seeds) and columns (problems) are resampled independently, since every run answers the
    same problems. Use it when a method was trained several times. With S seeds the variance between seeds
    comes out (S - 1) / S times too small: with three, read it as a lower bound; with one it is not in at all.

    Args:
        values: one number per run and problem [seeds, problems].
        level: as in `bootstrap_mean`.
        num_resamples: as in `bootstrap_mean`.
        seed: as in `bootstrap_mean`.
        nan: "raise", or "omit" to leave out undefined cells, and count them; a resample without any
            defined cell is skipped.

    Returns:
        Interval around the mean over all defined cells.

    Raises:
        InputError: not 2-d, empty, infinite, or NaN under nan="raise".

    Reference: Owen 2007, The pigeonhole bootstrap, Annals of Applied Statistics 1(2).

    >>> print(bootstrap_over_seeds([[0.5, 0.5], [0.75, 0.75]]))
    .625 [.50, .75]
    """
    array = float_array("values", values, 2)
    defined = _defined(array, nan, "values")
    num_seeds, num_problems = array.shape
    filled = np.where(defined, array, 0.0)
    rows = np.concatenate(list(resample_counts(num_seeds, num_resamples, seed + 1)))
    means, done = [], 0
    for columns in resample_counts(num_problems, num_resamples, seed):
        weights = rows[done : done + len(columns)]
        done += len(columns)
        total, cells = (((weights @ table) * columns).sum(axis=1) for table in (filled, defined.astype(float)))
        means.append(total[cells > 0] / cells[cells > 0])
    value = float(array[defined].mean()) if defined.any() else np.nan
    return _percentile_interval(value, means, level, int((~defined).sum()))


def resample_counts(num_items: int, num_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each item is drawn in each resample, in blocks [resamples, num_items]; rows sum to num_items.

    >>> [block.sum(axis=1).tolist() for block in resample_counts(5, 3, seed=0)]
    [[5.0, 5.0, 5.0]]
    """
    if num_resamples < 1:
        raise InputError(f"num_resamples must be 1 or more; found {num_resamples}")
    rng = generator(seed)
    block = max(1, _CHUNK_CELLS // max(1, num_items))
    for start in range(0, num_resamples if num_items else 0, block):
        rows = min(block, num_resamples - start)
        yield rng.multinomial(num_items, np.full(num_items, 1 / num_items), size=rows).astype(np.float64)


def check_level(level: float) -> tuple[float, float]:
    """The two quantiles that bound the central share `level`."""
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1; found {level}")
    return (1 - level) / 2, (1 + level) / 2


def _percentile_interval(value: float, means: list[Floats], level: float, num_omitted: int) -> Interval:
    quantiles = check_level(level)
    resampled = np.concatenate(means) if means else np.asarray([np.nan])
    low, high = np.quantile(resampled, quantiles)
    return Interval(value, float(low), float(high), num_omitted)


def _defined(array: Floats, nan: NanPolicy, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if nan not in ("raise", "omit"):
        raise InputError(f'nan must be "raise" or "omit"; found {nan!r}')
    missing = np.isnan(array)
    if nan == "raise" and missing.any():
        where = np.argwhere(missing)[0].tolist()
        raise InputError(
            f"{name} must be defined for every problem; {int(missing.sum())} of {array.size} are NaN "
            f"(first: index {where[0] if len(where) == 1 else where})",
            hint='pass nan="omit" to average over the defined ones; the result says how many were left out',
        )
    return ~missing
