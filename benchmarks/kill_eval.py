"""Kill `unsharpen eval` at random moments, resume it, and count what is lost, doubled or different.

Run in the checkout, with the package installed: ``python benchmarks/kill_eval.py --runs 100``. Each run evaluates 8
problems x 12 samples from a server of our own on the loopback address, is killed with SIGKILL once or twice after a
random number of requests and a random few milliseconds, and is then resumed to its end. Ends with exit code 1 if a
sample was lost or doubled, or if a result is not the one of an undisturbed run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' own server

from tests.evaluation.killing import TOTAL, Outcome, command, finish, kill_and_resume, whole_lines, write_problems
from tests.evaluation.servers import serving


def run(num_runs: int, seed: int, folder: Path) -> list[Outcome]:
    rng = Random(seed)
    data = write_problems(folder / "problems.jsonl")
    with serving(delay=0.004) as server:
        finish(command(server, data, folder / "undisturbed"))
        undisturbed, _ = whole_lines(folder / "undisturbed")
        outcomes = []
        for i in range(num_runs):
            outcomes.append(kill_and_resume(server, data, folder / str(i), rng, undisturbed))
            print(f"run {i + 1}: {outcomes[-1]}", flush=True)
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run(arguments.runs, arguments.seed, Path(folder))
    killed = sum(0 < outcome.kept < TOTAL for outcome in outcomes)
    print(f"runs: {len(outcomes)}, of which killed with some of {TOTAL} samples on disk: {killed}")
    print(f"torn last lines repaired: {sum(outcome.torn > 0 for outcome in outcomes)}")
    totals = {
        name: sum(getattr(o, name) for o in outcomes) for name in ("lost", "duplicated", "forgotten", "identical")
    }
    print(*(f"{name}: {count}" for name, count in totals.items()), sep="\n")
    if totals != {"lost": 0, "duplicated": 0, "forgotten": 0, "identical": len(outcomes)}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
