"""Run the comparison on the embedded task, from the choice of rate and coefficients to the test runs; resumable.

    python runs/countdown/grid.py          # computes what is missing; Ctrl-C and start again at will

1. rate: GRPO on the validation problems at each of RATES -> `choose_rate`
2. settings: each method's SETTINGS at that rate, on the validation problems -> `choose_setting`, choices.json
3. test: GRPO, its low-rate control and the chosen settings, three seeds, on the test problems
4. longer: the same runs, continued to half as many steps again

Full run folders go to runs/local/ (not committed); configuration, evaluations and the main training curves go to
runs/countdown/tuning/, results/ and longer/ (committed).
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.cli.options import quiet_libraries
from unsharpen.reports import Run, load_run
from unsharpen.training.config import RunConfig
from unsharpen.training.run import train

HERE = Path(__file__).parent
LOCAL = HERE.parent / "local"
KEPT = {
    *("step", "reward", "pass@1", "pass@16", "distinct_correct", "effective_solutions", "uniform_groups", "entropy"),
    *("sampling_logprob", "shaping_ratio", "negative_correct", "grad_norm", "step_time"),
}

STEPS = 400
LOW_RATE_STEPS, LOW_RATE_SCALE = 800, 0.5
LONGER = 1.5
SEEDS = (0, 1, 2)
TUNE_SEED, RATE_STEPS, TUNE_STEPS = 100, 240, 120
RATES = (3e-4, 5e-4)
TOLERANCE = 0.03

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ds-grpo": [{"gamma_p": 0.05, "gamma_n": 0.05}, {"gamma_p": 1.0, "gamma_n": 0.0}],
    "ds-grpo-sum": [{"gamma_p": 0.1, "gamma_n": 0.0}, {"gamma_p": 0.3, "gamma_n": 0.0}],
    "ds-grpo-token": [{"gamma_p": 1.0, "gamma_n": 0.0}],
    "ds-grpo-reward": [
        {"gamma_p": 0.05, "gamma_n": 0.0, "length": "sum"},
        {"gamma_p": 0.1, "gamma_n": 0.0, "length": "sum"},
    ],
    "ds-grpo-centered": [{"kappa": 0.2}],
    "ds-grpo-robust": [{"gamma_p": 0.1}, {"gamma_p": 0.2}],
}
"""What the search tries: the correct side alone, and the published coefficients of the default form."""


def choose_rate(runs: dict[float, Run]) -> float:
    """The rate of all full-rate runs: best Pass@1 of GRPO among the rates at which its reward has saturated.

    Saturated: the mean training reward of the last quarter is less than .01 above that of the quarter before. If none
    has, the highest rate. Fixed before any run on this base model.
    """
    saturated = {rate: run for rate, run in runs.items() if gain_of_last_quarter(run) < 0.01}
    return max(saturated, key=lambda rate: runs[rate].final.pass_at(1).mean()) if saturated else max(runs)


def choose_setting(runs: dict[str, Run], grpo: Run) -> str:
    """The setting of a method: most area under Pass@k over log2 k (1 to 64) at no cost in Pass@1.

    No cost: within TOLERANCE of GRPO's Pass@1 on the same problems (the search stops half-way, where smoothing is known
    to be some points behind); if no setting is, the one with the best Pass@1.
    The same rule between the chosen settings of all methods decides which one the demo shows. Fixed before any run on
    this base model.
    """
    least = grpo.final.pass_at(1).mean() - TOLERANCE
    free = [name for name, run in runs.items() if run.final.pass_at(1).mean() >= least]
    if not free:
        return max(runs, key=lambda name: runs[name].final.pass_at(1).mean())
    return max(free, key=lambda name: area(runs[name]))


def area(run: Run) -> float:
    """Mean Pass@k over k = 1, 2, 4, ..., 64."""
    return float(np.mean([run.final.pass_at(2**i).mean() for i in range(7)]))


def gain_of_last_quarter(run: Run) -> float:
    """By how much the training reward rose from the third quarter of the run to the last."""
    rewards = np.array([row["reward"] for row in run.metrics if "reward" in row])
    third, last = np.array_split(rewards, 4)[2:]
    return float(last.mean() - third.mean())


def validation(name: str, steps: int, rate: float, **options: Any) -> tuple[str, RunConfig]:
    """A cell of the search: one seed, other problems than the test's."""
    trl = {"max_steps": steps, "learning_rate": rate}
    usual = {"seed": TUNE_SEED, "eval_set": "validation", "num_eval": 192, "eval_samples": 64, "eval_every": 0}
    return f"tuning/{name}", RunConfig(**usual, trl=trl, **options)


def test(name: str, seed: int, steps: int, rate: float, **options: Any) -> tuple[str, RunConfig]:
    """A cell of the comparison."""
    trl = {"max_steps": steps, "learning_rate": rate}
    usual = {"seed": seed, "num_eval": 256, "eval_samples": 128, "eval_every": 200}
    return f"results/{name}/seed-{seed}", RunConfig(**usual, trl=trl, **options)


def compute(name: str, config: RunConfig) -> Run:
    """Run one cell to its end (or continue it), collect it, and read it."""
    target, folder = HERE / name, LOCAL / name
    if not (target / "evaluation.jsonl").exists():
        base = next(iter(sorted((HERE / name.split("/")[0]).glob("*/*/evaluation.jsonl"))), None)
        start = time.perf_counter()
        result = train(config, folder, resume=folder.exists(), base_from=base.parent if base else None)
        if not result.finished:
            raise SystemExit(f"{name}: stopped; the same command continues")
        collect(folder, target)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return load_run(target)


def continued(name: str, config: RunConfig) -> Run:
    """Go on with a finished test run, from its last checkpoint, to LONGER times its steps."""
    config = replace(config, trl={**config.trl, "max_steps": round(LONGER * config.trl["max_steps"])})
    longer = name.replace("results/", "longer/")
    folder = LOCAL / longer
    if not (folder / "config.json").exists() and not (HERE / longer / "evaluation.jsonl").exists():
        shutil.copytree(LOCAL / name, folder, ignore=shutil.ignore_patterns("model", "config.json"), dirs_exist_ok=True)
        record = json.loads((LOCAL / name / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**record, "trl": config.trl}, indent=2) + "\n")
    return compute(longer, config)


def collect(folder: Path, target: Path) -> None:
    """Copy configuration and evaluations, and the main columns of the training curve."""
    target.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    slim = [{key: _rounded(row[key]) for key in row if key in KEPT} for row in rows]
    (target / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in slim))
    config = json.loads((folder / "config.json").read_text())
    config["command"] = "python runs/countdown/grid.py"
    config["grpo_config"] = {k: v for k, v in config["grpo_config"].items() if not k.endswith("_dir")}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (target / "evaluation.jsonl").write_text((folder / "evaluation.jsonl").read_text())


def _rounded(value: float) -> float:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def search() -> dict[str, Any]:
    """Stages 1 and 2; what they chose."""
    grpo = {rate: compute(*validation(f"grpo/rate-{rate}", RATE_STEPS, rate, method="grpo")) for rate in RATES}
    rate = choose_rate(grpo)
    plain = compute(*validation("grpo/plain", TUNE_STEPS, rate, method="grpo"))
    chosen, best = {}, {}
    for method, settings in SETTINGS.items():
        runs, by_name = {}, {}
        for setting in settings:
            name = "_".join(f"{key}-{value}" for key, value in setting.items())
            cell = validation(f"{method}/{name}", TUNE_STEPS, rate, method=method, method_args=setting)
            runs[name], by_name[name] = compute(*cell), setting
        name = choose_setting(runs, plain)
        chosen[method], best[method] = by_name[name], runs[name]
    choices = {"learning_rate": rate, "settings": chosen, "demo": choose_setting(best, plain)}
    (HERE / "choices.json").write_text(json.dumps(choices, indent=2) + "\n")
    return choices


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    quiet_libraries()
    choices = search()
    rate, settings = choices["learning_rate"], choices["settings"]
    cells: dict[str, tuple[int, dict[str, Any]]] = {"grpo": (STEPS, {})}
    cells |= {method: (STEPS, settings[method]) for method in ("ds-grpo", "ds-grpo-sum", "ds-grpo-robust")}
    cells["grpo-low-lr"] = LOW_RATE_STEPS, {"learning_rate_scale": LOW_RATE_SCALE}
    demo = {choices["demo"]: (STEPS, settings[choices["demo"]])}
    for group in (cells, demo):
        for seed in SEEDS:
            for method, (steps, setting) in group.items():
                cell = test(method, seed, steps, rate, method=method, method_args=setting)
                compute(*cell)
                continued(*cell)


if __name__ == "__main__":
    main()
