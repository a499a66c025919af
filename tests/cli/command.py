"""Call the command as a shell would, in this process; and settings that make a run small."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from unsharpen.cli import main

SMALL: tuple[str, ...] = (
    *("--set", "per_device_train_batch_size=8"),
    *("--set", "gradient_accumulation_steps=2"),
    *("--set", "num_generations=4"),
    *("--set", "max_completion_length=14"),
    *("--num-eval", "8"),
    *("--eval-samples", "4"),
    *("--eval-every", "0"),
    *("--steps", "2"),
)
"""4 prompts x 4 completions a step."""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def unsharpen(*arguments: object) -> Outcome:
    """The command in this process; an exception that a user would see as a traceback is raised."""
    argv = ["unsharpen", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code: Any = 0
        except SystemExit as stop:
            code = stop.code
    return Outcome(code or 0, out.getvalue(), err.getvalue())


def train(output: Path, *arguments: object) -> Outcome:
    """A small training; an unexpected error shows its message."""
    done = unsharpen("train", "--output", output, *SMALL, *arguments)
    assert done.code == 0, done.err
    return done


def in_a_process(command: Sequence[object], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
