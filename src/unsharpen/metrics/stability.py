"""G-Pass@k: the chance that enough of k samples are right, by the exact hypergeometric distribution."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats
from unsharpen.metrics.pass_at_k import checked_counts, pass_at_k


def g_pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int, tau: float) -> float | Floats:
    """Unbiased estimate of G-Pass@k for each problem.

        G-Pass@k_tau = P(X >= m),  X ~ Hypergeometric(n, c, k),  m = max(1, ceil(tau k))

    The chance that at least the share tau of k samples drawn without replacement is right. tau -> 0 is Pass@k, tau = 1
    asks for all k; in between it says how stable a model is. tau k is rounded to 9 decimals before the ceiling, so that
    0.07 x 100 is 7. The tail is a sum of positive terms, built up from the mode outwards: the relative error stays
    below 1e-11 up to n = 100,000.

    Args:
        num_samples: n, integers; one, or one per problem [problems].
        num_correct: c, integers with 0 <= c <= n [problems].
        k: samples drawn, 1 <= k <= n.
        tau: the share that must be right, in [0, 1].

    Returns:
        Values in [0, 1] in the broadcast shape; a float when n and c are scalars. They never rise with tau.

    Raises:
        InputError: tau out of range, or what `pass_at_k` refuses.

    Reference: Liu et al. 2024, arXiv 2412.13147, the definition of G-Pass@k.

    >>> g_pass_at_k(4, 2, 2, 1.0)  # 1 of the 6 pairs holds both correct samples
    0.16666666666666666
    """
    if not 0 <= tau <= 1:
        raise InputError(f"tau must lie in 0..1; found {tau}")
    least = max(1, math.ceil(round(tau * k, 9)))
    if least == 1:
        return pass_at_k(num_samples, num_correct, k)
    return _per_problem(num_samples, num_correct, k, lambda x, p: float(p[x >= least].sum()))


def mg_pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> float | Floats:
    """Mean of G-Pass@k over the thresholds above one half.

        mG-Pass@k = 2/k sum_{i = ceil(k/2) + 1}^{k} P(X >= i) = 2/k E[max(0, X - ceil(k/2))]

    One number for stability: near 1 only where almost all of k samples are right, and 0 for k = 1. For odd k a perfect
    model has (k - 1)/k, by the definition.

    Args:
        num_samples: as in `g_pass_at_k`.
        num_correct: as in `g_pass_at_k`.
        k: samples drawn, 1 <= k <= n.

    Returns:
        Values in [0, 1] in the broadcast shape; a float when n and c are scalars.

    Raises:
        InputError: what `pass_at_k` refuses.

    Reference: Liu et al. 2024, arXiv 2412.13147, the definition of mG-Pass@k.

    >>> mg_pass_at_k(4, 2, 2)  # 2/2 P(X >= 2)
    0.16666666666666666
    """
    half = math.ceil(k / 2)
    return _per_problem(num_samples, num_correct, k, lambda x, p: float(2 / k * (p * np.maximum(0, x - half)).sum()))


def _per_problem(
    num_samples: ArrayLike, num_correct: ArrayLike, k: int, value: Callable[[Floats, Floats], float]
) -> float | Floats:
    """A functional of the distribution of X, computed once for each distinct (n, c)."""
    n, c, k_ = checked_counts(num_samples, num_correct, k)
    if k_.size == 0:
        return np.zeros(n.shape)
    pairs, inverse = np.unique(np.stack([n.ravel(), c.ravel()]), axis=1, return_inverse=True)
    values = np.asarray([min(1.0, value(*_hypergeometric(a, b, k))) for a, b in pairs.T.tolist()])
    result = values[inverse.ravel()].reshape(n.shape)
    return float(result) if result.ndim == 0 else result


def _hypergeometric(n: int, c: int, k: int) -> tuple[Floats, Floats]:
    """The numbers of correct samples that k draws can hold, and their probabilities."""
    low, high = max(0, k - (n - c)), min(c, k)
    mode = min(high, max(low, (k + 1) * (c + 1) // (n + 2)))
    up, down = np.arange(mode, high, dtype=np.float64), np.arange(mode, low, -1, dtype=np.float64)
    rising = np.cumprod((c - up) * (k - up) / ((up + 1) * (n - c - k + up + 1)))
    falling = np.cumprod(down * (n - c - k + down) / ((c - down + 1) * (k - down + 1)))
    weights = np.concatenate([falling[::-1], [1.0], rising])
    return np.arange(low, high + 1, dtype=np.float64), weights / math.fsum(weights)
