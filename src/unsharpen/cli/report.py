"""``unsharpen report``: one page about several runs or evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unsharpen.errors import DataError, InputError


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of `unsharpen eval` (the first one is the reference), or of `unsharpen train`.",
            metavar="RUN...",
        ),
    ],
    output: Annotated[Path, typer.Option(help="The page to write; figures go beside it.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A model's name on the page, in the order of the folders; repeatable.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one page about several evaluations, or about several training runs.

    Evaluations: Pass@k curves, problems and samples of each model against the first one. Training runs: each against
    its own base model. The page is one file that loads nothing; figures (PNG, SVG) and, for evaluations, a LaTeX table
    lie beside it.
    """
    evaluations = [(run / "samples.jsonl").is_file() for run in runs]
    trainings = [(run / "evaluation.jsonl").is_file() for run in runs]
    for run, one, other in zip(runs, evaluations, trainings, strict=True):
        if not (one or other):
            raise DataError(_unknown(run), hint="pass the --output folders of `unsharpen eval` or of `unsharpen train`")
    if all(evaluations):
        page = _evaluations(runs, output, title, label)
    elif all(trainings):
        if label:
            raise InputError("--label is for evaluations; the runs are named by their methods")
        page = _trainings(runs, output, title)
    else:
        first = runs[evaluations.index(not evaluations[0])]
        raise InputError(
            f"a report is about evaluations or about training runs; {runs[0]} and {first} are one of each",
            hint="write two reports",
        )
    typer.echo(f"page: {page.resolve()}")
    if open_:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo("warning: no browser found; open the file yourself", err=True)


def _evaluations(runs: list[Path], output: Path, title: str | None, label: list[str] | None) -> Path:
    from dataclasses import replace

    from unsharpen.evaluation.imports import load_samples
    from unsharpen.reports.evaluation import write_evaluation_report

    if label and len(label) != len(runs):
        raise InputError(f"--label must come once for each folder; found {len(label)} for {len(runs)}")
    tables = [load_samples(run) for run in runs]
    if label:
        tables = [replace(table, label=name) for table, name in zip(tables, label, strict=True)]
    tasks = {str(table.settings["task"]) for table in tables if table.settings.get("task")}
    if len(tasks) > 1:
        raise InputError(
            f"models are compared on one task; found {', '.join(sorted(tasks))}", hint="write a report for each task"
        )
    return write_evaluation_report(tables, output, **({"title": title} if title else {}))


def _trainings(runs: list[Path], output: Path, title: str | None) -> Path:
    from unsharpen.reports import dynamics_figure, load_run, pass_at_k_figure, save, write_report

    loaded = [load_run(run) for run in runs]
    page = write_report(loaded, output, **({"title": title} if title else {}))
    save(pass_at_k_figure(loaded), output.with_name("pass-at-k.png"))
    save(dynamics_figure(loaded), output.with_name("dynamics.png"))
    return page


def _unknown(run: Path) -> str:
    needed = "a report needs folders with samples.jsonl or evaluation.jsonl"
    if not run.exists():
        return f"{needed}; {run} does not exist"
    if not run.is_dir():
        return f"{needed}; {run} is a file"
    return f"{needed}; {run} holds {', '.join(sorted(path.name for path in run.iterdir())[:6]) or 'nothing'}"
