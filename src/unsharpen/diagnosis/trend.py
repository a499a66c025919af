"""Since when is a noisy curve falling? Ranks of smoothed blocks, against every order of the same blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsharpen.errors import InputError

Floats = NDArray[np.float64]

MIN_POINTS = 8
"""With fewer no answer is given: of 8 values in a random order 1 order in 40,320 falls throughout."""

_MAX_BLOCKS = 24
_MIN_TAIL = 5  # blocks
_ORDERS = 9_999  # random orders behind a p-value; the smallest is 1 / 10,000
_ROBUST = 1.4826  # standard deviations of a normal distribution in one median absolute deviation


@dataclass(frozen=True)
class Turn:
    """Where a curve began to fall (or to rise), and how sure that is.

    Attributes:
        onset: step from which the fall is clearest; the curve's first step if it falls throughout.
        start: level there, in the curve's unit.
        end: level at the end.
        p_value: chance of so clear a fall, from whatever step on, if the order of the blocks were random.
        ongoing: whether the later half of it still falls; None if that has too few blocks.
        num_points: values that the answer rests on.
        resolution: smallest fall, in the curve's unit, that would probably have been found (3 standard errors of the
            difference between two thirds of the curve).
    """

    onset: float
    start: float
    end: float
    p_value: float
    ongoing: bool | None
    num_points: int
    resolution: float


def find_turn(steps: ArrayLike, values: ArrayLike, *, rising: bool = False) -> Turn | None:
    """The clearest fall of a curve that lasts to its end, with its onset.

        z_j = Mann-Kendall score of the blocks j, j+1, ..., m
        p = share of random orders of m blocks whose smallest z_j is at least as small as this curve's
        onset = knot of the least-squares line that does not fall before the knot and falls after it

    The curve is cut into 8 to 24 blocks of equally many values, each represented by its interquartile mean, so that a
    single wild value does nothing. Blocks are longer the more successive values resemble each other. Searching the
    onset is part of the p-value, which needs no assumption on the noise but that blocks are exchangeable.

    Right for curves that fall from the start or turn once. A curve that fell and recovered has no fall *to its end*.

    Args:
        steps: [T] in any order; NaN in `values` (not logged at that step) is left out.
        values: [T] of any unit.
        rising: look for a rise instead.

    Returns:
        Turn, or None with fewer than 8 values or where all are equal.

    Raises:
        InputError: lengths that differ, more than one dimension, or infinite values.

    Reference: Mann 1945, Econometrica 13(3); the search over onsets by permutation, as for a change point.

    >>> turn = find_turn(range(40), [1.0] * 20 + [1 - 0.02 * i for i in range(20)])
    >>> turn.p_value < 0.01, abs(turn.onset - 20) <= 4
    (True, True)
    """
    x, y = _series(steps, values)
    if y.size < MIN_POINTS or np.ptp(y) == 0:
        return None
    starts, blocks = _blocks(x, -y if rising else y)
    scores = _tail_scores(blocks[None])[0]
    null = _null(len(blocks))
    p_value = (1 + int(np.searchsorted(null, scores.min() + 1e-9, side="right"))) / (1 + len(null))
    first = _knot(blocks)
    half = blocks[first + (len(blocks) - first) // 2 :]
    sign = -1.0 if rising else 1.0
    return Turn(
        onset=float(starts[first]),
        start=sign * float(blocks[first : first + 2].mean()),
        end=sign * float(blocks[-2:].mean()),
        p_value=p_value,
        ongoing=None if len(half) < _MIN_TAIL else bool(_tail_scores(half[None])[0][0] < -1.28),  # one-sided, .1
        num_points=int(y.size),
        resolution=_resolution(blocks, y),
    )


def rank_trend(
    steps: ArrayLike, values: ArrayLike, *, since: float = -math.inf
) -> tuple[Literal["rises", "falls", "level", "unknown"], float, float]:
    """Whether a curve rises, falls or does neither from a step on.

    Args:
        steps: [T].
        values: [T], NaN where not logged.
        since: step from which to look.

    Returns:
        ("rises", "falls", "level" or "unknown", level at the first third, level at the last third). It rises or falls
        where the two-sided Mann-Kendall test of its blocks is below .05; unknown with fewer than 8 values.

    >>> rank_trend(range(20), range(20))[0]
    'rises'
    """
    x, y = _series(steps, values)
    y = y[x >= since]
    x = x[x >= since]
    if y.size < MIN_POINTS:
        return "unknown", math.nan, math.nan
    _, blocks = _blocks(x, y)
    third = max(1, len(blocks) // 3)
    ends = float(blocks[:third].mean()), float(blocks[-third:].mean())
    score = float(_tail_scores(blocks[None])[0][0])
    return ("level" if abs(score) < 1.96 else "rises" if score > 0 else "falls"), *ends


def _series(steps: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    """Sorted by step, without what was not logged."""
    x, y = (np.asarray(a, dtype=np.float64) for a in (steps, values))
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"a curve needs as many values as steps, in one dimension; found {x.shape} and {y.shape}")
    if np.isinf(y).any() or not np.isfinite(x).all():
        raise InputError("a curve must be finite; NaN in the values stands for what was not logged")
    order = np.argsort(x[~np.isnan(y)], kind="stable")
    return x[~np.isnan(y)][order], y[~np.isnan(y)][order]


def _blocks(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """(first step, interquartile mean) of each block."""
    resemblance = _autocorrelation(y)
    length = max(1.0, 3 * (1 + resemblance) / (1 - resemblance)) if resemblance > 0.1 else 1.0
    num = int(np.clip(y.size / length, MIN_POINTS, _MAX_BLOCKS))
    return (
        np.asarray([part[0] for part in np.array_split(x, num)]),
        np.asarray([_interquartile_mean(part) for part in np.array_split(y, num)]),
    )


def _interquartile_mean(values: Floats) -> float:
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def _autocorrelation(y: Floats) -> float:
    """Lag-1 autocorrelation of the noise, in [0, .9], from first differences, which a slow trend leaves alone.

    For AR(1) noise successive differences correlate by -(1 - rho) / 2. Differences are clipped: robust to jumps.
    """
    steps = np.diff(y)
    width = _ROBUST * float(np.median(np.abs(steps - np.median(steps))))
    if width == 0:
        return 0.0
    steps = np.clip(steps - np.median(steps), -4 * width, 4 * width)
    steps = steps - steps.mean()
    correlation = float((steps[1:] * steps[:-1]).sum() / np.square(steps).sum())
    return float(np.clip(1 + 2 * correlation, 0.0, 0.9))


def _tail_scores(rows: Floats) -> Floats:
    """Mann-Kendall z of every tail with at least 5 blocks [rows, tails]; below 0 where the tail falls."""
    num = rows.shape[1]
    signs = np.sign(rows[:, None, :] - rows[:, :, None]) * np.triu(np.ones((num, num)), 1)
    sums = np.cumsum(signs.sum(axis=2)[:, ::-1], axis=1)[:, ::-1]  # S of the tail that starts at j
    size = num - np.arange(num - min(_MIN_TAIL, num) + 1)
    return np.asarray(sums[:, : size.size] / np.sqrt(size * (size - 1) * (2 * size + 5) / 18))


def _knot(blocks: Floats) -> int:
    """The block from which the fall is best described as one line, after a rise or a level."""
    places = np.arange(len(blocks), dtype=np.float64)
    best, errors = 0, math.inf
    for knot in range(len(blocks) - _MIN_TAIL + 1):
        before, after = np.minimum(places - knot, 0), np.maximum(places - knot, 0)
        for columns in ([before, after], [after]):
            design = np.stack([np.ones_like(places), *columns], axis=1)
            slopes, *_ = np.linalg.lstsq(design, blocks, rcond=None)
            if len(columns) == 1 or slopes[1] > 0:
                break
        error = float(np.square(design @ slopes - blocks).sum())
        if slopes[-1] < 0 and error < errors * (1 - 1e-9):
            best, errors = knot, error
    return best


@lru_cache(maxsize=64)
def _null(num: int) -> Floats:
    """The smallest tail score of random orders of `num` blocks, sorted."""
    rng = np.random.default_rng(num)
    found = [_tail_scores(rng.random((n, num))).min(axis=1) for n in np.diff(np.linspace(0, _ORDERS, 12).astype(int))]
    return np.sort(np.concatenate(found))


def _resolution(blocks: Floats, values: Floats) -> float:
    """3 standard errors of the difference between the means of two thirds.

    The noise is that of the blocks; that of the values where the blocks, which leave wild values out, are all equal.
    """
    if len(blocks) < 4:
        return math.nan
    noise = _noise(blocks) or _noise(values) * math.sqrt(len(blocks) / len(values))
    return 3 * noise * math.sqrt(2 / (len(blocks) / 3))


def _noise(values: Floats) -> float:
    """Standard deviation of the noise, from second differences, which a slow trend leaves alone.

    By their median, or, where most are 0, by their mean square: a share of few prompts is often 1 most of the time.
    """
    bends = np.abs(values[2:] - 2 * values[1:-1] + values[:-2])
    bends[bends <= 1e-9 * np.abs(values).max()] = 0.0  # rounding
    median = _ROBUST * float(np.median(bends))
    return (median or math.sqrt(float(np.square(bends).mean()))) / math.sqrt(6)
