"""maj@k: enumeration of all subsets, ties, abstentions, and unbiased subsets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.tables import random_table

from unsharpen.errors import InputError
from unsharpen.metrics import SampleTable, majority_at_k, majority_curve


def naive(samples: Sequence[tuple[str | None, bool]], k: int) -> Fraction:
    """Mean over all k-subsets of the right share of the answers with most votes."""
    right: dict[str, list[bool]] = {}
    for answer, correct in samples:
        if answer is not None:
            right.setdefault(answer, []).append(correct)
    total, draws = Fraction(0), 0
    for draw in combinations(samples, k):
        votes = Counter(answer for answer, _ in draw if answer is not None)
        top = [answer for answer, number in votes.items() if number == max(votes.values())]
        total += sum((Fraction(sum(right[a]), len(right[a])) for a in top), Fraction(0)) / max(1, len(top))
        draws += 1
    return total / draws


def table_of(*problems: Sequence[tuple[str | None, bool]]) -> SampleTable:
    rows = [
        {"problem_id": str(p), "canonical": answer, "correct": correct}
        for p, samples in enumerate(problems)
        for answer, correct in samples
    ]
    return SampleTable.from_rows(rows, label="m")


def test_golden() -> None:
    # aab, k=2: aa wins, ab twice ties at 1/2 -> (1 + 1/2 + 1/2) / 3
    assert majority_at_k([2, 1], [1, 0], 2) == pytest.approx(2 / 3)
    # aab, k=3: a has two of three votes
    assert majority_at_k([2, 1], [1, 0], 3) == 1.0
    # a is right, b comes twice, and one sample abstains; k=4 is everything: b wins
    assert majority_at_k([1, 2], [1, 0], 4, num_samples=4) == 0.0
    # nobody votes
    assert majority_at_k([], [], 2, num_samples=3) == 0.0


sample_lists = st.lists(
    st.one_of(st.just((None, False)), st.sampled_from("abcd").map(lambda a: (a, a in "ab"))), min_size=1, max_size=8
)


@given(sample_lists, st.integers(1, 8))
def test_equals_the_mean_over_all_subsets(samples: list[tuple[str | None, bool]], k: int) -> None:
    k = min(k, len(samples))
    counts = Counter(answer for answer, _ in samples if answer is not None)
    value = majority_at_k(list(counts.values()), [a in "ab" for a in counts], k, num_samples=len(samples))
    reference = float(naive(samples, k))
    assert value == pytest.approx(reference, rel=1e-12, abs=1e-15)
    curve = majority_curve(table_of(samples), [k])
    assert curve.exact.all()
    assert curve.values[0, 0] == pytest.approx(reference, rel=1e-12, abs=1e-15)


def test_an_answer_that_is_right_only_sometimes_counts_by_its_share() -> None:
    samples = [("a", True), ("a", False), ("b", False)]
    for k in (1, 2, 3):
        assert majority_curve(table_of(samples), [k]).values[0, 0] == pytest.approx(float(naive(samples, k)))


def test_drawn_subsets_are_unbiased(monkeypatch: pytest.MonkeyPatch) -> None:
    table = random_table(3, problems=6, samples=10)
    ks = [2, 3, 5, 8]
    exact = majority_curve(table, ks)
    assert exact.exact.all()
    assert exact.num_draws == 0
    monkeypatch.setattr("unsharpen.metrics.majority._EXACT_COST", 0)
    drawn = majority_curve(table, ks, num_draws=4000, seed=1)
    assert not drawn.exact.any()
    np.testing.assert_allclose(drawn.values, exact.values, atol=5 * 0.5 / 4000**0.5)  # 5 sigma of the widest
    again = majority_curve(table, ks, num_draws=4000, seed=1)
    np.testing.assert_array_equal(drawn.values, again.values)


def test_both_ends_are_exact_without_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsharpen.metrics.majority._EXACT_COST", 0)
    table = random_table(4, problems=5, samples=9)
    curve = majority_curve(table, [1, 4, 9], num_draws=3)
    assert curve.exact.tolist() == [True, False, True]
    np.testing.assert_allclose(curve.values[0], np.bincount(table.problem[table.correct], minlength=5) / 9)


def test_more_votes_help_the_largest_answer_only() -> None:
    ks = list(range(1, 22, 2))
    rising, falling = ([majority_at_k([a, 21 - a], [1, 0], k) for k in ks] for a in (13, 8))
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(rising))
    assert all(later <= earlier + 1e-12 for earlier, later in pairwise(falling))
    assert rising[-1] == pytest.approx(1)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match=r"ks must lie in 1\.\.4.*found \[5\]"):
        majority_curve(table_of([("a", True)] * 4), [5])
    with pytest.raises(InputError, match="num_draws must be 1 or more"):
        majority_curve(table_of([("a", True)] * 4), [2], num_draws=0)
    with pytest.raises(InputError, match="seed must be a whole number, 0 or more; found -1"):
        majority_curve(table_of([("a", True)] * 4), [2], seed=-1)
    with pytest.raises(InputError, match="found k 4, n 3"):
        majority_at_k([2, 1], [1, 0], 4)
    with pytest.raises(InputError, match="found k 1, n 2"):
        majority_at_k([2, 1], [1, 0], 1, num_samples=2)
    with pytest.raises(InputError, match=r"one number in 0\.\.1 per answer"):
        majority_at_k([2, 1], [1, 2], 1)
