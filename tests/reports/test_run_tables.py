"""Runs beside their base model: the numbers equal direct computation, and the formats say the same."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unsharpen.metrics import Crossover, Interval, bootstrap_mean, crossover, pass_at_k
from unsharpen.reports import Run, band_table, load_run, summary_table, to_csv, to_markdown, to_rich

MakeRun = Callable[..., Path]
COLUMNS = ["Pass@1", "Pass@8", "Pass@64", "Pass@128"]


@pytest.fixture
def runs(make_run: MakeRun) -> list[Run]:
    return [load_run(make_run(method, method=method)) for method in ("grpo", "ds-grpo")]


def test_numbers_equal_direct_computation(runs: list[Run]) -> None:
    rows = summary_table(runs).rows
    assert [row.label for row in rows] == ["base", "GRPO", "DS-GRPO"]
    assert list(rows[0].values) == [
        *COLUMNS,
        "distinct solutions",
        "effective solutions",
        "base catches up at k",
    ]
    for row, evaluation in zip(rows, [runs[0].base, runs[0].final, runs[1].final], strict=True):
        for k in (1, 8, 64, 128):
            direct = np.asarray(pass_at_k(128, evaluation.num_correct, k))
            assert row.values[f"Pass@{k}"] == bootstrap_mean(direct)
        distinct, effective = row.values["distinct solutions"], row.values["effective solutions"]
        assert isinstance(distinct, Interval)
        assert isinstance(effective, Interval)
        assert distinct.value == pytest.approx(evaluation.distinct_correct.mean())
        assert effective.value == pytest.approx(np.nanmean(evaluation.effective_solutions))
        assert effective.num_omitted == (evaluation.num_correct < 2).sum()
    base, final = runs[1].base, runs[1].final
    assert rows[2].values["base catches up at k"] == crossover(128, base.num_correct, 128, final.num_correct)
    assert rows[0].values["base catches up at k"] is None


def test_few_samples_leave_no_wide_columns(make_run: MakeRun) -> None:
    rows = summary_table([load_run(make_run(n=20))]).rows
    assert [c for c in rows[0].values if c.startswith("Pass")] == ["Pass@1", "Pass@8", "Pass@20"]


def test_an_interrupted_run_has_dashes(make_run: MakeRun) -> None:
    folder = make_run(n=128)
    lines = (folder / "evaluation.jsonl").read_text().splitlines()
    (folder / "evaluation.jsonl").write_text("\n".join(lines[:3]) + "\n")
    table = summary_table([load_run(folder)])
    base, interrupted = table.rows
    assert base.values["Pass@128"] is not None
    assert interrupted.values["Pass@128"] is None
    assert isinstance(interrupted.values["base catches up at k"], Crossover)
    assert "| — |" in to_markdown(table)


def test_bands_are_terciles_of_the_multiplicity(runs: list[Run]) -> None:
    table = band_table(runs)
    assert table is not None
    rows = table.rows
    assert [row.label for row in rows] == ["base", "GRPO", "DS-GRPO"] * 3
    assert [row.group.split(":")[0] for row in rows[::3]] == ["few", "medium", "many"]
    multiplicity = runs[0].base.multiplicity
    assert multiplicity is not None
    few = multiplicity <= np.quantile(multiplicity, 1 / 3)
    value = rows[1].values["Pass@64"]
    assert isinstance(value, Interval)
    assert value.value == pytest.approx(runs[0].final.pass_at(64)[few].mean())
    low, high = multiplicity.min(), multiplicity[few].max()
    assert rows[0].group == f"few: {low}–{high} solutions, {few.sum()} problems"


def test_csv_and_markdown_hold_the_same_values(runs: list[Run]) -> None:
    table = summary_table(runs)
    rows = table.rows
    parsed = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [row["model"] for row in parsed] == ["base", "GRPO", "DS-GRPO"]
    value = rows[1].values["Pass@8"]
    assert isinstance(value, Interval)
    assert float(parsed[1]["Pass@8"]) == value.value
    assert float(parsed[1]["Pass@8 high"]) == value.high
    assert parsed[0]["base catches up at k"] == ""
    lines = to_markdown(table).splitlines()[4:]
    assert len(lines) == 5
    assert str(value) in lines[3]
    assert len({line.count("|") for line in lines}) == 1


def test_the_terminal_table_fits_80_columns(runs: list[Run]) -> None:
    rows = summary_table(runs).rows
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(to_rich(summary_table(runs)))
    text = console.export_text()
    assert "…" not in text
    pass_1 = rows[0].values["Pass@1"]
    assert str(pass_1).split()[0] in text
