"""Sampling efficiency: hand-worked targets, a naive search, never, and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import pass_at_k, sampling_efficiency


def test_golden() -> None:
    # base: c=1 of n=4 everywhere: .25, .5, .75, 1; trained: c=2 of 4: .5, 5/6, 1, 1
    found = sampling_efficiency(4, [1, 1], 4, [2, 2])
    assert [e.k for e in found] == [1, 2, 4]
    # k=1: .25 is below Pass@1, so 1; k=2: .5 is Pass@1 exactly; k=4: 1 is reached at m=3
    assert [e.needed for e in found] == pytest.approx([1.0, 1.0, 3.0])
    assert [e.factor for e in found] == pytest.approx([1.0, 2.0, 4 / 3])
    # k=3: .75 between .5 and 5/6: m = 1 + (.75 - .5) / (5/6 - .5) = 1.75
    (third,) = sampling_efficiency(4, [1, 1], 4, [2, 2], ks=[3])
    assert third.needed == pytest.approx(1.75)
    assert (third.low, third.high) == pytest.approx((1.75, 1.75))  # all problems are alike
    assert third.target == pytest.approx(0.75)


def test_never() -> None:
    (found,) = sampling_efficiency(4, [4, 4], 4, [4, 0], ks=[4])
    assert found.needed is None
    assert found.factor is None
    assert str(found) == "never up to 4 [1.0, never]"  # a resample may hold the solved problem twice
    (never,) = sampling_efficiency(2, [1, 1], 2, [0, 0], ks=[2])
    assert str(never) == "never up to 2"


def test_equals_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    n, base_n = 90, 70  # more ks than are tried at once
    c, base_c = rng.binomial(n, 0.3, 25), rng.binomial(base_n, rng.uniform(0, 0.12, 25))
    curve = [float(np.mean(pass_at_k(n, c, m))) for m in range(1, n + 1)]
    for found in sampling_efficiency(base_n, base_c, n, c, num_resamples=50):
        target = float(np.mean(pass_at_k(base_n, base_c, found.k)))
        first = next((m for m in range(1, n + 1) if curve[m - 1] >= target - 1e-12), None)
        if first is None or first == 1:
            assert found.needed == first
        else:
            assert first - 1 < found.needed <= first
            assert np.interp(found.needed, [first - 1, first], curve[first - 2 : first]) == pytest.approx(target)


def test_interpolation_across_a_border_of_chunks() -> None:
    n = 200
    (found,) = sampling_efficiency(n, [1], n, [1], ks=[65])  # Pass@m = m/200 on a straight line
    assert found.needed == pytest.approx(65)
    (found,) = sampling_efficiency(1000, [129], n, [1], ks=[1])  # .129 -> m = 25.8
    assert found.needed == pytest.approx(25.8)
    (found,) = sampling_efficiency(1000, [323], n, [1], ks=[1])  # .323 -> m = 64.6, between 64 and 65
    assert found.needed == pytest.approx(64.6)


def test_the_same_model_needs_k() -> None:
    c = np.random.default_rng(1).binomial(32, 0.2, 40)
    for found in sampling_efficiency(32, c, 32, c, ks=range(1, 20), num_resamples=20):  # still rising there
        assert found.needed == pytest.approx(found.k, abs=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="the same problems"):
        sampling_efficiency(4, [1, 1], 4, [2])
    with pytest.raises(InputError, match="k must be at most num_samples"):
        sampling_efficiency(4, [1, 1], 8, [2, 2], ks=[5])
    with pytest.raises(InputError, match="at least one k"):
        sampling_efficiency(4, [1, 1], 8, [2, 2], ks=[])
