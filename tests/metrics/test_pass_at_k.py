"""Pass@k: hand-worked values, all subsets, exact rationals, and what is refused."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsharpen.errors import InputError
from unsharpen.metrics import default_ks, pass_at_k, pass_at_k_curve


def exact(n: int, c: int, k: int) -> Fraction:
    """1 - prod_{i < t} (n - m - i) / (n - i), t = min(c, k), m = max(c, k), in rational arithmetic."""
    few, many = min(c, k), max(c, k)
    if few + many > n:
        return Fraction(1)
    numerator = math.perm(n - many, few)
    return 1 - Fraction(numerator, math.perm(n, few))


def test_golden() -> None:
    # n=4, c=1, k=2: pairs without the correct one C(3,2)=3 of C(4,2)=6 -> 1 - 3/6 = .5
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5, rel=1e-15)
    # n=5, c=2, k=3: 1 - C(3,3)/C(5,3) = 1 - 1/10
    assert pass_at_k(5, 2, 3) == pytest.approx(0.9, rel=1e-15)
    # 1 of 4 correct and k=4: every draw takes all four -> exactly 1 (with replacement it would be .684)
    assert pass_at_k(4, 1, 4) == 1.0
    assert pass_at_k(7, 0, 7) == 0.0
    assert isinstance(pass_at_k(4, 1, 2), float)


def test_equals_the_share_of_all_subsets() -> None:
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                draws = list(combinations([True] * c + [False] * (n - c), k))
                share = sum(any(draw) for draw in draws) / len(draws)
                assert pass_at_k(n, c, k) == pytest.approx(share, rel=1e-14, abs=0)


@pytest.mark.parametrize("n", [128, 1_000, 100_000])
def test_relative_error_for_large_n(n: int) -> None:
    grid = sorted({1, 2, 3, 17, n // 50, n // 7, n // 2, n - 1, n} - {0})
    cs, ks = (axis.ravel() for axis in np.meshgrid(grid, grid))
    values = pass_at_k(n, cs, ks)
    assert isinstance(values, np.ndarray)
    cheap = [i for i in range(len(cs)) if min(cs[i], ks[i]) <= 3000]  # rational numbers of millions of digits
    for i in cheap:
        reference = float(exact(n, int(cs[i]), int(ks[i])))
        assert values[i] == pytest.approx(reference, rel=1e-12, abs=0)
    assert (values[np.minimum(cs, ks) > 3000] == 1.0).all()


def published(n: int, c: int, k: int) -> float:
    """The product form of the numerically stable estimator in Chen et al. 2021, figure 3."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


@pytest.mark.parametrize("n", [1, 8, 200, 1_000])
def test_parity_with_the_published_estimator(n: int) -> None:
    grid = sorted({*range(1, min(n, 20) + 1), n // 3, n // 2, n - 1, n} - {0})
    for c in [0, *grid]:
        for k in grid:
            assert pass_at_k(n, c, k) == pytest.approx(published(n, c, k), rel=0, abs=1e-12)


def test_shape_broadcasts_and_inputs_stay() -> None:
    correct = np.asarray([0, 1, 3])
    values = pass_at_k(4, correct, np.asarray([[1], [2]]))
    assert np.shape(values) == (2, 3)
    assert correct.tolist() == [0, 1, 3]
    np.testing.assert_allclose(np.asarray(values)[0], [0, 0.25, 0.75])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_properties(case: tuple[int, int, int]) -> None:
    n, c, k = case
    value = pass_at_k(n, c, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, c, 1) == pytest.approx(c / n, rel=1e-13)
    if k < n:
        assert pass_at_k(n, c, k + 1) >= value
    if c < n:
        assert pass_at_k(n, c + 1, k) >= value
    if c:
        assert pass_at_k(n, k, c) == pytest.approx(value, rel=1e-13)  # symmetric in c and k


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([8, 4, 4], 1, 5), r"k must be at most num_samples; found k 5 .* 4 \(2 of 3, first: problem 1\)"),
        ((4, [1, 5], 2), r"num_correct must be at most num_samples; found num_correct 5"),
        ((4, -1, 2), r"num_correct must be 0 or more; found -1"),
        ((4, 1, 0), r"k must be 1 or more"),
        ((4, 1.5, 2), r"num_correct must hold integers; found float64 \(first value: 1.5\)"),
        ((4, True, 2), r"num_correct must hold integers; found bool"),
        (([4, 4], [1, 1, 1], 2), r"must broadcast; found shapes \(2,\), \(3,\), \(\)"),
        (([[4], [4, 4]], 1, 2), r"rows differ in length"),
    ],
)
def test_refuses(args: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pass_at_k(*args)  # type: ignore[call-overload]


def test_curve_is_the_mean_over_problems() -> None:
    # n=4: c=1 -> .25, .5, 1; c=2 -> .5, 1 - 1/6, 1; means .375, .6667, 1
    ks, values = pass_at_k_curve(4, [1, 2])
    assert ks.tolist() == [1, 2, 4]
    np.testing.assert_allclose(values, [0.375, 2 / 3, 1.0], rtol=1e-14)
    ks, values = pass_at_k_curve([4, 6], [1, 0], ks=[3])
    np.testing.assert_allclose(values, [0.375], rtol=1e-14)  # (3/4 + 0) / 2


def test_curve_refuses_a_k_that_one_problem_cannot_give() -> None:
    with pytest.raises(InputError, match="k must be at most num_samples"):
        pass_at_k_curve([4, 8], [1, 1], ks=[8])
    with pytest.raises(InputError, match="one count per problem"):
        pass_at_k_curve(4, [])
    with pytest.raises(InputError, match="num_samples must be 1 or more"):
        pass_at_k_curve(0, [0])


def test_default_ks() -> None:
    assert default_ks(1).tolist() == [1]
    assert default_ks(64).tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert default_ks(100).tolist() == [1, 2, 4, 8, 16, 32, 64, 100]
