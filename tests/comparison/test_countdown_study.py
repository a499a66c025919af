"""The committed study: it is read, it is as large as the issue asks, and the older records count."""

from __future__ import annotations

import json
from pathlib import Path

from unsharpen.comparison.cells import fingerprint, plain, recorded, result_cells, tuning_cells
from unsharpen.comparison.spec import Rate, read_study
from unsharpen.training.config import RunConfig, load_yaml

RUNS = Path(__file__).parents[2] / "runs" / "countdown"
STUDY = read_study(load_yaml(RUNS / "compare.yaml"))


def test_methods_and_seeds() -> None:
    assert len(STUDY.arms) >= 12
    for arm in STUDY.arms:
        needed = 5 if arm.label.startswith("ds-") or arm.label in ("grpo", "grpo-low-lr", "grpo-kl") else 3
        assert len(arm.seeds) >= needed
    usual = {arm.label: (arm.candidates[0], Rate(3e-4)) for arm in STUDY.arms}
    cells = result_cells(STUDY, usual)
    assert len(cells) == sum(len(arm.seeds) for arm in STUDY.arms) == 69
    assert {cell.config.trl["max_steps"] for cell in cells if cell.arm != "grpo-low-lr"} == {400}
    tuned = tuning_cells(STUDY, [arm.label for arm in STUDY.arms if arm.label != "grpo-low-lr"])
    assert len(tuned) == 2 * 35  # the number that the file's comment gives


def test_the_records_of_the_grid_count() -> None:
    """What grid.py writes for its tuning is known by content; so are its test runs, here as its code makes them."""
    done = {fingerprint(recorded(json.loads(path.read_text()))) for path in RUNS.glob("tuning/*/*/config.json")}
    tuned = tuning_cells(STUDY, [arm.label for arm in STUDY.arms])
    found = {cell.arm for cell in tuned if cell.fingerprint in done}
    assert found >= {"grpo", "ds-grpo", "ds-grpo-sum", "ds-grpo-robust", "ds-grpo-centered"}

    def grid(method: str, steps: int, args: dict[str, float]) -> str:
        trl = {"max_steps": steps, "learning_rate": 3e-4}
        usual = {"seed": 1, "num_eval": 256, "eval_samples": 128, "eval_every": 200}
        return fingerprint(plain(RunConfig(method=method, method_args=args, trl=trl, **usual)))

    usual = {arm.label: (arm.candidates[0], Rate(3e-4)) for arm in STUDY.arms}
    usual["ds-grpo-robust"] = {"gamma_p": 0.2}, Rate(3e-4)
    cells = {cell.arm: cell.fingerprint for cell in result_cells(STUDY, usual) if cell.config.seed == 1}
    assert cells["grpo"] == grid("grpo", 400, {})
    assert cells["ds-grpo-robust"] == grid("ds-grpo-robust", 400, {"gamma_p": 0.2})
    assert cells["grpo-low-lr"] == grid("grpo-low-lr", 800, {"learning_rate_scale": 0.5})
