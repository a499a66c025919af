"""Where the base model catches up with the trained one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.metrics._checks import Floats, Integers, paired_counts
from unsharpen.metrics._grouping import CountGroups, first_reach, folded_resamples
from unsharpen.metrics.bootstrap import check_level

TIE = 1e-12
"""Means of Pass@k closer than this are equal up to rounding."""


@dataclass(frozen=True)
class Crossover:
    """First k at which the base model is at least as good; None stands for "never within max_k".

    >>> print(Crossover(k=4, low=3, high=None, max_k=128))
    4 [3, never]
    >>> print(Crossover(k=None, low=None, high=None, max_k=128))
    never up to 128
    """

    k: int | None
    low: int | None
    high: int | None
    max_k: int

    def __str__(self) -> str:
        value = f"never up to {self.max_k}" if self.k is None else str(self.k)
        low, high = ("never" if bound is None else str(bound) for bound in (self.low, self.high))
        return value if self.low is None else f"{value} [{low}, {high}]"


def crossover(
    base_num_samples: ArrayLike,
    base_num_correct: ArrayLike,
    num_samples: ArrayLike,
    num_correct: ArrayLike,
    *,
    level: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Crossover:
    """First k at which the base model's Pass@k is at least the trained model's.

        k* = min {k in 1..n : mean Pass@k(base) >= mean Pass@k(trained)},  n the smallest number of samples

    A small k* means that training only moved probability onto what the base model found in a few tries
    anyway. Two models that both solve everything at some k are equal there, and that k counts.
    The interval resamples problems, the same ones for both models.

    Args:
        base_num_samples: n of the base model, one integer or one per problem [problems].
        base_num_correct: c of the base model [problems].
        num_samples: n of the trained model, likewise.
        num_correct: c of the trained model, the same problems in the same order [problems].
        level: as in `bootstrap_mean`.
        num_resamples: as in `bootstrap_mean`.
        seed: as in `bootstrap_mean`.

    Returns:
        Crossover(k, low, high, max_k); "never" sorts above every k.

    Raises:
        InputError: different numbers of problems, or what `pass_at_k` refuses.

    Reference: the curves of Yue et al. 2025, arXiv 2504.13837, figure 2.

    >>> crossover(4, [2, 2], 4, [4, 0]).k  # trained: .5 at every k; base: 2/4 at k = 1
    1
    >>> crossover(4, [1, 1], 4, [3, 0]).k  # .25 < .375, then .5 = .5 at k = 2
    2
    """
    base_n, base_c, n, c = paired_counts(base_num_samples, base_num_correct, num_samples, num_correct)
    max_k = int(min(base_n.min(), n.min()))
    quantiles = check_level(level)
    models = (CountGroups(base_n, base_c), CountGroups(n, c))
    ones = np.ones((1, c.size))
    (k,) = _first_k((models[0].fold(ones), models[1].fold(ones)), models, max_k, c.size)
    batches = folded_resamples(models, c.size, num_resamples, seed)
    first = np.concatenate([_first_k((weights[0], weights[1]), models, max_k, c.size) for weights in batches])
    low, high = np.quantile(first, quantiles, method="inverted_cdf")
    found = [int(x) if x <= max_k else None for x in (k, low, high)]
    return Crossover(found[0], found[1], found[2], max_k)


def _first_k(
    weights: tuple[Floats, Floats], models: tuple[CountGroups, CountGroups], max_k: int, num_problems: int
) -> Integers:
    """The first k with base >= trained under each row of weights; max_k + 1 for never."""

    def lead(ks: Integers) -> Floats:
        return weights[0] @ models[0].curves(ks).T - weights[1] @ models[1].curves(ks).T

    return first_reach(lead, len(weights[0]), max_k, TIE * num_problems)[0]
