"""``unsharpen metrics``: all numbers from samples that are already there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from unsharpen.cli.show import plain
from unsharpen.errors import InputError

Name = Annotated[str | None, typer.Option(help="Plain files: the column, where it has another name.")]


def metrics(
    file: Annotated[Path, typer.Argument(help="A file or folder of samples, of any known format.")],
    base: Annotated[Path | None, typer.Option(help="Samples of the base model on the same problems.")] = None,
    ks: Annotated[
        str | None, typer.Option(help="The k of Pass@k, with commas; default: powers of two up to n.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="unsharpen, lm-eval, lighteval, verl or plain; default: told by the columns.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Grade anew with this task: countdown.")] = None,
    answer_format: Annotated[str, typer.Option(help="For --task: tags, boxed or bare.")] = "tags",
    metric: Annotated[str | None, typer.Option(help="lm-eval, lighteval, verl: the value that is the verdict.")] = None,
    filter: Annotated[str | None, typer.Option(help="lm-eval: the filter whose verdicts count.")] = None,
    threshold: Annotated[float | None, typer.Option(help="From which score on a sample is right.")] = None,
    problem_column: Name = None,
    completion_column: Name = None,
    correct_column: Name = None,
    answer_column: Name = None,
    label: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    base_label: Annotated[str | None, typer.Option(help="The base model's name.")] = None,
    common: Annotated[bool, typer.Option("--common", help="Compare only the problems that both have.")] = False,
    level: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and of whatever is drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every number to this CSV file.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write a table for a paper to this file.")] = None,
) -> None:
    """Pass@k, maj@k, stability, diversity and sharpening from samples, and a comparison with the base model.

    Reads folders of `unsharpen eval`, sample logs of lm-evaluation-harness, details of lighteval, dumps of verl, and
    JSONL, CSV or Parquet files with a row per sample. Every mean is over problems, with a bootstrap interval.
    """
    from unsharpen.evaluation.imports import load_samples
    from unsharpen.metrics import compare, summarise
    from unsharpen.metrics.comparison import shared_problems

    grid = None if ks is None else _ks(ks)
    options: dict[str, Any] = {
        "format": format,
        "task": task,
        "answer_format": answer_format,
        "metric": metric,
        "filter": filter,
        "threshold": threshold,
        "problem_column": problem_column,
        "completion_column": completion_column,
        "correct_column": correct_column,
        "answer_column": answer_column,
    }
    table = load_samples(file, label=label, **options)
    tables, comparison = [table], None
    if base is not None:
        other = load_samples(base, label=base_label, **options)
        if other.label == table.label:
            other = replace(other, label=f"{other.label} (base)")
        tables.insert(0, other)
        comparison = compare(table, other, ks=grid, level=level, seed=seed, common=common)
        grid = list(comparison.ks)
        if common:  # so that the difference is that of the columns beside it
            tables = list(reversed(shared_problems(table, other, common=True)))
    summaries = [summarise(one, ks=grid, level=level, seed=seed) for one in tables]
    _write(csv, latex, summaries, comparison)
    if as_json:
        found = {"summaries": [s.as_dict() for s in summaries], "comparison": comparison and comparison.as_dict()}
        typer.echo(json.dumps(plain(found), indent=2, allow_nan=False))
        return
    print_measures(summaries, comparison)


def print_measures(summaries: list[Any], comparison: Any) -> None:
    """Tables, sentences and notes of one model, or of one beside its base."""
    from unsharpen.reports.measures import bands_table, measures_table, sentences

    console = Console()
    console.print(measures_table(summaries, comparison))
    bands = bands_table(summaries, comparison)
    if bands is not None:
        console.print(bands)
    for line in sentences(summaries[-1], comparison):
        console.print(line, markup=False, highlight=False)
    for note in dict.fromkeys(note for summary in summaries for note in summary.notes):
        whose = [summary.label for summary in summaries if note in summary.notes]
        of = f" ({', '.join(whose)})" if len(whose) < len(summaries) else ""
        console.print(f"note{of}: {note}", markup=False, highlight=False, style="dim")
    known = {note for summary in summaries for note in summary.notes}
    for note in (note for note in (comparison.notes if comparison else ()) if note not in known):
        console.print(f"note (difference): {note}", markup=False, highlight=False, style="dim")


def _write(csv: Path | None, latex: Path | None, summaries: list[Any], comparison: Any) -> None:
    from unsharpen.reports.measures import measures_csv, measures_latex

    for path, text in ((csv, measures_csv), (latex, measures_latex)):
        if path is not None:
            try:
                path.write_text(text(summaries, comparison), "utf-8")
            except OSError as error:
                raise InputError(f"{path} can't be written; {error}") from error


def _ks(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--ks must be integers with commas between; found {text!r}") from error
