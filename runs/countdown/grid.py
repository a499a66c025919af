"""Run the comparison on the embedded task: methods x seeds, resumable, and collect what is worth keeping.

    python runs/countdown/grid.py tune     # the coefficient search, on the validation problems
    python runs/countdown/grid.py run      # computes what is missing; Ctrl-C and start again at will

Full run folders go to runs/local/ (not committed); configuration, evaluations and the main training curves go to
runs/countdown/tuning/ and runs/countdown/results/ (committed). One run after the other: on two cores that is faster
than two at once.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from unsharpen.cli.options import quiet_libraries
from unsharpen.training.config import RunConfig
from unsharpen.training.run import train

HERE = Path(__file__).parent
LOCAL = HERE.parent / "local"
KEPT = {
    *("step", "reward", "pass@1", "pass@16", "distinct_correct", "effective_solutions", "uniform_groups", "entropy"),
    *("sampling_logprob", "shaping_ratio", "negative_correct", "grad_norm", "step_time"),
}

STEPS = 200
SEEDS = (0, 1, 2)
CELLS: dict[str, dict[str, Any]] = {  # coefficients as the search chose them, see README.md
    "grpo": {"method": "grpo"},
    "ds-grpo-robust": {"method": "ds-grpo-robust", "method_args": {"gamma_p": 0.2, "gamma_n": 0.0}},
    "ds-grpo-sum": {"method": "ds-grpo-sum", "method_args": {"gamma_p": 0.3, "gamma_n": 0.0}},
    "grpo-low-lr": {"method": "grpo-low-lr", "method_args": {"learning_rate_scale": 0.3}},
    "ds-grpo": {"method": "ds-grpo", "method_args": {"gamma_p": 1.0, "gamma_n": 0.0}},
}
LOW_RATE = {"ds-grpo-robust-low-lr": {**CELLS["ds-grpo-robust"], "trl": {"learning_rate": 9e-5}}}
"""What smoothing adds at the rate of `grpo-low-lr`: asked after the first seed, so not part of the plan."""

TUNE_STEPS = 100
TUNE_SEED = 100
TUNE: dict[str, list[dict[str, Any]]] = {
    "grpo": [{}],
    "ds-grpo-robust": [{"gamma_p": 0.1}, {"gamma_p": 0.2}, {"gamma_p": 0.4}],
    "ds-grpo-sum": [{"gamma_p": 0.1, "gamma_n": 0.0}, {"gamma_p": 0.3, "gamma_n": 0.0}],
    "ds-grpo": [{"gamma_p": 0.05, "gamma_n": 0.05}, {"gamma_p": 1.0, "gamma_n": 0.0}],
    "ds-grpo-centered": [{"kappa": 0.2}, {"kappa": 0.4}],
    "ds-grpo-reward": [{"gamma_p": 0.01, "gamma_n": 0.01}, {"gamma_p": 0.1, "gamma_n": 0.0, "length": "sum"}],
    "ds-grpo-token": [{"gamma_p": 0.01, "gamma_n": 0.01}],
}


def cells(kind: str) -> dict[str, RunConfig]:
    """Name -> configuration."""
    if kind == "run":
        everything = {**CELLS, **LOW_RATE}
        return {
            f"{name}/seed-{seed}": RunConfig(
                **{**options, "trl": {"max_steps": STEPS, **options.get("trl", {})}},
                seed=seed,
                num_eval=256,
                eval_samples=128,
                eval_every=100,
            )
            for seed in SEEDS
            for name, options in everything.items()
        }
    return {
        f"{method}/{'_'.join(f'{k}-{v}' for k, v in setting.items()) or 'default'}": RunConfig(
            method=method,
            method_args=setting,
            seed=TUNE_SEED,
            trl={"max_steps": TUNE_STEPS},
            eval_set="validation",
            num_eval=192,
            eval_samples=64,
            eval_every=0,
        )
        for method, settings in TUNE.items()
        for setting in settings
    }


def compute(kind: str, name: str, config: RunConfig) -> None:
    """Run one cell to its end (or continue it) and collect it."""
    target = HERE / ("results" if kind == "run" else "tuning") / name
    if (target / "evaluation.jsonl").exists():
        return
    base = next(iter(sorted(target.parents[1].glob("*/*/evaluation.jsonl"))), None)
    folder = LOCAL / kind / name
    start = time.perf_counter()
    result = train(config, folder, resume=folder.exists(), base_from=base.parent if base else None)
    if not result.finished:
        raise SystemExit(f"{name}: stopped; the same command continues")
    collect(kind, folder, target)
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def collect(kind: str, folder: Path, target: Path) -> None:
    """Copy configuration and evaluations, and the main columns of the training curve."""
    target.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    slim = [{key: _rounded(row[key]) for key in row if key in KEPT} for row in rows]
    (target / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in slim))
    config = json.loads((folder / "config.json").read_text())
    config["command"] = f"python runs/countdown/grid.py {kind}"
    config["grpo_config"] = {k: v for k, v in config["grpo_config"].items() if not k.endswith("_dir")}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (target / "evaluation.jsonl").write_text((folder / "evaluation.jsonl").read_text())


def _rounded(value: float) -> float:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["run", "tune"])
    parser.add_argument("--only", nargs="*", help="names that a cell must start with")
    args = parser.parse_args()
    quiet_libraries()
    for name, config in cells(args.kind).items():
        if not args.only or name.startswith(tuple(args.only)):
            compute(args.kind, name, config)


if __name__ == "__main__":
    main()
