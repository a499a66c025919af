"""``unsharpen demo``: GRPO beside differential smoothing, from nothing to a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from unsharpen.cli.options import quiet_libraries, run_config

METHODS = ("grpo", "ds-grpo-centered")


def demo(
    output: Annotated[Path, typer.Option(help="Folder for both runs and the report.")] = Path("demo"),
    steps: Annotated[int, typer.Option(help="Optimiser steps of each run.")] = 200,
    num_eval: Annotated[int, typer.Option(help="Problems in an evaluation.")] = 128,
    seed: Annotated[int, typer.Option(help="The same for both runs.")] = 0,
) -> None:
    """Train the shipped model on CountDown twice, with GRPO and with differential smoothing, and compare.

    Same seed, same data, about six minutes on two cores. Ends with a table and the path of the report. A second call
    continues where the first one stopped.
    """
    configs = [run_config([], {"method": m, "seed": seed, "num_eval": num_eval}, steps=steps) for m in METHODS]
    quiet_libraries()
    from unsharpen.cli.progress import TrainingProgress
    from unsharpen.cli.results import print_summary
    from unsharpen.training.run import report_on, train

    console = Console()
    folders = [output / config.method for config in configs]
    for config, folder in zip(configs, folders, strict=True):
        with TrainingProgress(config.method, console) as progress:
            base_from = folders[0] if folder != folders[0] else None
            result = train(config, folder, resume=folder.exists(), report=progress.report, base_from=base_from)
        if not result.finished:
            console.print("stopped; the same command continues.")
            raise typer.Exit(130)
    print_summary(console, folders)
    report = output / "report.html"
    report_on(folders, report, title="GRPO beside differential smoothing")
    console.print(f"report: {report.resolve()}", highlight=False, soft_wrap=True)
