"""The trend test: golden scores, known turning points, and how often noise alone looks like a fall."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from tests.diagnosis.curves import noise, turning

from unsharpen.diagnosis import find_turn, rank_trend
from unsharpen.diagnosis.trend import _autocorrelation, _null, _tail_scores
from unsharpen.errors import InputError


def naive_scores(row: list[float]) -> list[float]:
    """Mann-Kendall z of each tail of at least 5 values, pair by pair."""
    out = []
    for start in range(len(row) - 4):
        tail = row[start:]
        n = len(tail)
        pairs = [(tail[j] > tail[i]) - (tail[j] < tail[i]) for i in range(n) for j in range(i + 1, n)]
        out.append(sum(pairs) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18))
    return out


def test_tail_scores_equal_counting_pairs() -> None:
    rows = np.random.default_rng(0).integers(0, 6, (20, 11)).astype(float)  # with ties
    expected = [naive_scores(row) for row in rows.tolist()]
    np.testing.assert_allclose(_tail_scores(rows), expected, rtol=1e-12)


def test_golden_score() -> None:
    # 5 4 3 2 1: all 10 pairs fall, S = -10; variance 5 * 4 * 15 / 18 = 16.67; z = -10 / 4.082 = -2.449
    assert _tail_scores(np.array([[5.0, 4, 3, 2, 1]]))[0] == pytest.approx([-10 / math.sqrt(50 / 3)])


def test_the_null_is_that_of_all_orders() -> None:
    # 6 blocks, two tails: exact distribution over 720 orders
    exact = np.asarray([min(naive_scores(list(p))) for p in permutations(range(6))])
    for score in (-2.5, -2.0, -1.5, -1.0, 0.0):
        share = np.mean(exact <= score)
        # three standard errors of a share of 9,999 orders
        assert np.mean(_null(6) <= score) == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / 9_999))


@pytest.mark.parametrize(("length", "at"), [(120, 60), (200, 50), (200, 120), (400, 200)])
def test_a_known_turning_point_is_found(length: int, at: int) -> None:
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        turn = find_turn(range(length), turning(length, at) + 0.25 * rng.normal(size=length))
        assert turn is not None
        assert turn.p_value < 0.01
        found.append(turn.onset - at)
        assert turn.start == pytest.approx(2.8, abs=0.3)
        assert turn.end == pytest.approx(1.8, abs=0.3)
    assert abs(np.median(found)) <= length / 12  # blocks are a 24th of the curve
    assert np.abs(found).max() <= length / 6


def test_a_fall_throughout_begins_at_the_start() -> None:
    steps = np.arange(120)
    curve = 1.5 + 1.3 * np.exp(-steps / 60) + 0.3 * np.random.default_rng(0).normal(size=120)
    turn = find_turn(steps, curve)
    assert turn is not None
    assert (turn.onset, turn.p_value) == (0.0, pytest.approx(1e-4))


@pytest.mark.parametrize("kind", ["normal", "heavy", "sticky"])
@pytest.mark.parametrize("length", [12, 40, 150])
def test_noise_is_seldom_a_fall(kind: str, length: int) -> None:
    num = 300
    p_values = []
    for seed in range(num):
        turn = find_turn(range(length), noise(kind, length, np.random.default_rng(seed)))
        assert turn is not None
        p_values.append(turn.p_value)
    # Blocks of sticky noise still resemble each other a little; with 12 values they can't be made longer.
    factor = {"sticky": 4 if length == 12 else 2}.get(kind, 1)
    for level in (0.01, 0.05):
        assert np.mean(np.asarray(p_values) <= level) <= factor * level + 3 * math.sqrt(level * (1 - level) / num)


def test_rising_is_the_mirror() -> None:
    curve = turning(100, 40) + 0.1 * np.random.default_rng(0).normal(size=100)
    down, up = find_turn(range(100), curve), find_turn(range(100), -curve, rising=True)
    assert down is not None
    assert up is not None
    assert (up.onset, up.p_value, up.start, up.end) == (down.onset, down.p_value, -down.start, -down.end)


def test_a_fall_that_recovered_is_none() -> None:
    curve = np.concatenate([np.linspace(2, 1, 40), np.linspace(1, 2, 40)])
    turn = find_turn(range(80), curve + 0.05 * np.random.default_rng(0).normal(size=80))
    assert turn is not None
    assert turn.p_value > 0.5


def test_whether_it_still_falls() -> None:
    rng = np.random.default_rng(0)
    early = np.concatenate([np.linspace(3, 2, 40), np.full(120, 2.0)]) + 0.1 * rng.normal(size=160)
    late = np.linspace(3, 2, 160) + 0.1 * rng.normal(size=160)
    turns = [find_turn(range(160), curve) for curve in (early, late)]
    assert [turn.ongoing for turn in turns if turn] == [False, True]


def test_wild_values_and_gaps_change_nothing() -> None:
    steps, curve = np.arange(120), turning(120, 60) + 0.1 * np.random.default_rng(0).normal(size=120)
    wild = curve.copy()
    wild[[10, 70, 110]] = 1e6, -1e6, 1e6
    gaps = np.where(steps % 3 == 1, np.nan, curve)
    shuffled = np.random.default_rng(1).permutation(120)
    plain = find_turn(steps, curve)
    assert plain is not None
    for x, y in ((steps, wild), (steps, gaps), (steps[shuffled], curve[shuffled])):
        turn = find_turn(x, y)
        assert turn is not None
        assert turn.p_value < 0.01
        assert abs(turn.onset - plain.onset) <= 10
        assert turn.end == pytest.approx(plain.end, abs=0.2)


def test_the_resolution_grows_with_the_noise() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = (find_turn(range(120), 2 + s * rng.normal(size=120)) for s in (0.05, 0.5))
    assert quiet is not None
    assert loud is not None
    # interquartile means of 5 values: standard error about .45 s; 3 x .45 s x sqrt(2 / 8) = .68 s
    assert quiet.resolution == pytest.approx(0.68 * 0.05, rel=0.6)
    assert loud.resolution > 4 * quiet.resolution


@pytest.mark.parametrize("prompts", [1, 2])
def test_a_curve_that_is_mostly_one_value_has_noise_all_the_same(prompts: int) -> None:
    for length in (100, 400):
        found = []
        for seed in range(30):
            solved = np.random.default_rng(seed).binomial(prompts, 0.97, size=length) / prompts
            turn = find_turn(range(length), solved)
            found.append(turn.resolution if turn else math.nan)  # by chance it never changes
        # a third of the curve has length * prompts / 3 tries, so 3 standard errors of a difference are
        expected = 3 * math.sqrt(2 * 0.97 * 0.03 / (length * prompts / 3))
        assert np.nanmin(found) > expected / 6
        assert np.nanmedian(found) == pytest.approx(expected, rel=0.5)


def test_a_line_without_noise_hides_nothing() -> None:
    turn = find_turn(range(96), 0.1 * np.arange(96))  # blocks of 4
    assert turn is not None
    assert turn.resolution == 0


@pytest.mark.parametrize(("rho", "low", "high"), [(0.0, 0.0, 0.15), (0.5, 0.35, 0.65), (0.8, 0.65, 0.9)])
def test_autocorrelation_is_that_of_the_noise_not_of_the_trend(rho: float, low: float, high: float) -> None:
    rng, out = np.random.default_rng(0), np.zeros(2000)
    for i in range(1, 2000):
        out[i] = rho * out[i - 1] + rng.normal()
    assert low <= _autocorrelation(out + np.linspace(0, 30, 2000)) <= high


def test_too_short_or_constant_is_no_answer() -> None:
    assert find_turn(range(7), range(7)) is None
    assert find_turn(range(20), [1.0] * 20) is None
    assert find_turn(range(20), [np.nan] * 13 + [1.0] * 7) is None
    assert rank_trend(range(5), range(5))[0] == "unknown"


def test_rank_trend() -> None:
    assert rank_trend(range(30), range(30)) == ("rises", pytest.approx(6, abs=2), pytest.approx(25, abs=2))
    assert rank_trend(range(30), range(30, 0, -1))[0] == "falls"
    assert rank_trend(range(60), [*range(30), *range(30, 0, -1)], since=30)[0] == "falls"
    assert rank_trend(range(200), np.random.default_rng(3).normal(size=200))[0] == "level"


@pytest.mark.parametrize(
    ("steps", "values", "words"),
    [
        ([1, 2], [1], r"\(2,\) and \(1,\)"),
        ([[1]], [[1]], "one dimension"),
        (range(9), [np.inf] * 9, "finite"),
        ([np.nan] * 9, range(9), "finite"),
    ],
)
def test_refuses(steps: list[float], values: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        find_turn(steps, values)
