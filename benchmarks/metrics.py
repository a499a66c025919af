"""Time and memory of all metrics for 10,000 problems x 256 samples, from a table, and of reading them from a file.

Run with the package installed: ``python benchmarks/metrics.py``. Each part runs in a process of its own, so that its
peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from unsharpen.metrics import SampleTable, compare, summarise

ANSWERS = 12


def make_table(problems: int, samples: int, *, seed: int = 0, sharpness: float = 1.0) -> SampleTable:
    """Accuracies over the whole range, twelve answers a problem of which the first three are right."""
    rng = np.random.default_rng(seed)
    total = problems * samples
    problem = np.repeat(np.arange(problems), samples)
    correct = rng.random(total) < np.repeat(rng.beta(0.4 * sharpness, 1.2, problems), samples)
    answers = np.where(correct, rng.integers(0, 3, total), rng.integers(3, ANSWERS, total))
    texts = [f"so {i} + {j} = {i + j} and the answer is {j}" for i in range(50) for j in range(ANSWERS)]
    return SampleTable(
        label=f"model {seed}",
        problem_ids=tuple(map(str, range(problems))),
        problem=problem,
        correct=correct,
        answers=answers,
        answer_names=tuple(map(str, range(ANSWERS))),
        completions=tuple(texts[i] for i in (rng.integers(0, 50, total) * ANSWERS + answers).tolist()),
        logprobs=-rng.random(total) * 40,
        lengths=rng.integers(8, 64, total),
        multiplicity=rng.integers(1, 60, problems),
    )


def write_samples(table: SampleTable, path: Path) -> None:
    """As `unsharpen eval` writes them."""
    assert table.completions is not None
    assert table.logprobs is not None
    assert table.lengths is not None
    with path.open("w", encoding="utf-8") as file:
        for i, p in enumerate(table.problem.tolist()):
            row = {
                "task": "benchmark",
                "problem_id": table.problem_ids[p],
                "sample_id": i % int(table.num_samples[p]),
                "model": table.label,
                "completion": table.completions[i],
                "finish_reason": "stop",
                "num_tokens": int(table.lengths[i]),
                "logprob": float(table.logprobs[i]),
                "correct": bool(table.correct[i]),
                "reason": "correct" if table.correct[i] else "wrong_value",
                "canonical": table.answer_names[table.answers[i]],
                "seed": 0,
            }
            file.write(json.dumps(row) + "\n")


def measured(work: Callable[[], Any]) -> dict[str, float]:
    """Seconds, CPU seconds, and the largest memory of this process before and after, in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = perf_counter(), process_time()
    work()
    took = {"seconds": perf_counter() - start, "cpu": process_time() - cpu}
    return took | {"before": before, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def part(name: str, problems: int, samples: int, path: Path) -> dict[str, float]:
    if name == "read samples.jsonl":
        from unsharpen.evaluation.imports import load_samples

        return measured(lambda: load_samples(path))
    table = make_table(problems, samples)
    if name == "summarise":
        return measured(lambda: summarise(table))
    if name == "compare":
        base = make_table(problems, samples, seed=1, sharpness=1.4)
        return measured(lambda: compare(table, base))
    write_samples(table, path)
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the problems: to see that it runs")
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    problems = options.problems // 100 if options.quick else options.problems
    if options.part:
        print(json.dumps(part(options.part, problems, options.samples, options.file)))
        return
    print(f"{problems:,} problems x {options.samples} samples, {platform.machine()}, numpy {np.__version__}\n")
    print("| part | seconds | CPU seconds | memory before, MB | peak memory, MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "samples.jsonl")
        for name in ("write", "summarise", "compare", "read samples.jsonl"):
            command = [sys.executable, __file__, "--part", name, "--file", str(file), "--problems", str(problems)]
            command += ["--samples", str(options.samples)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            if found:
                numbers = (found["seconds"], found["cpu"], found["before"], found["peak"])
                print(
                    f"| {name} | {numbers[0]:.1f} | {numbers[1]:.1f} | {numbers[2]:,.0f} | {numbers[3]:,.0f} |",
                    flush=True,
                )
        print(f"\nfile: {file.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
