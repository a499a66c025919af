"""Bootstrap intervals: coverage, pairing, seeds, and undefined values."""

from __future__ import annotations

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import Interval, bootstrap_mean, bootstrap_over_seeds, paired_bootstrap_difference
from unsharpen.metrics import bootstrap as module


def test_interval_width_matches_the_normal_approximation() -> None:
    # 200 zeros and 200 ones: standard error .5 / sqrt(400) = .025, so about .5 +- 1.96 * .025 = .451 .. .549
    result = bootstrap_mean([0.0, 1.0] * 200, num_resamples=4000)
    assert result.value == 0.5
    assert result.low == pytest.approx(0.451, abs=0.004)
    assert result.high == pytest.approx(0.549, abs=0.004)


def test_coverage() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(300):
        result = bootstrap_mean(rng.beta(0.5, 1.0, size=60), num_resamples=400, seed=trial)
        hits += result.low <= 1 / 3 <= result.high
    assert 0.91 <= hits / 300 <= 0.98


def test_same_seed_same_numbers_and_constant_values_have_no_width() -> None:
    values = np.linspace(0, 1, 30)
    assert bootstrap_mean(values, seed=5) == bootstrap_mean(values, seed=5)
    assert bootstrap_mean(values, seed=5) != bootstrap_mean(values, seed=6)
    constant = bootstrap_mean([0.25] * 7)
    assert (constant.value, constant.low, constant.high) == (0.25, 0.25, 0.25)


def test_blocks_cover_all_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_CELLS", 70)
    blocks = list(module.resample_counts(10, 20, seed=0))
    assert [len(block) for block in blocks] == [7, 7, 6]
    assert all((block.sum(axis=1) == 10).all() for block in blocks)


def test_pairing_removes_the_difficulty_of_problems() -> None:
    rng = np.random.default_rng(0)
    difficulty = rng.uniform(size=200)
    a, b = difficulty + 0.05 + rng.normal(0, 0.01, 200), difficulty
    paired = paired_bootstrap_difference(a, b)
    assert paired.low > 0.04
    assert paired.high - paired.low < 0.1 * (bootstrap_mean(a).high - bootstrap_mean(a).low)
    with pytest.raises(InputError, match="same problems; found 3 and 2"):
        paired_bootstrap_difference([1, 2, 3], [1, 2])


def test_undefined_values_are_an_error_or_counted() -> None:
    values = [1.0, np.nan, 3.0, np.nan]
    with pytest.raises(InputError, match=r"2 of 4 are NaN \(first: index 1\)"):
        bootstrap_mean(values)
    result = bootstrap_mean(values, nan="omit")
    assert (result.value, result.num_omitted) == (2.0, 2)
    # pairs (1, 1), (nan, 1), (3, nan): one pair is left, difference 0
    paired = paired_bootstrap_difference([1.0, np.nan, 3.0], [1.0, 1.0, np.nan], nan="omit")
    assert (paired.value, paired.num_omitted) == (0.0, 2)
    nothing = bootstrap_mean([np.nan], nan="omit")
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()
    assert str(nothing) == "undefined"


def test_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    problems = rng.uniform(size=300)
    runs = problems + np.asarray([[-0.2], [0.0], [0.2]])
    both = bootstrap_over_seeds(runs)
    alone = bootstrap_mean(problems)
    assert both.value == pytest.approx(alone.value)
    assert both.low < alone.low - 0.05
    assert both.high > alone.high + 0.05
    # one seed: nothing but the problems varies
    single = bootstrap_over_seeds(problems[None])
    assert (single.low, single.high) == pytest.approx((alone.low, alone.high))


def test_seeds_with_undefined_cells() -> None:
    # defined: 1, 3 | 5 -> mean 3
    result = bootstrap_over_seeds([[1.0, 3.0], [np.nan, 5.0]], nan="omit")
    assert (result.value, result.num_omitted) == (3.0, 1)
    with pytest.raises(InputError, match=r"first: index \[1, 0\]"):
        bootstrap_over_seeds([[1.0, 3.0], [np.nan, 5.0]])


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "non-empty 1-d array"),
        ([[1.0]], {}, r"found shape \(1, 1\)"),
        ([1.0, np.inf], {}, r"must be finite; found inf \(first: index \[1\]\)"),
        (["a"], {}, "array of numbers"),
        ([1.0], {"level": 95}, "between 0 and 1; found 95"),
        ([1.0], {"num_resamples": 0}, "num_resamples must be 1 or more"),
        ([1.0], {"seed": -1}, "seed must be a whole number, 0 or more; found -1"),
        ([1.0], {"seed": 0.5}, "seed must be a whole number, 0 or more; found 0.5"),
        ([1.0], {"nan": "drop"}, "found 'drop'"),
    ],
)
def test_refuses(values: list[object], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bootstrap_mean(values, **options)  # type: ignore[arg-type]


def test_interval_text() -> None:
    assert str(Interval(0.565, 0.531, 0.602)) == ".565 [.53, .60]"
    assert str(Interval(1.0, 1.0, 1.0)) == "1.000 [1.00, 1.00]"
    assert str(Interval(-0.25, -0.31, -0.2)) == "-.250 [-.31, -.20]"
    assert str(Interval(10.04, 9.5, 10.96)) == "10.04 [9.5, 11.0]"
