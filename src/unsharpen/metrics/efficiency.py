"""How many samples one model needs for what another one reaches with k."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, Integers, nonnegative_integers, paired_counts
from unsharpen.metrics._grouping import CountGroups, first_reach, folded_resamples
from unsharpen.metrics.bootstrap import check_level
from unsharpen.metrics.crossover import TIE
from unsharpen.metrics.pass_at_k import default_ks


@dataclass(frozen=True)
class SamplingEfficiency:
    """Samples that the trained model needs for the other one's Pass@k; None stands for "never within max_k".

    >>> print(SamplingEfficiency(k=16, target=0.6, needed=3.7, low=2.9, high=None, max_k=128))
    3.7 [2.9, never]
    """

    k: int
    target: float
    needed: float | None
    low: float | None
    high: float | None
    max_k: int

    @property
    def factor(self) -> float | None:
        """The ratio k / needed: above 1 where the trained model needs fewer samples."""
        return None if self.needed is None else self.k / self.needed

    def __str__(self) -> str:
        low, high = ("never" if bound is None else f"{bound:.1f}" for bound in (self.low, self.high))
        if self.needed is not None:
            return f"{self.needed:.1f} [{low}, {high}]"
        return f"never up to {self.max_k}" + ("" if self.low is None else f" [{low}, {high}]")


def sampling_efficiency(
    base_num_samples: ArrayLike,
    base_num_correct: ArrayLike,
    num_samples: ArrayLike,
    num_correct: ArrayLike,
    *,
    ks: Iterable[int] | None = None,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> tuple[SamplingEfficiency, ...]:
    """How many samples the trained model needs to reach the base model's Pass@k.

        m(k) = min {m >= 1 : F(m) >= mean Pass@k(base)},  F(m) the trained model's mean Pass@m, for fractions of a
               sample on a straight line between the whole numbers around it

    The factor k / m(k) says how many times fewer samples do. m is at least 1: a model whose Pass@1 already is the
    target gets 1. The target may lie above all that the trained model reaches within its n samples: never. Read it
    beside the crossover; a sharpened model has a large factor at small k and never reaches the target at large k.

    Args:
        base_num_samples: n of the base model, one integer or one per problem [problems].
        base_num_correct: c of the base model [problems].
        num_samples: n of the trained model, likewise.
        num_correct: c of the trained model, the same problems in the same order [problems].
        ks: the k of the base model, each within its smallest n; default: powers of two up to it, and that n.
        level: as in `bootstrap_mean`; problems are resampled, the same ones for both models.
        num_resamples: as in `bootstrap_mean`.
        seed: as in `bootstrap_mean`.

    Returns:
        One SamplingEfficiency per k; "never" sorts above every number.

    Raises:
        InputError: different numbers of problems, a k above the base model's smallest n, or what `pass_at_k` refuses.

    Reference: arXiv 2511.19942 reports about 4 times fewer samples for the same Pass@k.

    >>> print(sampling_efficiency(4, [1, 1], 4, [2, 2], ks=[2])[0].needed)  # target Pass@2 = .5, the trained Pass@1
    1.0
    >>> print(sampling_efficiency(4, [2, 2], 4, [1, 1], ks=[1])[0].needed)  # .25, .5, ...
    2.0
    """
    base_n, base_c, n, c = paired_counts(base_num_samples, base_num_correct, num_samples, num_correct)
    quantiles = check_level(level)
    grid = default_ks(int(base_n.min())) if ks is None else nonnegative_integers("ks", list(ks))
    if grid.size == 0:
        raise InputError("ks must hold at least one k; found none")
    base, trained = CountGroups(base_n, base_c), CountGroups(n, c)
    targets, max_k = base.curves(grid), int(n.min())
    ones = np.ones((1, c.size))
    values = base.fold(ones) @ targets.T
    (needed,) = _needed(values, trained.fold(ones), trained, max_k, c.size)
    batches = folded_resamples((base, trained), c.size, num_resamples, seed)
    drawn = np.concatenate([_needed(b @ targets.T, t, trained, max_k, c.size) for b, t in batches])
    low, high = np.quantile(drawn, quantiles, axis=0, method="inverted_cdf")
    rows = zip(grid.tolist(), (values[0] / c.size).tolist(), needed, low, high, strict=True)
    return tuple(
        SamplingEfficiency(k, target, _within(at, max_k), _within(least, max_k), _within(most, max_k), max_k)
        for k, target, at, least, most in rows
    )


def _within(needed: float, max_k: int) -> float | None:
    return float(needed) if needed <= max_k else None


def _needed(targets: Floats, weights: Floats, trained: CountGroups, max_k: int, num_problems: int) -> Floats:
    """[rows, ks] samples needed for targets [rows, ks] (sums over problems); above max_k for never."""

    def lead(ms: Integers) -> Floats:
        curve = weights @ trained.curves(ms).T  # [rows, ms]
        return (curve[:, None, :] - targets[:, :, None]).reshape(-1, ms.size)

    return first_reach(lead, targets.size, max_k, TIE * num_problems)[1].reshape(targets.shape)
