"""Run the comparison on the embedded task: methods x seeds, resumable, and collect what is worth keeping.

    python runs/countdown/grid.py run  --workers 2      # computes what is missing; Ctrl-C and start again at will
    python runs/countdown/grid.py tune --workers 2      # the coefficient search, on the validation problems

Full run folders go to runs/local/ (not committed); configuration, evaluations and the main training curves go to
runs/countdown/results/ (committed). Each worker is a process with one thread: on two cores two of them together take
about 0.7 of the time that the same runs take one after the other with two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LOCAL = HERE.parent / "local"
KEPT = {
    *("step", "reward", "pass@1", "pass@16", "distinct_correct", "effective_solutions", "uniform_groups", "entropy"),
    *("sampling_logprob", "shaping_ratio", "negative_correct", "grad_norm", "step_time"),
}

STEPS = 400
SEEDS = (0, 1, 2)
CELLS: dict[str, list[str]] = {
    "grpo": ["--method", "grpo"],
    "ds-grpo-robust": ["--method", "ds-grpo-robust"],
    "ds-grpo-sum": ["--method", "ds-grpo-sum"],
    "grpo-low-lr": ["--method", "grpo-low-lr"],
    "ds-grpo": ["--method", "ds-grpo"],
}
COMMON = ["--num-eval", "256", "--eval-samples", "128", "--eval-every", "100"]

TUNE_STEPS = 200
TUNE_SEED = 100
TUNE: dict[str, list[str]] = {
    "grpo": [],
    "grpo-low-lr": ["learning_rate_scale=0.3"],
    "ds-grpo": ["gamma_p=0.05 gamma_n=0.05", "gamma_p=0.5 gamma_n=0", "gamma_p=1.5 gamma_n=0"],
    "ds-grpo-sum": ["gamma_p=0.1 gamma_n=0", "gamma_p=0.3 gamma_n=0", "gamma_p=0.1 gamma_n=0.1"],
    "ds-grpo-robust": ["gamma_p=0.1 gamma_n=0", "gamma_p=0.2 gamma_n=0"],
    "ds-grpo-centered": ["kappa=0.2", "kappa=0.4"],
}


def cells(kind: str) -> dict[str, list[str]]:
    """Name -> options of `unsharpen train`."""
    if kind == "run":
        return {
            f"{name}/seed-{seed}": [*options, "--seed", str(seed), "--steps", str(STEPS), *COMMON]
            for seed in SEEDS
            for name, options in CELLS.items()
        }
    found = {}
    for name, settings in TUNE.items():
        for setting in settings or [""]:
            arguments = [part for pair in setting.split() for part in ("--method-arg", pair)]
            found[f"{name}/{setting.replace(' ', ',') or 'default'}"] = [
                *("--method", name, *arguments, "--seed", str(TUNE_SEED), "--steps", str(TUNE_STEPS)),
                *("--eval-set", "validation", "--num-eval", "256", "--eval-samples", "64", "--eval-every", "0"),
            ]
    return found


def compute(kind: str, name: str, options: list[str]) -> str:
    """Run one cell to its end (or continue it) and collect it."""
    target = HERE / ("results" if kind == "run" else "tuning") / name
    if (target / "evaluation.jsonl").exists():
        return f"{name}: done before"
    folder = LOCAL / kind / name
    resume = ["--resume"] if (folder / "config.json").exists() else []
    command = [sys.executable, "-m", "unsharpen", "train", *options, "--output", str(folder), *resume]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        code = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False).returncode
    if code:
        return f"{name}: exit code {code}, see {folder}.log"
    collect(folder, target)
    return f"{name}: done"


def collect(folder: Path, target: Path) -> None:
    """Copy configuration and evaluations, and the main columns of the training curve."""
    target.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    slim = [{key: _rounded(row[key]) for key in row if key in KEPT} for row in rows]
    (target / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in slim))
    (target / "config.json").write_text((folder / "config.json").read_text())
    (target / "evaluation.jsonl").write_text((folder / "evaluation.jsonl").read_text())


def _rounded(value: float) -> float:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Compute the cells that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["run", "tune"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="names that a cell must start with")
    args = parser.parse_args()
    chosen = {n: o for n, o in cells(args.kind).items() if not args.only or n.startswith(tuple(args.only))}
    with ThreadPoolExecutor(args.workers) as pool:
        for message in pool.map(lambda item: compute(args.kind, *item), chosen.items()):
            print(message, flush=True)


if __name__ == "__main__":
    main()
