"""Made run folders with the shape of real ones: a base model, a run that sharpens, one that does less so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Beta parameters of the chance to solve a problem, and effective solutions, before and after training
BASE = (0.9, 1.4, 7.0)
AFTER = {"grpo": (0.107, 0.083, 1.4), "ds-grpo": (0.21, 0.157, 4.3)}
STEPS = 600


def evaluation(shape: tuple[float, ...], step: int, n: int, problems: int) -> dict[str, Any]:
    a, b, solutions = shape
    rng = np.random.default_rng(0)  # the same problems at every step
    multiplicity = np.sort(rng.geometric(0.12, problems))
    chance = (np.arange(problems) + rng.normal(0, problems / 6, problems)).argsort().argsort()
    solve = np.quantile(rng.beta(a, b, 20_000), (np.arange(problems) + 0.5) / problems)[chance]
    correct = rng.binomial(n, solve)
    effective = [1 + rng.gamma(2, (solutions - 1) / 2) if c else None for c in correct]
    return {
        "step": step,
        "num_problems": problems,
        "num_samples": n,
        "temperature": 1.0,
        "num_correct": correct.tolist(),
        "distinct_correct": [0 if e is None else round(1.6 * e) for e in effective],
        "effective_solutions": effective,
        "multiplicity": multiplicity.tolist(),
    }


def records(method: str, problems: int, n: int, every: int) -> list[dict[str, Any]]:
    rows = []
    for step in range(0, STEPS + 1, every):
        done = 1 - np.exp(-step / 150)
        shape = tuple(np.exp((1 - done) * np.log(BASE) + done * np.log(AFTER.get(method, AFTER["grpo"]))))
        last = step in (0, STEPS)
        rows.append(evaluation(shape, step, n if last else n // 2, problems))
    return rows


def write_run(
    folder: Path, method: str = "grpo", problems: int = 60, n: int = 128, every: int = 150, **config: Any
) -> Path:
    folder.mkdir(parents=True)
    settings = {"learning_rate": 3e-5, "max_steps": STEPS, "num_generations": 16}
    full = {
        "method": method,
        "coefficients": {"gamma_p": 0.1, "gamma_n": 0.1} if method != "grpo" else {},
        "task": "countdown",
        "model": "countdown-tiny",
        "seed": 0,
        "settings": settings,
        "versions": {"unsharpen": "0.1.0", "torch": "2.13.0"},
        **config,
    }
    (folder / "config.json").write_text(json.dumps(full))
    steps = [{"step": s, "reward": 0.4 + s / 4000, "entropy": 1.2, "step_time": 0.9} for s in range(1, 20)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))
    rows = records(method, problems, n, every)
    (folder / "evaluation.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    return lambda name="grpo", **options: write_run(tmp_path / name, **options)
