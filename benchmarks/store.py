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
from time import perf_counter
from typing import Any

from unsharpen.evaluation.store import SampleStore, load_evaluation

SAMPLES_PER_PROBLEM = 100
WORDS = [
    "so",
    "the",
    "sum",
    "of",
    "3",
    "and",
    "5",
    "is",
    "8",
    ",",
    "times",
    "3",
    "gives",
    "24",
    ".",
    "\\frac{1}{2}",
    "=",
    "0.5",
    ",",
    "we",
    "have",
    "x^2",
    "+",
    "1",
    "≈",
    "7",
    "⇒",
    "y",
]


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
    with SampleStore(folder) as store:
        writing = 0.0
        for problem in range(num // SAMPLES_PER_PROBLEM):
            made = rows(problem, characters)
            start = perf_counter()
            store.append(made)
            writing += perf_counter() - start
        start = perf_counter()
        store.sync()
    writing += perf_counter() - start
    size = (folder / "samples.jsonl").stat().st_size
    report("append, 100 at a time", num, writing, f", {size / 1e6:,.0f} MB")


def reopen(folder: Path, num: int) -> None:
    start = perf_counter()
    with SampleStore(folder) as store:
        assert len(store) == num
        report("open for resuming", num, perf_counter() - start)


def load(folder: Path, num: int, completions: bool) -> None:
    start = perf_counter()
    table = load_evaluation(folder, completions=completions)
    assert len(table.problem) == num
    report(f"load, {'with' if completions else 'without'} texts", num, perf_counter() - start)


def report(what: str, num: int, seconds: float, more: str = "") -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s, {num / seconds:,.0f} samples per second, peak {peak:,.0f} MB{more}", flush=True)


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
