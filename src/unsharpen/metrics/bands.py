"""Bands of problems by the number of distinct solutions that exist."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Integers, nonnegative_integers

NAMES = ("few", "medium", "many")


@dataclass(frozen=True, eq=False)
class Band:
    """Problems with `low` to `high` solutions."""

    name: str
    low: int
    high: int
    problems: Integers


def multiplicity_bands(multiplicity: ArrayLike) -> tuple[Band, ...]:
    """Problems in thirds by the number of solutions that exist: few, medium, many.

    The cuts are the terciles of the numbers given, so that each band has about a third of the problems; equal numbers
    stay together, and a band that ties leave empty is missing. The claim of differential smoothing is about this
    split: diversity can collapse only where there is more than one solution.

    Args:
        multiplicity: number of distinct correct solutions of each problem [problems].

    Returns:
        The bands that hold a problem, in ascending order.

    Raises:
        InputError: not 1-d, empty, negative, or not integers.

    >>> [(band.name, band.low, band.high) for band in multiplicity_bands([1, 1, 5, 6, 30, 40])]
    [('few', 1, 1), ('medium', 5, 6), ('many', 30, 40)]
    """
    values = nonnegative_integers("multiplicity", multiplicity)
    if values.ndim != 1 or values.size == 0:
        raise InputError(f"multiplicity must hold one number per problem; found shape {values.shape}")
    inside = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    rows = [(name, np.flatnonzero(inside == band)) for band, name in enumerate(NAMES)]
    return tuple(Band(name, int(values[i].min()), int(values[i].max()), i) for name, i in rows if i.size)
