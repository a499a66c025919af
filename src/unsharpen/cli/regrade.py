"""``unsharpen regrade``: other verdicts on samples that are already there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def regrade(
    folder: Annotated[Path, typer.Argument(help="The folder of `unsharpen eval`; it is not changed.")],
    output: Annotated[Path | None, typer.Option(help="The new folder. [default: FOLDER-regraded]")] = None,
    data: Annotated[
        str | None, typer.Option(help="The same problems with other answers: a file or a hub id. [default: as stored]")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a hub data set. [default: train]")] = None,
    problem_column: Annotated[str | None, typer.Option(help="With --data: column of the question.")] = None,
    answer_column: Annotated[str | None, typer.Option(help="With --data: column of the answer.")] = None,
    answer_format: Annotated[str | None, typer.Option(help="tags, boxed or bare. [default: as before]")] = None,
    strip_thinking: Annotated[
        bool | None,
        typer.Option("--strip-thinking/--keep-thinking", help="Grade only what follows </think>. [default: as before]"),
    ] = None,
) -> None:
    """Grade the samples of an evaluation again, without sampling: another version of the grader, or other answers.

    The new folder holds the same samples with new verdicts; the old one stays as it is. Says how many changed.
    """
    from unsharpen.evaluation.again import grade_again

    target = output or folder.with_name(f"{folder.resolve().name}-regraded")
    found = grade_again(
        folder,
        target,
        data=data,
        split=split,
        problem_column=problem_column,
        answer_column=answer_column,
        answer_format=answer_format,
        thinking=strip_thinking,
    )
    changed = sum(found.reasons.values())
    typer.echo(f"{found.num_samples} samples graded again; {changed} verdicts changed: {found.gained} are now correct, "
               f"{found.lost} no longer; {found.renamed} other answers are told apart differently")  # fmt: skip
    for (before, after), count in found.reasons.items():
        typer.echo(f"  {before} -> {after}: {count}")
    typer.echo(f"samples: {target / 'samples.jsonl'}")
