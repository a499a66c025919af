"""The k at which the base model catches up."""

from __future__ import annotations

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import Crossover, crossover, pass_at_k


def test_golden() -> None:
    # trained solves problem 0 always and problem 1 never: .5 at every k.
    # base 2 of 8 on both: k=1 .25; k=2 1 - (6*5)/(8*7) = .464; k=3 1 - (6*5*4)/(8*7*6) = .643 >= .5
    result = crossover(8, [2, 2], 8, [8, 0])
    assert (result.k, result.max_k) == (3, 8)


def test_never_and_at_once() -> None:
    never = crossover(16, [0, 1, 2], 16, [4, 5, 6], num_resamples=50)
    # at k = 16 the base solves 2 of 3 problems, the trained model all; the lowest resample holds problem 2
    # alone, where the base (2 of 16) is certain from k = 15 on, the first k at which two 1s are equal
    assert (never.k, never.max_k) == (None, 16)
    assert str(never) == "never up to 16 [15, never]"
    at_once = crossover(16, [4, 5], 16, [4, 5])
    assert str(at_once) == "1 [1, 1]"


def test_first_k_equals_a_loop_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(0)
    base = rng.binomial(96, rng.beta(1, 2, 80))
    trained = np.where(rng.uniform(size=80) < 0.6, 80, 0)
    result = crossover(96, base, 96, trained)
    lead = [np.mean(pass_at_k(96, base, k)) >= np.mean(pass_at_k(96, trained, k)) for k in range(1, 97)]
    assert result.k == lead.index(True) + 1
    assert result.low is not None
    assert result.high is not None
    assert result.low <= result.k <= result.high
    assert result == crossover(96, base, 96, trained)


def test_k_beyond_the_first_block_is_found() -> None:
    # base 1 of 200 everywhere: k / 200; trained: half of the problems always -> equal at k = 100
    assert crossover(200, [1] * 4, 200, [200, 200, 0, 0], num_resamples=20).k == 100


def test_different_sample_counts_stop_at_the_smaller() -> None:
    assert crossover(8, [1, 1], 4, [2, 2], num_resamples=20).max_k == 4


def test_refuses_other_problems() -> None:
    with pytest.raises(InputError, match=r"same problems; found shapes \(2,\), \(3,\)"):
        crossover(4, [1, 1], 4, [1, 1, 1])


def test_text() -> None:
    assert str(Crossover(4, 3, 6, 128)) == "4 [3, 6]"
    assert str(Crossover(None, 100, None, 128)) == "never up to 128 [100, never]"
