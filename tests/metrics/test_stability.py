"""G-Pass@k and mG-Pass@k: all subsets, exact rationals for large n, limits, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsharpen.errors import InputError
from unsharpen.metrics import g_pass_at_k, mg_pass_at_k, pass_at_k


def tail(n: int, c: int, k: int, least: int) -> Fraction:
    """P(X >= least) in rational arithmetic."""
    ways = sum(math.comb(c, x) * math.comb(n - c, k - x) for x in range(least, min(c, k) + 1) if k - x <= n - c)
    return Fraction(ways, math.comb(n, k))


def test_golden() -> None:
    # n=5, c=3, k=3, tau=.5: m = ceil(1.5) = 2; P(X>=2) = (C(3,2)C(2,1) + C(3,3)) / C(5,3) = (6 + 1) / 10
    assert g_pass_at_k(5, 3, 3, 0.5) == pytest.approx(0.7, rel=1e-14)
    # mG-Pass@3 = 2/3 sum_{i=3}^{3} P(X>=3) = 2/3 * 1/10
    assert mg_pass_at_k(5, 3, 3) == pytest.approx(2 / 30, rel=1e-14)
    # all right and even k: 2/k * k/2 = 1; odd k = 3: 2/3 * 1
    assert mg_pass_at_k(8, 8, 4) == pytest.approx(1.0)
    assert mg_pass_at_k(8, 8, 3) == pytest.approx(2 / 3)
    assert mg_pass_at_k(8, 5, 1) == 0.0


def test_equals_the_share_of_all_subsets() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                right = [sum(draw) for draw in combinations([1] * c + [0] * (n - c), k)]
                for tau in (0.0, 0.25, 0.5, 0.75, 1.0):
                    least = max(1, math.ceil(tau * k))
                    share = sum(x >= least for x in right) / len(right)
                    assert g_pass_at_k(n, c, k, tau) == pytest.approx(share, rel=1e-13, abs=0)
                area = sum(sum(x >= i for x in right) for i in range(math.ceil(k / 2) + 1, k + 1))
                assert mg_pass_at_k(n, c, k) == pytest.approx(2 * area / k / len(right), rel=1e-13, abs=0)


@pytest.mark.parametrize(
    ("n", "c", "k"),
    [(1_000, 400, 128), (1_000, 990, 64), (100_000, 30_000, 300), (100_000, 99_000, 1_000), (100_000, 5, 900)],
)
def test_relative_error_for_large_n(n: int, c: int, k: int) -> None:
    for tau in (0.25, 0.5, 1.0):
        reference = float(tail(n, c, k, math.ceil(round(tau * k, 9))))
        assert g_pass_at_k(n, c, k, tau) == pytest.approx(reference, rel=1e-11, abs=0)


def test_half_of_a_hundred_thousand() -> None:
    # symmetric in right and wrong: P(X >= m) = P(X <= k - m); with odd k = 2m - 1 that is exactly 1/2
    assert g_pass_at_k(100_000, 50_000, 49_999, 25_000 / 49_999) == pytest.approx(0.5, rel=1e-12)


counts = st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))


@given(counts, st.floats(0, 1), st.floats(0, 1))
def test_properties(case: tuple[int, int, int], tau: float, other: float) -> None:
    n, c, k = case
    value = g_pass_at_k(n, c, k, tau)
    assert 0 <= value <= 1
    assert g_pass_at_k(n, c, k, 0.0) == pass_at_k(n, c, k)
    assert (
        g_pass_at_k(n, c, k, min(tau, other)) >= g_pass_at_k(n, c, k, max(tau, other)) - 1e-13
    )  # never rises with tau
    if c < n:
        assert g_pass_at_k(n, c + 1, k, tau) >= value - 1e-13  # never falls with c
    if k < n:
        assert g_pass_at_k(n, c, k + 1, 1.0) <= g_pass_at_k(n, c, k, 1.0) + 1e-13  # all of more is harder


def test_the_threshold_is_not_moved_by_rounding() -> None:
    assert 0.07 * 100 > 7  # in floating point
    assert g_pass_at_k(200, 10, 100, 0.07) == pytest.approx(float(tail(200, 10, 100, 7)), rel=1e-13)


def test_shapes() -> None:
    values = g_pass_at_k(4, np.asarray([0, 2, 4]), 2, 1.0)
    np.testing.assert_allclose(values, [0, 1 / 6, 1])
    assert np.shape(mg_pass_at_k([4, 6], [[2], [3]], 2)) == (2, 2)
    assert isinstance(mg_pass_at_k(4, 2, 2), float)
    assert np.shape(mg_pass_at_k(4, np.zeros(0, dtype=int), 2)) == (0,)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"tau must lie in 0\.\.1; found 1\.5"):
        g_pass_at_k(4, 2, 2, 1.5)
    with pytest.raises(InputError, match=r"k must be at most num_samples; .*2 of 3, first: problem 0"):
        g_pass_at_k([4, 4, 8], [2, 2, 2], 5, 1.0)
    with pytest.raises(InputError, match="k must be at most num_samples"):
        mg_pass_at_k(4, 2, 5)
