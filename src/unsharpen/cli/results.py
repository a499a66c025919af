"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from unsharpen.reports import load_run, summary_table, to_rich


def print_summary(console: Console, runs: Sequence[Path]) -> None:
    """Base and trained models side by side."""
    console.print(to_rich(summary_table([load_run(path) for path in runs])))
