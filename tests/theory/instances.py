"""Random problems: a base policy over a few correct and a few wrong completions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Instance(NamedTuple):
    """Log-probabilities of the base and which completions are correct."""

    log_base: Floats
    correct: NDArray[np.bool_]

    @property
    def p(self) -> Floats:
        return np.exp(self.log_base)

    @property
    def q(self) -> Floats:
        return self.p[self.correct] / self.p[self.correct].sum()

    @property
    def s(self) -> Floats:
        return self.p[~self.correct] / self.p[~self.correct].sum()

    @property
    def c(self) -> float:
        return float(self.p[self.correct].sum())


def instance(right: Any, wrong: Any) -> Instance:
    """From weights of the correct and of the wrong completions."""
    p = np.asarray([*right, *wrong], dtype=np.float64)
    return Instance(np.log(p / p.sum()), np.arange(len(p)) < len(right))


_weights = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5)
instances = st.builds(instance, _weights, _weights)
coefficients = st.floats(0.02, 5.0)
gammas = st.one_of(st.just(0.0), coefficients)


def random_instance(rng: np.random.Generator, largest: int = 5) -> Instance:
    """Skewed Dirichlet draws, down to probabilities of 1e-6."""
    sizes = rng.integers(1, largest + 1, size=2)
    p = rng.dirichlet(np.full(sizes.sum(), rng.choice([0.2, 0.5, 1.0, 3.0])))
    p = np.maximum(p, 1e-6)
    return instance(p[: sizes[0]], p[sizes[0] :])


def entropy(q: Floats) -> float:
    return float(-(q * np.log(q)).sum())
