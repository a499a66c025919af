"""``unsharpen data``: write training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from unsharpen.cli.options import quiet_libraries, run_config
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
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
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


@app.command("presample")
def presample(
    output: Annotated[Path, typer.Option(help="The folder for pool.jsonl and explore.jsonl.")],
    model: Annotated[str | None, typer.Option(help="Path or hub id. [default: the shipped countdown-tiny]")] = None,
    data: Annotated[str | None, typer.Option(help="Problems: a file or a hub id. [default: generated]")] = None,
    num_train: Annotated[int | None, typer.Option(help="Problems to generate or read.")] = None,
    problems: Annotated[list[str] | None, typer.Option(help="How generated problems look, e.g. sizes=[3,4].")] = None,
    answer_format: Annotated[str | None, typer.Option(help="tags, boxed or bare. [default: by the model]")] = None,
    samples: Annotated[int, typer.Option(help="Tries per problem.")] = 8,
    mastered: Annotated[float, typer.Option(help="Share of the tries that must be correct for the pool.")] = 1.0,
    keep: Annotated[int, typer.Option(help="Correct completions per mastered problem, at most.")] = 1,
    temperature: Annotated[float, typer.Option(help="Of the sampling; the training must have the same.")] = 1.0,
    max_new_tokens: Annotated[int | None, typer.Option(help="[default: 24 for countdown-tiny, or 1024]")] = None,
    batch_size: Annotated[int, typer.Option(help="Completions in flight at once.")] = 256,
    seed: Annotated[int | None, typer.Option(help="Of new problems and of the sampling. [default: 0]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files.")] = False,
) -> None:
    """Sample a base model: what it masters, with log-probabilities, and what is left to explore.

    For the method dph: train --method dph --method-arg pool=FOLDER/pool.jsonl --data FOLDER/explore.jsonl.
    """
    given = {"model": model, "data": data, "num_train": num_train, "answer_format": answer_format, "seed": seed}
    # evaluation problems are read and set apart as in a run, so that neither file holds one
    config = run_config([], given, problems=problems)
    quiet_libraries()
    from unsharpen.training.presample import EXPLORE, POOL, PresampleSettings
    from unsharpen.training.presample import presample as run

    settings = PresampleSettings(
        num_samples=samples,
        mastered=mastered,
        keep=keep,
        temperature=temperature,
        max_new_tokens=max_new_tokens or (24 if config.is_tiny else 1024),
        batch_size=batch_size,
    )
    taken = [output / name for name in (POOL, EXPLORE) if (output / name).exists()]
    if taken and not force:
        raise InputError(f"{taken[0]} exists", hint="choose another folder, or --force")
    try:
        counts = run(config, output, settings)
    except OSError as error:
        raise InputError(f"can't write {output}: {error.strerror}") from error
    typer.echo(
        f"{counts['pool']} completions in {output / POOL}, {counts['explore']} of {counts['problems']} problems in "
        f"{output / EXPLORE}"
    )
