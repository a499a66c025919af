"""Diversity of correct completions: hand-worked values, all draws, undefined cases."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import (
    distinct,
    diversity_summary,
    effective_number,
    entropy_number,
    expected_distinct,
    pairwise_diversity,
)


def test_golden() -> None:
    # counts 2, 1, 1: q = 1/2, 1/4, 1/4; sum q^2 = 6/16; 1 / (6/16) = 8/3
    assert effective_number([2, 1, 1]) == pytest.approx(8 / 3)
    # H = 1/2 ln 2 + 2 * 1/4 ln 4 = 3/2 ln 2, exp(H) = 2^1.5
    assert entropy_number([2, 1, 1]) == pytest.approx(2**1.5)
    # 6 pairs, one of them alike: 5/6
    assert pairwise_diversity([2, 1, 1]) == pytest.approx(5 / 6)
    assert distinct([]) == 0
    assert distinct(["a", "b", "a"]) == 2


@pytest.mark.parametrize("counts", [[5], [4, 4, 4], [3, 0, 3]])
def test_equal_shares_count_as_themselves(counts: list[int]) -> None:
    used = sum(c > 0 for c in counts)
    assert effective_number(counts) == pytest.approx(used)
    assert entropy_number(counts) == pytest.approx(used)


def test_hill_numbers_are_ordered() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = rng.integers(2, 20, size=rng.integers(1, 9))
        assert 1 - 1e-12 <= effective_number(counts) <= entropy_number(counts) + 1e-12
        assert entropy_number(counts) <= len(counts) + 1e-12


def test_pairwise_diversity_is_unbiased() -> None:
    # solutions drawn with q = (.5, .3, .2): 1 - sum q^2 = 1 - .38 = .62, whatever the number drawn
    rng = np.random.default_rng(0)
    for size in (2, 5):
        draws = rng.multinomial(size, [0.5, 0.3, 0.2], size=4000)
        assert np.mean([pairwise_diversity(row) for row in draws]) == pytest.approx(0.62, abs=0.02)


def test_expected_distinct_equals_the_mean_over_all_draws() -> None:
    counts = [3, 2, 1]
    pool = [i for i, count in enumerate(counts) for _ in range(count)]
    for drawn in range(1, 7):
        sizes = [len(set(draw)) for draw in combinations(pool, drawn)]
        assert expected_distinct(counts, drawn) == pytest.approx(sum(sizes) / len(sizes))
    for drawn in (0, 7):
        with pytest.raises(InputError, match=rf"num_drawn must lie in 1..6.*found {drawn}"):
            expected_distinct(counts, drawn)


def test_undefined_is_nan() -> None:
    for counts in ([], [0, 0], [1], [0, 1]):  # one correct completion has nothing to differ from
        assert math.isnan(effective_number(counts))
        assert math.isnan(entropy_number(counts))
        assert math.isnan(pairwise_diversity(counts))


@pytest.mark.parametrize("counts", [[-1], [0.5], [[1]]])
def test_refuses(counts: list[object]) -> None:
    with pytest.raises(InputError, match="counts must"):
        effective_number(counts)  # type: ignore[arg-type]


def test_summary_says_over_which_problems() -> None:
    # problem 0: a a b -> 2 distinct, N_eff 9/5 = 1.8, pairs 1 - 2/6 = 2/3; problem 1: one; problem 2: none
    summary = diversity_summary([["a", "a", "b"], ["c"], []])
    assert (summary.num_problems, summary.num_with_correct, summary.num_with_pair) == (3, 2, 1)
    assert summary.distinct_correct == pytest.approx((2 + 1 + 0) / 3)
    assert summary.effective_solutions == pytest.approx(1.8)
    assert summary.pairwise_diversity == pytest.approx(2 / 3)
    assert math.isnan(diversity_summary([[], []]).effective_solutions)
    with pytest.raises(InputError, match="problem 1 is a string"):
        diversity_summary([["a"], "abc"])
    with pytest.raises(InputError, match="at least one problem"):
        diversity_summary([])
