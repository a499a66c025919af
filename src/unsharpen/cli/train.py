"""``unsharpen train``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from unsharpen.cli.options import quiet_libraries, run_config


def train(
    method: Annotated[
        str | None, typer.Option(help="A name from `unsharpen methods`. [default: ds-grpo-centered]")
    ] = None,
    method_arg: Annotated[list[str] | None, typer.Option(help="A coefficient, e.g. gamma_p=0.1; repeatable.")] = None,
    task: Annotated[
        str | None,
        typer.Option(help="countdown, math, or a named set: math500, aime24, ... [default: countdown]"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Training problems: JSONL, Parquet, CSV or a hub id. [default: generated]")
    ] = None,
    eval_data: Annotated[
        str | None,
        typer.Option(help="Problems for evaluation, or a named set. [default: of --task, or set apart from --data]"),
    ] = None,
    problem_column: Annotated[
        str | None, typer.Option(help="Maths: the column of the question. [default: problem, question, ...]")
    ] = None,
    answer_column: Annotated[
        str | None, typer.Option(help="Maths: the column of the answer. [default: answer, final_answer, ...]")
    ] = None,
    format_bonus: Annotated[
        float | None, typer.Option(help="Maths: paid for any complete answer. [default: nothing]")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Path or hub id. [default: the shipped countdown-tiny]")] = None,
    config: Annotated[
        list[Path] | None, typer.Option(help="Settings in YAML; of several files later ones, and options, win.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of new problems, data order and sampling. [default: 0]")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("run"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --output.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(help="Optimiser steps; the same as --set max_steps=N. [default: 200, or 300 for other models]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any field of trl.GRPOConfig, e.g. learning_rate=3e-5; repeatable."),
    ] = None,
    lora: Annotated[list[str] | None, typer.Option(help="Train LoRA adapters, e.g. r=16; repeatable.")] = None,
    answer_format: Annotated[str | None, typer.Option(help="tags, boxed or bare. [default: by the model]")] = None,
    problems: Annotated[
        list[str] | None, typer.Option(help="How generated problems look, e.g. sizes=[3,4] or multiplicity=[1,3].")
    ] = None,
    num_train: Annotated[int | None, typer.Option(help="Training problems to generate or read.")] = None,
    num_eval: Annotated[int | None, typer.Option(help="Problems in an evaluation. [default: 128]")] = None,
    eval_samples: Annotated[
        int | None, typer.Option(help="Completions per problem before and after; 0: no evaluation. [default: 128]")
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between small evaluations; 0: none. [default: 50]")
    ] = None,
    eval_set: Annotated[str | None, typer.Option(help="test or validation. [default: test]")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all settings, show what they come to, and stop.")
    ] = False,
) -> None:
    """Train a causal language model with any method, and see what becomes of its Pass@k.

    Also runs on several processes: accelerate launch -m unsharpen train ...
    """
    given = {
        "method": method,
        "task": task,
        "data": data,
        "eval_data": eval_data,
        "problem_column": problem_column,
        "answer_column": answer_column,
        "format_bonus": format_bonus,
        "model": model,
        "seed": seed,
        "answer_format": answer_format,
        "num_train": num_train,
        "num_eval": num_eval,
        "eval_samples": eval_samples,
        "eval_every": eval_every,
        "eval_set": eval_set,
    }
    settings = run_config(
        config or [], given, method_arg=method_arg, set_=set_, lora=lora, problems=problems, steps=steps
    )
    quiet_libraries()
    if dry_run:
        from unsharpen.training.dry_run import describe

        lines = "\n".join(f"{name:14s}{text}" for name, text in describe(settings, output))
        if _is_first_process():
            typer.echo(lines)
        return
    from accelerate import PartialState

    from unsharpen.cli.progress import TrainingProgress
    from unsharpen.cli.results import print_summary
    from unsharpen.training.run import train as run

    console = Console(quiet=not _is_first_process())
    with TrainingProgress(settings.method, console) as progress:
        result = run(settings, output, resume=resume, report=progress.report)
    PartialState().destroy_process_group()  # where there is one: its threads must not outlive the interpreter
    if not result.finished:
        console.print(f"stopped; everything up to the last step is in {output}. Continue with --resume.")
        raise typer.Exit(130)
    if settings.eval_samples:
        print_summary(console, [output])
    console.print(f"model:  {result.folder.model}", highlight=False, soft_wrap=True)
    if settings.eval_samples:
        console.print(f"report: {result.folder.report}", highlight=False, soft_wrap=True)


def _is_first_process() -> bool:
    """Of several processes the first one speaks."""
    return os.environ.get("RANK", "0") == "0"
