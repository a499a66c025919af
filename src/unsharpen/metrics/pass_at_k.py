"""Pass@k: the chance that at least one of k samples solves the problem, estimated without bias.

Notation: n samples per problem, c of them correct, k of them drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, Integers, nonnegative_integers

# exp(-40) is below half a unit in the last place of 1, so 1 - exp(-40) is 1.0 in double precision.
_NEGLIGIBLE_LOG = 40.0


@overload
def pass_at_k(num_samples: int, num_correct: int, k: int) -> float: ...
@overload
def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> float | Floats: ...
def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> float | Floats:
    """Unbiased estimate of Pass@k for each problem.

        Pass@k = 1 - C(n - c, k) / C(n, k)

    the share of the k-subsets of the n samples that hold a correct one. Use it whenever n >= k samples were
    drawn independently with the same settings. It says nothing about k > n: that is an error here, not a
    clamped value and not a dropped problem. Pass@1 is c / n, the mean over samples, not greedy decoding.

    The binomials are never formed. With t = min(c, k) and m = max(c, k) their ratio is the product of
    1 - m / (n - i) over i < t; the sum of its logarithms stops once the ratio can't change the result, after
    at most about 6.4 sqrt(n) terms. The relative error stays near 1e-15, also for values near 0.

    Args:
        num_samples: n, integers; the three arguments broadcast against each other.
        num_correct: c, integers with 0 <= c <= n.
        k: samples drawn, integers with 1 <= k <= n.

    Returns:
        Values in [0, 1] in the broadcast shape; a float when all three are scalars.

    Raises:
        InputError: k > n, k < 1, c > n, a negative number, or a type that is not an integer type.

    Reference: Chen et al. 2021, arXiv 2107.03374, equation 1.

    >>> pass_at_k(4, 1, 2)  # 3 of the 6 pairs hold the one correct sample
    0.5
    >>> pass_at_k(4, [0, 1, 4], 4).tolist()
    [0.0, 1.0, 1.0]
    """
    n, c, k_ = checked_counts(num_samples, num_correct, k)
    few, many = np.minimum(c, k_), np.maximum(c, k_)
    certain = c + k_ > n  # fewer than k wrong samples: every draw holds a correct one
    log_fail = np.zeros(n.shape)
    steps = int(few[~certain].max(initial=0))
    for i in range(min(steps, math.ceil(math.sqrt(_NEGLIGIBLE_LOG * int(n.max(initial=0)))))):
        used = (i < few) & ~certain
        log_fail[used] += np.log1p(-many[used] / (n[used] - i))
    values = np.where(certain, 1.0, -np.expm1(log_fail)) + 0.0  # + 0.0 turns -0.0 into 0.0
    return float(values) if values.ndim == 0 else values


def pass_at_k_curve(
    num_samples: ArrayLike, num_correct: ArrayLike, ks: Iterable[int] | None = None
) -> tuple[Integers, Floats]:
    """Mean Pass@k over problems, for each k.

        curve(k) = mean over problems of (1 - C(n - c, k) / C(n, k))

    Use it for the curve of one model; for intervals pass the values of `pass_at_k` to `bootstrap_mean`.

    Args:
        num_samples: n, one integer, or one per problem [problems].
        num_correct: c, integers [problems].
        ks: the k to evaluate; default: powers of two up to the smallest n, and that n.

    Returns:
        (ks [num_k], values [num_k]); the values never fall as k grows.

    Raises:
        InputError: no problem, or what `pass_at_k` refuses; a k above the smallest n is refused, since
            a mean over the remaining problems would be biased.

    Reference: Chen et al. 2021, arXiv 2107.03374, equation 1.

    >>> ks, values = pass_at_k_curve(4, [1, 2])
    >>> ks.tolist(), values.round(4).tolist()
    ([1, 2, 4], [0.375, 0.6667, 1.0])
    """
    n = nonnegative_integers("num_samples", num_samples)
    c = np.atleast_1d(nonnegative_integers("num_correct", num_correct))
    if c.ndim != 1 or c.size == 0 or n.size == 0:
        raise InputError(f"num_correct must hold one count per problem; found shape {c.shape}")
    grid = default_ks(int(n.min())) if ks is None else nonnegative_integers("ks", list(ks))
    values = [float(np.mean(pass_at_k(n, c, int(k)))) for k in grid]
    return grid, np.asarray(values, dtype=np.float64)


def default_ks(num_samples: int) -> Integers:
    """The powers of two up to n, and n itself; InputError when n < 1.

    >>> default_ks(6).tolist()
    [1, 2, 4, 6]
    """
    if num_samples < 1:
        raise InputError(f"num_samples must be 1 or more; found {num_samples}")
    powers = [1 << i for i in range(int(num_samples).bit_length())]
    return np.asarray(sorted({*powers, int(num_samples)}), dtype=np.int64)


def checked_counts(num_samples: ArrayLike, num_correct: ArrayLike, k: ArrayLike) -> list[Integers]:
    """n, c and k in one shape; InputError unless 0 <= c <= n and 1 <= k <= n."""
    arrays = [
        nonnegative_integers(name, values)
        for name, values in (("num_samples", num_samples), ("num_correct", num_correct), ("k", k))
    ]
    try:
        n, c, k_ = np.broadcast_arrays(*arrays)
    except ValueError as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"num_samples, num_correct and k must broadcast; found shapes {shapes}") from error
    rules = [
        (c > n, "num_correct must be at most num_samples", "num_correct", c, None),
        (k_ < 1, "k must be 1 or more", "k", k_, None),
        (k_ > n, "k must be at most num_samples", "k", k_, "draw more samples, or evaluate a smaller k"),
    ]
    for bad, rule, name, values, hint in rules:
        if bad.any():
            where = int(np.flatnonzero(bad)[0])
            found = f"{name} {values.flat[where]} with num_samples {n.flat[where]}"
            count = f"{int(bad.sum())} of {bad.size}, first: problem {where}"
            raise InputError(f"{rule}; found {found} ({count})", hint=hint)
    return [n, c, k_]
