"""What the public functions of this package check at their door."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsharpen.errors import InputError

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
_NUMBERS = (bool, int, float, np.bool_, np.number)


def nonnegative_integers(name: str, values: ArrayLike) -> Integers:
    """The values as an int64 array; InputError if one is negative or the type is not an integer type."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} must be an array of integers; its rows differ in length") from error
    if array.size == 0:
        return array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must hold integers; found {array.dtype} (first value: {array.flat[0]!s})",
            hint="convert counts with .astype(int), after a check that they are whole numbers",
        )
    if (array < 0).any():
        where = int(np.flatnonzero(array < 0)[0])
        raise InputError(f"{name} must be 0 or more; found {array.flat[where]} (first: position {where})")
    return array.astype(np.int64)


def float_array(name: str, values: ArrayLike, ndim: int) -> Floats:
    """The values as a non-empty float64 array of `ndim` dimensions, NaN allowed, infinity not."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from error
    if array.ndim != ndim or array.size == 0:
        raise InputError(f"{name} must be a non-empty {ndim}-d array; found shape {array.shape}")
    if np.isinf(array).any():
        where = np.argwhere(np.isinf(array))[0].tolist()
        raise InputError(f"{name} must be finite; found {array[tuple(where)]} (first: index {where})")
    return array


def verdicts(values: ArrayLike) -> NDArray[np.bool_]:
    """Verdicts as booleans: true or false, or the numbers 0 and 1; InputError where one is anything else.

    >>> verdicts([1, 0, True]).tolist()
    [True, False, True]
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError("`correct` must hold one verdict per sample; its rows differ in length") from error
    if array.ndim != 1:
        raise InputError(f"`correct` must hold one verdict per sample; found shape {array.shape}")
    if array.dtype.kind in "biuf":
        good = (array == 0) | (array == 1)
    else:
        good = np.asarray([isinstance(one, _NUMBERS) and one in (0, 1) for one in _each(values)], dtype=np.bool_)
    if not good.all():
        where = int(np.argmin(good))
        raise InputError(
            f"`correct` must be true or false, or 1 or 0; sample {where} has {_each(values)[where]!r}",
            hint="for a score, say from which value on it is correct: score >= 0.5",
        )
    return array.astype(np.bool_)


def _each(values: Any) -> list[Any]:
    """The values as they were given: an array made of True and "False" holds texts."""
    return list(values)


def generator(seed: int) -> np.random.Generator:
    """NumPy's generator of a seed; InputError where that is no whole number from 0 on."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number, 0 or more; found {seed!r}")
    return np.random.default_rng(seed)


def paired_counts(
    base_num_samples: ArrayLike, base_num_correct: ArrayLike, num_samples: ArrayLike, num_correct: ArrayLike
) -> tuple[Integers, Integers, Integers, Integers]:
    """Base n, base c, n and c on the same problems, each [problems]; InputError where the shapes differ."""
    base_c, c = (
        np.atleast_1d(nonnegative_integers(name, values))
        for name, values in (("base_num_correct", base_num_correct), ("num_correct", num_correct))
    )
    if base_c.shape != c.shape or c.ndim != 1 or c.size == 0:
        raise InputError(f"both models must answer the same problems; found shapes {base_c.shape}, {c.shape}")
    base_n, n = (
        np.broadcast_to(nonnegative_integers(name, values), c.shape)
        for name, values in (("base_num_samples", base_num_samples), ("num_samples", num_samples))
    )
    return base_n, base_c, n, c
