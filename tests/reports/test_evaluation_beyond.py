"""Votes, stability, sampling efficiency and bands of the report on evaluations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.reports.evaluations import table

from unsharpen.metrics import (
    Interval,
    SampleTable,
    SamplingEfficiency,
    bootstrap_mean,
    g_pass_at_k,
    majority_curve,
    mg_pass_at_k,
    multiplicity_bands,
    sampling_efficiency,
)
from unsharpen.reports.evaluation.beyond import (
    band_rows,
    efficiencies,
    efficiency_rows,
    efficiency_sentences,
    stability_rows,
    times_fewer,
)
from unsharpen.reports.evaluation.model import models_of


@pytest.fixture(scope="module")
def tables() -> list[SampleTable]:
    return [table("base", 1.0, problems=40, n=16), table("GRPO", 3.0, problems=40, n=16)]


def test_stability_is_that_of_the_metrics(tables: list[SampleTable]) -> None:
    for made, row in zip(tables, stability_rows(models_of(tables)), strict=True):
        n, c = made.num_samples, made.num_correct
        votes = majority_curve(made, [8, 16])
        assert str(row.values["maj@16"]) == str(bootstrap_mean(votes.values[1]))
        assert str(row.values["G-Pass@16, τ = 0.5"]) == str(bootstrap_mean(np.asarray(g_pass_at_k(n, c, 16, 0.5))))
        assert str(row.values["mG-Pass@16"]) == str(bootstrap_mean(np.asarray(mg_pass_at_k(n, c, 16))))


def test_stability_uses_a_k_that_all_models_have() -> None:
    made = [table("base", 1.0, problems=5, n=12), table("GRPO", 3.0, problems=5, n=16)]
    assert list(stability_rows(models_of(made))[0].values) == [
        *("maj@8", "G-Pass@8, τ = 0.5", "G-Pass@8, τ = 0.75", "G-Pass@8, τ = 1", "mG-Pass@8"),
    ]
    assert stability_rows(models_of([table("base", 1.0, problems=5, n=1)])) == []


def test_samples_without_answers_have_no_votes() -> None:
    rows = [{"problem_id": "p", "correct": i < 2} for i in range(4)]
    (row,) = stability_rows(models_of([SampleTable.from_rows(rows, label="m")]))
    assert row.values["maj@4"] is None
    assert str(row.values["G-Pass@4, τ = 0.5"]) == "1.000 [1.00, 1.00]"


def test_efficiency_is_that_of_the_metrics(tables: list[SampleTable]) -> None:
    base, grpo = tables
    found = efficiencies(models_of(tables))
    counts = (base.num_samples, base.num_correct, grpo.num_samples, grpo.num_correct)
    expected = sampling_efficiency(*counts, ks=[1, 4, 16])
    assert found == {"GRPO": (40, expected)}
    rows = efficiency_rows(found, "base")
    assert [row.label.partition(" of ")[0] for row in rows] == ["base's Pass@1", "base's Pass@4", "base's Pass@16"]
    assert [str(row.values["samples needed"]) for row in rows] == [str(e) for e in expected]
    (said,) = efficiency_sentences(found, "base")
    assert said.startswith(("For base's Pass@16 of", "GRPO never reaches base's Pass@16 of"))
    nothing = SamplingEfficiency(k=16, target=0.0, needed=1.0, low=1.0, high=1.0, max_k=16)
    assert efficiency_sentences({"GRPO": (40, (nothing,))}, "base") == []


def test_times_fewer_worked_out() -> None:
    # every problem: base 1 of 4 right, trained 2 of 4: base's Pass@2 = .5 is the trained model's Pass@1; 2 / 1 = 2
    made = [
        SampleTable.from_rows([{"problem_id": p, "correct": i < c} for p in "pq" for i in range(4)], label=f"{c} of 4")
        for c in (1, 2)
    ]
    ((_, found),) = efficiencies(models_of(made)).values()
    assert [e.k for e in found] == [1, 4]
    (two,) = sampling_efficiency(4, [1, 1], 4, [2, 2], ks=[2])
    assert times_fewer(two) == Interval(2.0, 2.0, 2.0)
    assert times_fewer(SamplingEfficiency(16, 0.9, None, 9.0, None, 8)) is None


def test_models_without_a_common_problem_are_not_compared() -> None:
    a, b = (SampleTable.from_rows([{"problem_id": p, "correct": True}] * 2, label=p) for p in "ab")
    assert efficiencies(models_of([a, b])) == {}


def test_bands_are_those_of_the_metrics(tables: list[SampleTable]) -> None:
    base = tables[0]
    assert base.multiplicity is not None
    bands = multiplicity_bands(base.multiplicity)
    rows = band_rows(models_of(tables))
    assert [row.label for row in rows] == ["base", "GRPO"] * len(bands)
    for band, row in zip(bands, rows[::2], strict=True):
        assert row.group.startswith(f"{band.name}: {band.low}")
        assert row.group.endswith(f" {band.problems.size} problems")
        share = base.num_correct[band.problems] / base.num_samples[band.problems]
        value = row.values["Pass@1"]
        assert isinstance(value, Interval)
        assert math.isclose(value.value, share.mean())


def test_bands_need_multiplicity_and_use_that_of_any_model(tables: list[SampleTable]) -> None:
    from dataclasses import replace

    silent = [replace(made, multiplicity=None) for made in tables]
    assert band_rows(models_of(silent)) == []
    assert len(band_rows(models_of([silent[0], tables[1]]))) == len(band_rows(models_of(tables)))
