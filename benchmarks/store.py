"""The sample store at a million samples: how fast it appends, opens and loads, and how much memory that takes.

Run with the package installed: ``python benchmarks/store.py --samples 1000000``. Each figure is taken in a process of
its own, so that peak memory (resident, of the whole process) belongs to it alone.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

from unsharpen.evaluation.store import SampleStore, load_evaluation

SAMPLES_PER_PROBLEM = 100
WORDS = (
    *("so", "the", "sum", "of", "3", "and", "5", "is", "8", ",", "times", "3", "gives", "24", ".", "we", "have"),
    *("\\frac{1}{2}", "=", "0.5", "x^2", "+", "1", "\u2248", "7", "\u21d2", "y"),
)


class Clock:
    """Adds up the time spent in its blocks, by the wall and on the processor."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> Clock:
        self.wall -= perf_counter()
        self.cpu -= process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += perf_counter()
        self.cpu += process_time()

    def report(self, what: str, num: int) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rate = num / self.cpu
        print(f"{what}: {self.wall:.1f} s; CPU {self.cpu:.1f} s, {rate:,.0f} samples per second; peak {peak:,.0f} MB")


def rows(problem: int, characters: int) -> list[dict[str, Any]]:
    """The samples of one problem; texts of about so many characters."""
    rng = Random(problem)
    made = []
    for i in range(SAMPLES_PER_PROBLEM):
        text = " ".join(rng.choices(WORDS, k=characters // 4))
        answer = rng.randrange(12)
        row = {"task": "countdown", "problem_id": f"3,5,8,{problem}=24", "sample_id": i, "model": "org/model-1.5b"}
        row |= {"completion": text, "finish_reason": "stop", "num_tokens": characters // 4, "logprob": -rng.random()}
        row |= {"correct": answer < 4, "reason": "correct" if answer < 4 else "wrong_value"}
        made.append({**row, "canonical": f"3*(3+{answer})", "seed": i})
    return made


def append(folder: Path, num: int, characters: int) -> None:
    clock = Clock()
    with SampleStore(folder) as store:
        for problem in range(num // SAMPLES_PER_PROBLEM):
            made = rows(problem, characters)
            with clock:
                store.append(made)
        with clock:
            store.sync()
    size = (folder / "samples.jsonl").stat().st_size
    clock.report(f"append, {SAMPLES_PER_PROBLEM} at a time, {size / 1e6:,.0f} MB", num)


def reopen(folder: Path, num: int) -> None:
    with Clock() as clock, SampleStore(folder) as store:
        assert len(store) == num
    clock.report("open for resuming", num)


def load(folder: Path, num: int, completions: bool) -> None:
    with Clock() as clock:
        table = load_evaluation(folder, completions=completions)
        assert len(table.problem) == num
    clock.report(f"load, {'with' if completions else 'without'} texts", num)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=400, help="of a completion")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to write; needs the room [default: a temporary one]")
    arguments = parser.parse_args()
    num = arguments.samples - arguments.samples % SAMPLES_PER_PROBLEM
    steps = {
        "append": lambda: append(arguments.folder, num, arguments.characters),
        "reopen": lambda: reopen(arguments.folder, num),
        "load": lambda: load(arguments.folder, num, True),
        "load-numbers": lambda: load(arguments.folder, num, False),
    }
    if arguments.step:
        steps[arguments.step]()
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        same = [f"--samples={num}", f"--characters={arguments.characters}", f"--folder={folder}"]
        for step in steps:
            subprocess.run([sys.executable, __file__, *same, f"--step={step}"], check=True)


if __name__ == "__main__":
    main()
