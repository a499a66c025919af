"""A training that writes the records of a run in milliseconds, and made records of many methods."""

from __future__ import annotations

import json
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics import effective_number
from unsharpen.training.config import RunConfig, base_weights
from unsharpen.training.folder import RunFolder, append_jsonl, read_jsonl

PROBLEMS = 24
# method -> (Pass@1 gain, spread kept) after training; any other method is drawn by its name
SHAPES = {"grpo": (0.18, 0.25), "grpo-low-lr": (0.2, 0.3), "ds-grpo-robust": (0.17, 0.7), "ds-grpo": (0.17, 0.4)}


class Result:
    """What ``train`` returns."""

    def __init__(self, folder: RunFolder, finished: bool = True, interrupted: bool = False) -> None:
        self.folder, self.finished, self.interrupted = folder, finished, interrupted


def shape(method: str) -> tuple[float, float]:
    rng = np.random.default_rng(zlib.crc32(method.encode()))
    return SHAPES.get(method, (rng.uniform(0.05, 0.22), rng.uniform(0.2, 0.9)))


def evaluation(config: RunConfig, step: int, total: int, problems: int = PROBLEMS) -> dict[str, Any]:
    """One record of ``evaluation.jsonl``: the same problems at every step and for every seed."""
    gain, spread = shape(config.method)
    gain += 0.02 * len(config.method_args) - 0.01 * bool(config.trl.get("learning_rate", 1) < 2e-4)
    rng = np.random.default_rng([7, config.eval_set == "test"])
    multiplicity = 1 + np.sort(rng.geometric(0.15, problems))
    skill = np.clip(rng.beta(1.3, 2.4, problems) + 0.02, 0, 1)
    done = step / total
    rng = np.random.default_rng([config.seed if step else 0, step, zlib.crc32(config.method.encode()) if step else 0])
    sharp = np.where(skill > 0.3, skill + 2.2 * gain, skill * spread)
    solve = np.clip((1 - done) * skill + done * sharp, 0, 1)
    correct = rng.binomial(config.eval_samples, solve)
    solutions = np.minimum(correct, np.ceil(multiplicity * (1 - done * (1 - spread)))).astype(int)
    tallies = [[c // s + (i < c % s) for i in range(s)] if c else [] for c, s in zip(correct, solutions, strict=True)]
    return {
        "step": step,
        "temperature": 1.0,
        "num_problems": problems,
        "num_samples": config.eval_samples,
        "num_correct": correct.tolist(),
        "distinct_correct": solutions.tolist(),
        "effective_solutions": [effective_number(tally) if sum(tally) >= 2 else None for tally in tallies],
        "multiplicity": multiplicity.tolist(),
    }


def step_row(config: RunConfig, step: int, total: int) -> dict[str, Any]:
    gain, spread = shape(config.method)
    rng = np.random.default_rng([config.seed, step])
    kept = 1 - (1 - spread) * step / total
    return {
        "step": step,
        "reward": 0.35 + gain * step / total + rng.normal(0, 0.02),
        "entropy": 0.5 * kept + rng.normal(0, 0.02),
        "effective_solutions": 1 + 2.5 * kept + rng.normal(0, 0.1),
        "step_time": 0.7,
        "lr": 1e-4,
    }


class FakeTrain:
    """Stands for :func:`unsharpen.training.run.train`; counts what it computes.

    Args:
        fail: method -> the message of its failure, at step ``fail_at``.
        stop: (method, seed, step): pretend Ctrl-C there, once.
        problems: in an evaluation.
        sleep: seconds per step.
        weights: whether a run notes the weights of its base; older ones did not.
    """

    def __init__(
        self,
        *,
        fail: dict[str, str] | None = None,
        fail_at: int = 1,
        stop: tuple[str, int, int] | None = None,
        problems: int = PROBLEMS,
        sleep: float = 0.0,
        weights: bool = False,
    ) -> None:
        self.weights = weights
        self.fail, self.fail_at, self.stop, self.problems, self.sleep = fail or {}, fail_at, stop, problems, sleep
        self.steps: list[tuple[str, int, int]] = []
        self.bases: list[Path | None] = []

    def __call__(self, config: RunConfig, output: Path, *, resume: bool, report: Any, base_from: Path | None) -> Result:
        folder, total = RunFolder(output), int(config.trl["max_steps"])
        noted = {"weights": base_weights(config)} if self.weights else {}
        folder.claim(config, {"grpo_config": {"output_dir": str(output)}, "versions": {}, **noted}, resume=resume)
        folder.close()  # each test is one process
        if folder.finished:
            return Result(folder)
        self.bases.append(base_from)
        if not folder.evaluated_steps():
            row = read_jsonl(base_from / "evaluation.jsonl")[0] if base_from else None
            append_jsonl(folder.evaluation, row or evaluation(config, 0, total, self.problems))
        done = max((row["step"] for row in read_jsonl(folder.metrics)), default=0)
        for step in range(done + 1, total + 1):
            if config.method in self.fail and step >= self.fail_at:
                raise InputError(self.fail[config.method])
            if self.stop == (config.method, config.seed, step):
                self.stop = None
                return Result(folder, finished=False, interrupted=True)
            time.sleep(self.sleep)
            self.steps.append((config.method, config.seed, step))
            row = step_row(config, step, total)
            append_jsonl(folder.metrics, row)
            report(step, total, row)
        append_jsonl(folder.evaluation, evaluation(config, total, total, self.problems))
        folder.model.mkdir()
        (folder.model / "config.json").write_text("{}")
        return Result(folder)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, num_cells: int, num_done: int) -> None:
        self.lines.append(f"{num_done}/{num_cells}")

    def started(self, cell: Any) -> None:
        self.lines.append(f"started {cell}")

    def step(self, cell: Any, step: int, total: int, metrics: dict[str, float]) -> None:
        pass

    def done(self, cell: Any) -> None:
        self.lines.append(f"done {cell}")

    def failed(self, cell: Any, reason: str) -> None:
        self.lines.append(f"failed {cell}: {reason}")


def make_records(root: Path, methods: Sequence[str], *, seeds: int = 3, steps: int = 40, samples: int = 64) -> Path:
    """A finished comparison."""
    from unsharpen.comparison.spec import read_study
    from unsharpen.comparison.study import How, run_study

    settings = {"eval_samples": samples, "eval_every": 0}
    study = read_study({"methods": dict.fromkeys(methods), "seeds": seeds, "steps": steps, "settings": settings})
    assert run_study(study, root, How(train=FakeTrain(problems=90), check=lambda _: None, listener=Heard()))
    return root


if __name__ == "__main__":  # a worker with this training: python -m tests.comparison.fake, or fake.py seconds-per-step
    from unsharpen.comparison.worker import main

    options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    sys.exit(main(FakeTrain(**options)))
