"""``unsharpen data``: write training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unsharpen.errors import InputError

app = typer.Typer(help="Write problems to files.", no_args_is_help=True)


@app.callback()
def _data() -> None:
    pass


@app.command("countdown")
def countdown(
    output: Annotated[Path, typer.Option(help="The file: .jsonl, .parquet or .csv.")],
    num: Annotated[int, typer.Option(help="How many problems.")] = 1000,
    size: Annotated[list[int] | None, typer.Option(help="Numbers per problem; repeatable. [default: 3 and 4]")] = None,
    numbers: Annotated[tuple[int, int], typer.Option(help="Smallest and largest number.")] = (1, 99),
    targets: Annotated[tuple[int, int], typer.Option(help="Smallest and largest target.")] = (10, 99),
    multiplicity: Annotated[
        tuple[int, int], typer.Option(help="Least and most distinct solutions; a most of 0 is no limit.")
    ] = (1, 0),
    split: Annotated[str | None, typer.Option(help="train or eval: two files made so can't overlap.")] = None,
    format_: Annotated[
        Literal["plain", "verl"], typer.Option("--format", help="Columns: nums, target; or those that verl reads.")
    ] = "plain",
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write solvable CountDown problems in the public schema (nums, target), or as rows for verl's trainer."""
    from unsharpen.engines.verl_reward import verl_row
    from unsharpen.tasks import CountDown
    from unsharpen.tasks.hub import write_rows

    if format_ == "verl" and output.suffix.lower() == ".csv":
        raise InputError(f"rows for verl are nested and need a .parquet or .jsonl file; found {output}")
    if output.exists() and not force:
        raise InputError(f"{output} exists", hint="choose another file, or --force")
    task = CountDown()
    problems = task.generate(
        num,
        seed=seed,
        sizes=tuple(size or (3, 4)),
        numbers=numbers,
        targets=targets,
        multiplicity=(multiplicity[0], multiplicity[1] or None),
        split=split,
    )
    if format_ == "verl":
        rows = [verl_row(task, p, split=split or "train", index=i) for i, p in enumerate(problems)]
    else:
        rows = [task.to_row(p) for p in problems]
    try:
        write_rows(str(output), rows)
    except OSError as error:
        raise InputError(f"can't write {output}: {error.strerror}") from error
    typer.echo(f"{len(problems)} problems in {output}")
