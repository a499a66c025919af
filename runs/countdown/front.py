"""Two levers that need no training, on models that were kept: a share of the base's weights, and the temperature.

    unsharpen compare --config runs/countdown/compare.yaml --output runs/countdown/compare --jobs 2 --keep-models
    python runs/countdown/front.py evaluate base --temperatures 1 0.8 0.6 0.5 0.4 0.3
    python runs/countdown/front.py evaluate runs/countdown/compare/models/results/ds-grpo-f --shares 0 0.3
    python runs/countdown/front.py report

`evaluate` takes models, or the folder of an arm with one model per seed. It appends to runs/countdown/front/ARM.jsonl
a line per seed, share and temperature: 128 samples of each test problem. It continues where it was stopped; a line
takes half a minute of one core. `report` writes front.md and front.png.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.metrics import bootstrap_mean, bootstrap_over_seeds, pass_at_k

HERE = Path(__file__).parent
FOLDER = HERE / "front"
KS = (1, 8, 64, 128)
BASE = "base"


def evaluate(models: list[Path], shares: list[float], temperatures: list[float]) -> None:
    """Append what is missing to the arms' files."""
    import torch
    from transformers import AutoModelForCausalLM

    from unsharpen.evaluation.runner import judge
    from unsharpen.evaluation.samplers.transformers import SamplingSettings, sample
    from unsharpen.training.build import load_tokenizer, model_path
    from unsharpen.training.config import RunConfig
    from unsharpen.training.problems import load_problems

    config = RunConfig(num_eval=256)
    tokenizer, problems = load_tokenizer(config), load_problems(config, chat=False)
    multiplicity = problems.num_solutions(problems.evaluation)
    prompts = [problems.prompt(p) for p in problems.evaluation]
    base = AutoModelForCausalLM.from_pretrained(model_path(config)).state_dict()
    for folder in models:
        arm, seed = (BASE, 0) if folder.name == BASE else (folder.parent.name, int(folder.name.rsplit("-", 1)[1]))
        late = base
        if arm != BASE:
            saved = folder / "model" if (folder / "model").is_dir() else folder
            late = AutoModelForCausalLM.from_pretrained(saved).state_dict()
        done = {(row["seed"], row["base_share"], row["temperature"]) for row in read(arm)}
        for share, temperature in itertools.product([0.0] if arm == BASE else shares, temperatures):
            if (seed, share, temperature) in done:
                continue
            model = AutoModelForCausalLM.from_pretrained(model_path(config)).eval()
            model.load_state_dict({name: share * base[name] + (1 - share) * late[name] for name in base})
            settings = SamplingSettings(temperature=temperature, max_new_tokens=24, batch_size=1024)
            with torch.no_grad():
                texts = sample(model, tokenizer, prompts, num_samples=128, settings=settings, seed=104_729 * seed + 1)
            counts = judge(problems.task, problems.evaluation, texts, multiplicity=multiplicity, samples_path=None)
            row = {"seed": seed, "base_share": share, "temperature": temperature, **counts}
            FOLDER.mkdir(exist_ok=True)
            with (FOLDER / f"{arm}.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(arm, seed, share, temperature, [round(float(pass_at(row, k).mean()), 3) for k in KS], flush=True)


def read(arm: str) -> list[dict[str, Any]]:
    """What has been evaluated of an arm."""
    path = FOLDER / f"{arm}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def pass_at(row: dict[str, Any], k: int) -> Any:
    """Pass@k of each problem."""
    return np.asarray(pass_at_k(row["num_samples"], row["num_correct"], k))


def levels(rows: list[dict[str, Any]]) -> list[Any]:
    """Mean Pass@k with its interval, over problems and, where there are several, seeds."""
    found = [np.stack([pass_at(row, k) for row in rows]) for k in KS]
    return [bootstrap_mean(v[0]) if len(rows) == 1 else bootstrap_over_seeds(v) for v in found]


def report() -> None:
    """A table of everything, and Pass@1 against Pass@64: one line per arm and share, its points the temperatures."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    lines = ["| arm | share of the base | temperature | seeds | " + " | ".join(f"@{k}" for k in KS) + " |"]
    lines.append("|" + "---|" * 8)
    figure, axes = plt.subplots(figsize=(8.5, 5.5))
    for path in sorted(FOLDER.glob("*.jsonl"), key=lambda path: (path.stem != BASE, path.stem)):
        groups: dict[float, dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in read(path.stem):
            groups[row["base_share"]][row["temperature"]].append(row)
        for share, by_temperature in sorted(groups.items()):
            points = []
            for temperature, rows in sorted(by_temperature.items(), reverse=True):
                found = levels(rows)
                cells = " | ".join(map(str, found))
                lines.append(f"| {path.stem} | {share:g} | {temperature:g} | {len(rows)} | {cells} |")
                points.append((found[0].value, found[2].value))
            label = path.stem + (f", {share:g} of the base" if share else "")
            look = {"color": "black", "ls": "--"} if path.stem == BASE else {}
            axes.plot(*zip(*points, strict=True), marker="o", ms=4, label=label, **look)
    axes.set(xlabel="Pass@1", ylabel="Pass@64")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(HERE / "front.png", dpi=130, bbox_inches="tight")
    (HERE / "front.md").write_text("\n".join(lines) + "\n", "utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("evaluate")
    one.add_argument("models", type=Path, nargs="+")
    one.add_argument("--shares", type=float, nargs="+", default=[0.0])
    one.add_argument("--temperatures", type=float, nargs="+", default=[1.0])
    commands.add_parser("report")
    args = parser.parse_args()
    if args.command == "report":
        report()
        return
    models = [path for given in args.models for path in (sorted(given.glob("seed-*")) or [given])]
    evaluate(models, args.shares, args.temperatures)


if __name__ == "__main__":
    main()
