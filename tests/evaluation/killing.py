"""Start `unsharpen eval` against a server of our own, kill it at a random moment, resume it, compare."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.evaluation.servers import ModelServer

NUM_SAMPLES = 12
PATIENCE = 300.0
PROBLEMS = [{"nums": [2, 3, a], "target": 5 + a} for a in range(4, 12)]
TOTAL = len(PROBLEMS) * NUM_SAMPLES


def write_problems(path: Path) -> Path:
    path.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS), "utf-8")
    return path


def command(server: ModelServer, data: Path, output: Path, *more: str) -> list[str]:
    options = {"data": data, "output": output, "num-samples": NUM_SAMPLES, "base-url": server.url, "concurrency": 4}
    arguments = [f"--{key}={value}" for key, value in options.items()]
    return [sys.executable, "-m", "unsharpen", "eval", "good-model", "--answer-format=bare", *arguments, *more]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "160"}
    )


def finish(arguments: list[str]) -> str:
    """Run to the end; the output."""
    process = start(arguments)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


@dataclass(frozen=True)
class Outcome:
    """What a run that was killed and resumed came to.

    Attributes:
        kept: samples on disk when it was killed.
        torn: bytes of a torn line.
        lost: samples that the resumed run lacks.
        duplicated: samples that are there more than once.
        forgotten: samples that were on disk when it was killed, and are not there, or are others, afterwards.
        identical: whether the lines are those of an undisturbed run, up to their order.
    """

    kept: int
    torn: int
    lost: int
    duplicated: int
    forgotten: int
    identical: bool


def kill_and_resume(server: ModelServer, data: Path, output: Path, rng: Random, undisturbed: list[str]) -> Outcome:
    """Kill after a random number of requests and a few milliseconds, perhaps twice, then resume to the end."""
    arguments = command(server, data, output)
    before: list[str] = []
    torn = 0
    for _ in range(rng.choice((1, 1, 2))):
        process = start(arguments)
        wanted = len(server.bodies) + rng.randint(0, TOTAL - len(before))
        give_up = time.monotonic() + PATIENCE
        while process.poll() is None and len(server.bodies) < wanted and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before, torn = whole_lines(output)
    finish(arguments)
    after, _ = whole_lines(output)
    counts = Counter((row["problem_id"], row["sample_id"]) for row in map(json.loads, after))
    return Outcome(
        kept=len(before),
        torn=torn,
        lost=TOTAL - len(counts),
        duplicated=len(after) - len(counts),
        forgotten=len(set(before) - set(after)),
        identical=sorted(after) == sorted(undisturbed),
    )


def whole_lines(output: Path) -> tuple[list[str], int]:
    """(whole lines, bytes after the last one)."""
    path = output / "samples.jsonl"
    data = path.read_bytes() if path.exists() else b""
    whole, _, rest = data.rpartition(b"\n")
    return (whole.decode().split("\n") if whole else []), len(rest)
