"""The committed study: it is read, it is as large as the issue asks, and the older records count."""

from __future__ import annotations

import json
from pathlib import Path

from unsharpen.comparison.cells import fingerprint, recorded, result_cells
from unsharpen.comparison.spec import Rate, read_study
from unsharpen.training.config import load_yaml

RUNS = Path(__file__).parents[2] / "runs" / "countdown"
STUDY = read_study(load_yaml(RUNS / "compare.yaml"))


def test_methods_and_seeds() -> None:
    assert len(STUDY.arms) >= 12
    for arm in STUDY.arms:
        needed = 5 if arm.label.startswith("ds-") or arm.label in ("grpo", "grpo-low-lr", "grpo-kl") else 3
        assert len(arm.seeds) >= needed
    usual = {arm.label: (arm.candidates[0], Rate(3e-4)) for arm in STUDY.arms}
    cells = result_cells(STUDY, usual)
    assert len(cells) == sum(len(arm.seeds) for arm in STUDY.arms) == 76  # the number that the file's comment gives
    fixed = {"grpo-low-lr", "ds-grpo-robust-low-lr"}
    assert {cell.config.trl["max_steps"] for cell in cells if cell.arm not in fixed} == {400}
    assert {cell.config.trl["max_steps"] for cell in cells if cell.arm in fixed} == {800}


def test_the_same_small_budget_for_all() -> None:
    """At most three tuning runs a method; 46 in all, the number that the file's comment gives."""
    assert STUDY.tuning is not None
    assert STUDY.tuning.rate_by == "chosen"
    counts = {a.label: len(a.candidates) + len(a.tuned_rates or STUDY.tuning.rates) - 1 for a in STUDY.arms}
    tuned = {label: count for label, count in counts.items() if count > 1}
    assert set(counts) - set(tuned) == {"grpo-low-lr", "ds-grpo-robust-low-lr"}
    assert max(tuned.values()) == 3
    assert sum(tuned.values()) == 46


def test_the_records_of_the_grid_count() -> None:
    """The test runs of grid.py are known by their content, where the tuning chooses the same settings."""
    done = {fingerprint(recorded(json.loads(path.read_text()))) for path in RUNS.glob("results/*/*/config.json")}
    usual = {arm.label: (arm.candidates[0], Rate(3e-4)) for arm in STUDY.arms}
    usual["ds-grpo-robust"] = {"gamma_p": 0.2}, Rate(3e-4)
    found = {cell.arm for cell in result_cells(STUDY, usual) if cell.fingerprint in done}
    assert found >= {"grpo", "grpo-low-lr", "ds-grpo-sum", "ds-grpo-robust", "ds-grpo-centered"}
