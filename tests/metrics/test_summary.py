"""Summaries and comparisons: every number against its own function, undefined values, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.metrics.tables import random_table

from unsharpen.errors import InputError
from unsharpen.metrics import (
    SampleTable,
    bootstrap_mean,
    bootstrap_means,
    compare,
    crossover,
    diversity_summary,
    effective_number,
    g_pass_at_k,
    majority_curve,
    paired_bootstrap_difference,
    pass_at_k,
    sampling_efficiency,
    summarise,
)


def test_every_number_of_a_summary_is_the_mean_over_problems() -> None:
    table = random_table(5, problems=40, samples=12, ragged=True)
    summary = summarise(table, seed=3)
    assert summary.ks == (1, 2, 4, 8, 12)
    assert summary.num_samples == (12, 14)
    assert summary.num_correct == table.correct.sum()
    n, c = table.num_samples, table.num_correct
    for k in summary.ks:
        interval = summary.pass_at_k[k]
        assert interval == summary.measures[f"pass@{k}"].interval
        reference = bootstrap_mean(pass_at_k(n, c, k), seed=3)
        assert (interval.value, interval.low, interval.high) == pytest.approx(
            (reference.value, reference.low, reference.high), rel=1e-12
        )
        assert summary.measures[f"maj@{k}"].interval.value == pytest.approx(
            majority_curve(table, [k], seed=3).values.mean()
        )
    assert summary.measures["g-pass@8_0.75"].interval.value == pytest.approx(np.mean(g_pass_at_k(n, c, 8, 0.75)))
    assert summary.measures["solved"].interval.value == (c > 0).mean()
    counts = table.answer_counts(correct=True)
    reference_diversity = diversity_summary([list(counter.elements()) for counter in counts])
    assert summary.measures["distinct_correct"].interval.value == pytest.approx(reference_diversity.distinct_correct)
    assert summary.measures["pairwise_diversity"].interval.value == pytest.approx(
        reference_diversity.pairwise_diversity
    )
    two = [list(counter.values()) for counter in counts if counter.total() >= 2]
    effective = summary.measures["effective_solutions"]
    assert effective.interval.value == pytest.approx(np.mean([effective_number(x) for x in two]))
    assert effective.num_undefined == 40 - len(two) > 0
    solved = (
        summary.measures["answer_entropy_solved"].num_undefined
        + summary.measures["answer_entropy_unsolved"].num_undefined
    )
    assert solved >= 40  # a problem is solved or not, and one without any readable answer is neither


def test_bands_hold_every_problem_once() -> None:
    summary = summarise(random_table(6, problems=21))
    assert [band.name for band in summary.bands] == ["few", "medium", "many"]
    assert sum(band.num_problems for band in summary.bands) == 21
    weighted = sum(b.num_problems * b.measures["pass@1"].interval.value for b in summary.bands) / 21
    assert weighted == pytest.approx(summary.measures["pass@1"].interval.value)


def test_what_columns_do_not_allow_is_said() -> None:
    bare = SampleTable.from_rows([{"problem_id": "p", "correct": i > 1} for i in range(4)], label="m")
    summary = summarise(bare)
    assert not summary.group("diversity")
    assert not summary.group("text")
    assert not summary.group("sharpening")
    said = "\n".join(summary.notes)
    for words in ("diversity, maj@k and answer entropy are unknown", "have no text", "no log-probs and no lengths"):
        assert words in said
    rows = [{"problem_id": "p", "correct": i > 1, "canonical": "x" if i == 2 else None} for i in range(4)]
    assert "1 of 2 correct samples have no known solution" in summarise(SampleTable.from_rows(rows, label="m")).notes[0]


def test_undefined_values_are_none_in_json() -> None:
    rows = [{"problem_id": p, "correct": False, "canonical": "x", "completion": "y"} for p in "ppqq"]
    plain = json.loads(json.dumps(summarise(SampleTable.from_rows(rows, label="m")).as_dict(), allow_nan=False))
    effective = plain["measures"]["effective_solutions"]
    assert effective == {
        "group": "diversity",
        "value": None,
        "low": None,
        "high": None,
        "num_problems": 0,
        "num_undefined": 2,
    }
    assert plain["measures"]["answer_entropy_unsolved"]["value"] == 0.0


def test_summary_refuses() -> None:
    table = random_table(1, problems=6, samples=4, ragged=True)  # 4, 5, 6, 4, 5, 6 samples
    with pytest.raises(InputError, match=r"4 of 6 problems of 'm' have fewer than 6 \(first: 'p0' with 4\)"):
        summarise(table, ks=[1, 6])
    with pytest.raises(InputError, match="at least 1 problem; 'm' has none"):
        summarise(SampleTable.from_rows([], label="m"))
    with pytest.raises(InputError, match="1 or more; found"):
        summarise(table, ks=[0])


def test_means_in_one_go_equal_means_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, 50))
    values[1, :20] = np.nan
    values[2] = np.nan
    first, second, third = bootstrap_means(values, seed=2)
    reference = bootstrap_mean(values[0], seed=2)
    assert (first.value, first.low, first.high) == pytest.approx((reference.value, reference.low, reference.high))
    assert second.value == pytest.approx(np.nanmean(values[1]))
    assert second.low < second.value < second.high
    assert (second.num_omitted, third.num_omitted, str(third)) == (20, 50, "undefined")


def shuffled(table: SampleTable, seed: int) -> SampleTable:
    return table.select(np.random.default_rng(seed).permutation(table.num_problems))


def test_a_comparison_is_paired_by_id() -> None:
    table, base = random_table(7, problems=30, label="trained"), random_table(8, problems=30, samples=20, label="base")
    found = compare(table, shuffled(base, 0), seed=1)
    assert found.ks == (1, 2, 4, 8, 16)
    for k in found.ks:
        values = [np.asarray(pass_at_k(t.num_samples, t.num_correct, k)) for t in (table, base)]
        reference = paired_bootstrap_difference(*values, seed=1)
        change = found.differences[f"pass@{k}"].interval
        assert (change.value, change.low, change.high) == pytest.approx(
            (reference.value, reference.low, reference.high), abs=1e-12
        )
    counts = (base.num_samples, base.num_correct, table.num_samples, table.num_correct)
    assert found.crossover == crossover(*counts, seed=1)
    assert found.efficiency == sampling_efficiency(*counts, ks=found.ks, seed=1)
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_model_beside_itself_does_not_differ() -> None:
    table = random_table(9)
    found = compare(table, shuffled(table, 1))
    for name, measure in found.differences.items():
        if measure.group != "text" and not np.isnan(measure.interval.value):
            assert measure.interval.value == pytest.approx(0, abs=1e-12), name
    assert found.crossover.k == 1


def test_problems_of_one_side_only() -> None:
    table, base = random_table(1, problems=9), random_table(2, problems=12, label="base")
    with pytest.raises(InputError, match=r"9 are in both, 0 only in 'm', 3 only in 'base' \(first: 'p9'\)"):
        compare(table, base)
    found = compare(table, base, common=True)
    assert (found.num_problems, found.num_only_here, found.num_only_base) == (9, 0, 3)
    elsewhere = SampleTable.from_rows([{"problem_id": "x", "correct": True}], label="other")
    with pytest.raises(InputError, match="0 are in both, 9 only in 'm', 1 only in 'other'"):
        compare(table, elsewhere, common=True)
    with pytest.raises(InputError, match="9 of 9 problems of 'base' have fewer than 17"):
        compare(table, base, common=True, ks=[17])


def test_select_keeps_samples_with_their_problem() -> None:
    table = random_table(3, problems=5, samples=3, ragged=True)
    some = table.select(np.asarray([4, 1]))
    assert some.problem_ids == ("p4", "p1")
    assert some.num_samples.tolist() == [4, 4]
    assert table.completions is not None
    assert some.completions is not None
    for new, old in ((0, 4), (1, 1)):
        expected = [t for t, p in zip(table.completions, table.problem, strict=True) if p == old]
        assert [t for t, p in zip(some.completions, some.problem, strict=True) if p == new] == expected
    assert some.multiplicity is not None
    assert some.multiplicity.tolist() == [5, 2]
