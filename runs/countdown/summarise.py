"""Tables from the collected runs: every method against its base model and against plain GRPO.

    python runs/countdown/summarise.py results     # the test problems, all seeds
    python runs/countdown/summarise.py longer      # the same runs, 200 steps later
    python runs/countdown/summarise.py tuning      # the validation problems, one seed

Intervals: 95 % bootstrap over problems and seeds (the base model has one evaluation: over problems); differences are
paired by problem and seed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from unsharpen.metrics import bootstrap_over_seeds, crossover
from unsharpen.reports import Run, load_run

HERE = Path(__file__).parent


def load(folder: Path) -> dict[str, list[Run]]:
    """Name of a setting -> its runs, one per seed."""
    found: dict[str, list[Run]] = defaultdict(list)
    for path in sorted(folder.glob("*/*")):
        if (path / "evaluation.jsonl").exists():
            name = path.parent.name if path.name.startswith("seed-") else f"{path.parent.name} {path.name}"
            found[name].append(load_run(path))
    return found


def columns(runs: list[Run], ks: list[int], which: str) -> dict[str, np.ndarray]:
    """Column -> [seeds, problems], of the ``base`` or the ``final`` evaluation."""
    evaluations = [getattr(run, which) for run in runs]
    table = {f"@{k}": np.stack([e.pass_at(k) for e in evaluations]) for k in ks}
    table["distinct"] = np.stack([e.distinct_correct for e in evaluations])
    table["effective"] = np.stack([e.effective_solutions for e in evaluations])
    return table


def print_table(title: str, rows: dict[str, dict[str, np.ndarray]]) -> None:
    names = list(next(iter(rows.values())))
    print(f"\n### {title}\n\n| method | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1))
    for method, row in rows.items():
        print(f"| {method} | " + " | ".join(str(bootstrap_over_seeds(row[n], nan="omit")) for n in names) + " |")


def seeds(runs: list[Run]) -> list[int]:
    return [run.config["seed"] for run in runs]


def catches_up(run: Run) -> str:
    found = crossover(run.base.num_samples, run.base.num_correct, run.final.num_samples, run.final.num_correct)
    return f"never up to {found.max_k}" if found.k is None else str(found.k)


def print_progress(groups: dict[str, list[Run]]) -> None:
    """Whether the reward has saturated: on the training problems, which come back, and on held-out ones."""
    print("\n### Training reward by sixths of the run, and Pass@1 on the held-out problems by step, means over seeds\n")
    for name, runs in groups.items():
        rewards = [[row["reward"] for row in run.metrics if "reward" in row] for run in runs]
        sixths = [part.mean() for part in np.array_split(np.array(rewards), 6, axis=1)]
        held_out = [
            f"{entries[0].step}: {np.mean([e.pass_at(1).mean() for e in entries]):.3f}"
            for entries in zip(*(run.evaluations for run in runs), strict=True)
        ]
        print(f"- {name}: reward {', '.join(f'{r:.3f}' for r in sixths)}; held-out {', '.join(held_out)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["results", "longer", "tuning"])
    args = parser.parse_args()
    groups = load(HERE / args.kind)
    samples = min(run.final.num_samples for runs in groups.values() for run in runs)
    ks = [k for k in (1, 8, 64, 128) if k <= samples]
    finals = {name: columns(runs, ks, "final") for name, runs in groups.items()}
    reference = next(name for name in groups if name in ("grpo", "grpo plain"))
    first = groups[reference][0]
    print(f"{first.final.num_problems} problems x {samples} samples")
    for name, runs in groups.items():
        config = runs[0].config
        rate = config["grpo_config"]["learning_rate"]
        print(f"- {name}: seeds {seeds(runs)}, {runs[0].final.step} steps at {rate:g}, {config['method_args']}")
    print_table("Final model", {"base": columns(groups[reference], ks, "base"), **finals})
    differences = {}
    for name, table in finals.items():
        if name != reference and seeds(groups[name]) == seeds(groups[reference]):
            differences[name] = {c: v - finals[reference][c] for c, v in table.items() if c != "effective"}
    if differences:
        print_table("Minus GRPO, paired by problem and seed", differences)
    print("\n### Number of tries at which the base model has caught up, by seed\n")
    for name, runs in groups.items():
        print(f"- {name}: {', '.join(catches_up(run) for run in runs)}")
    if args.kind != "tuning":
        print_progress(groups)
    multiplicity = first.final.multiplicity
    edges = np.quantile(multiplicity, [1 / 3, 2 / 3])
    band = np.digitize(multiplicity, edges, right=True)
    for b in range(3):
        inside = multiplicity[band == b]
        rows = {
            name: {c: v[:, band == b] for c, v in table.items() if c in ("@1", "@8", "@64", "distinct")}
            for name, table in {"base": columns(groups[reference], ks, "base"), **finals}.items()
        }
        print_table(f"{inside.min()} to {inside.max()} solutions exist ({inside.size} problems)", rows)


if __name__ == "__main__":
    main()
