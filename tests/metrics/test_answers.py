"""Answers, sharpening and bands for whole tables: the functions of one problem in a loop."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from tests.metrics.tables import random_table

from unsharpen.errors import InputError
from unsharpen.metrics import (
    SampleTable,
    answer_groups,
    effective_number,
    entropy_number,
    largest_correct_share,
    mean_length,
    mean_token_logprob,
    multiplicity_bands,
    pairwise_diversity,
    rare_correct_logprobs,
)
from unsharpen.metrics.samples import UNREADABLE


@pytest.mark.parametrize("correct", [None, True, False])
def test_groups_equal_the_functions_of_one_problem(correct: bool | None) -> None:
    table = random_table(1, problems=30, samples=6, ragged=True)
    groups = answer_groups(table, correct=correct)
    for p, counter in enumerate(table.answer_counts(correct=correct)):
        counts = list(counter.values())
        assert groups.total[p] == sum(counts)
        assert groups.distinct[p] == len(counts)
        np.testing.assert_allclose(groups.effective[p], effective_number(counts), rtol=1e-13)
        if sum(counts) >= 2:
            np.testing.assert_allclose(np.exp(groups.entropy[p]), entropy_number(counts), rtol=1e-13)
        np.testing.assert_allclose(groups.pairwise[p], pairwise_diversity(counts), rtol=1e-13)
        assert groups.largest_share[p] == max(counts) / sum(counts) if counts else math.isnan(groups.largest_share[p])
    for p, a, count, right in zip(groups.problem, groups.answer, groups.count, groups.num_correct, strict=True):
        rows = (table.problem == p) & (table.answers == a) & (correct is None or table.correct == correct)
        assert (count, right) == (rows.sum(), table.correct[rows].sum())


def test_means_of_a_problem() -> None:
    table = random_table(2, problems=8, samples=5)
    assert table.logprobs is not None
    assert table.lengths is not None
    per_token = table.logprobs / table.lengths
    for p in range(8):
        rows = table.problem == p
        assert mean_token_logprob(table)[p] == pytest.approx(per_token[rows].mean())
        assert mean_length(table)[p] == pytest.approx(table.lengths[rows].mean())
        for correct in (True, False):
            kept = rows & (table.correct == correct)
            expected = table.lengths[kept].mean() if kept.any() else np.nan
            np.testing.assert_allclose(mean_length(table, correct=correct)[p], expected)
        solutions = Counter(table.answers[rows & table.correct].tolist())
        share = max(solutions.values()) / solutions.total() if solutions.total() >= 2 else np.nan
        assert UNREADABLE not in solutions
        np.testing.assert_allclose(largest_correct_share(table)[p], share)


def test_unknown_columns_are_undefined() -> None:
    rows = [
        {"problem_id": "p", "correct": True, "num_tokens": 0},
        {"problem_id": "q", "correct": True, "num_tokens": 4},
    ]
    table = SampleTable.from_rows(rows, label="m")
    assert np.isnan(mean_token_logprob(table)).all()
    np.testing.assert_array_equal(mean_length(table), [np.nan, 4])
    assert np.isnan(largest_correct_share(table)).all()


def rows_of(**logprobs: float) -> list[dict[str, object]]:
    return [{"problem_id": "p", "correct": t != "bad", "completion": t, "logprob": v} for t, v in logprobs.items()]


def test_rare_correct_completions() -> None:
    base = SampleTable.from_rows(rows_of(a=-1.0, b=-2.0, c=-6.0, d=-8.0, bad=-9.0), label="base")
    trained = SampleTable.from_rows(rows_of(d=-11.0, a=-0.1, bad=-1.0), label="trained")
    # the quarter of -8, -6, -2, -1 lies at -6.5: d alone is rare (the wrong one does not count), and is sampled again
    found = rare_correct_logprobs(base, trained)
    assert found is not None
    assert (found.num_rare, found.num_matched) == (1, 1)
    assert (found.base.value, found.trained.value, found.change.value) == (-8.0, -11.0, -3.0)
    # the lower half is c and d; c is no longer sampled
    half = rare_correct_logprobs(base, trained, quantile=0.5)
    assert half is not None
    assert (half.num_rare, half.num_matched) == (2, 1)
    lost = rare_correct_logprobs(base, SampleTable.from_rows(rows_of(a=-0.1), label="trained"))
    assert lost is not None
    assert (lost.num_rare, lost.num_matched, str(lost.change)) == (1, 0, "undefined")
    assert rare_correct_logprobs(base, SampleTable.from_rows([{"problem_id": "p", "correct": True}], label="x")) is None
    with pytest.raises(InputError, match="quantile"):
        rare_correct_logprobs(base, trained, quantile=0)


def test_bands_are_thirds() -> None:
    bands = multiplicity_bands([3, 1, 2, 30, 20, 10, 300, 200, 100])
    assert [(b.name, b.low, b.high, b.problems.tolist()) for b in bands] == [
        ("few", 1, 3, [0, 1, 2]),
        ("medium", 10, 30, [3, 4, 5]),
        ("many", 100, 300, [6, 7, 8]),
    ]
    assert [b.name for b in multiplicity_bands([1, 1, 1])] == ["few"]  # ties stay together
    with pytest.raises(InputError, match="one number per problem"):
        multiplicity_bands([])
