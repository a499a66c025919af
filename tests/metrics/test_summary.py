"""Summaries and comparisons: every number against its own function, undefined values, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

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
from unsharpen.metrics.measures import GROW_WITH_SAMPLES, measures_of


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


def one_model(seed: int, n: int, problems: int = 900) -> SampleTable:
    """Samples of one and the same model, whatever the seed and n; it never solves every fourth problem."""
    world, rng = np.random.default_rng(0), np.random.default_rng(seed)
    rows = []
    for p in range(problems):
        chance = world.dirichlet(np.full(8, 1.0))
        for answer in rng.choice(8, n, p=chance):
            text = " ".join(f"w{w}" for w in rng.integers(4, size=5))
            rows.append(
                {"problem_id": str(p), "correct": bool(answer < 3 and p % 4), "canonical": f"{answer}"}
                | {"completion": text, "num_tokens": 5, "logprob": -1.0 - float(answer)}
            )
    return SampleTable.from_rows(rows, label=f"n = {n}")


def paired(table: SampleTable, base: SampleTable, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Differences of all measures, by problem."""
    ours, theirs = (measures_of(one, np.asarray(ks))[0] for one in (table, base))
    return {one.name: one.values - other.values for one, other in zip(ours, theirs, strict=True)}


def test_a_model_beside_itself_with_more_samples_does_not_differ() -> None:
    few, many = one_model(1, 6), one_model(2, 24)
    found = compare(few, many, level=0.999)
    shown = found.differences.keys()
    assert {"pass@1", "pass@6", "maj@6", "g-pass@6_0.5", "mg-pass@6", "pairwise_diversity", "length"} <= shown
    for name, measure in found.differences.items():
        assert measure.interval.low <= 1e-9, name
        assert measure.interval.high >= -1e-9, name
    hidden = {name: values for name, values in paired(few, many, found.ks).items() if name not in shown}
    assert hidden.keys() == GROW_WITH_SAMPLES
    for name, values in hidden.items():  # what is left out would have differed
        known = values[~np.isnan(values)]
        assert abs(known.mean()) > 3.3 * known.std() / np.sqrt(known.size), name
    assert "solved at least once" in found.notes[-1]
    assert "900 of 900 problems have different numbers of samples (6 of n = 6, 24 of n = 24)" in found.notes[-1]
    assert {name for band in found.bands for name in band.measures} <= {"pass@1", "pass@6"}


def test_a_problem_that_lacks_a_sample_is_left_out_of_what_depends_on_it() -> None:
    table, base = random_table(7, problems=20), random_table(8, problems=20, label="base")
    short = table.select(np.arange(20))
    short = replace(
        short,
        **{
            name: np.delete(getattr(short, name), 0)
            for name in ("problem", "correct", "answers", "logprobs", "lengths")
        },
        completions=(short.completions or ())[1:],
    )
    found, whole = compare(short, base), compare(table, base)
    distinct, reference = (one.differences["distinct_correct"] for one in (found, whole))
    assert (distinct.num_undefined, reference.num_undefined) == (1, 0)
    assert found.differences["pass@1"].num_undefined == 0
    assert "1 of 20 problems have different numbers of samples (15 of m, 16 of base)" in found.notes[-2]
    rest = compare(table.select(np.arange(1, 20)), base.select(np.arange(1, 20)))
    assert distinct.interval.value == pytest.approx(rest.differences["distinct_correct"].interval.value)


def test_what_depends_on_the_number_of_correct_samples_is_said() -> None:
    table = random_table(7)
    assert not any("pairwise diversity does not" in note for note in compare(table, table).notes)
    note = compare(table, random_table(8, label="base")).notes[-1]
    assert "also depend on how many samples are correct" in note
    assert note.endswith("of base); pairwise diversity does not")


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
