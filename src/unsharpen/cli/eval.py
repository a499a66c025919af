"""``unsharpen eval``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from unsharpen.cli.options import quiet_libraries
from unsharpen.errors import InputError
from unsharpen.training.config import parse_pairs


def eval_(
    model: Annotated[
        str | None,
        typer.Argument(help="A folder (of a model or a training run), a hub id, countdown-tiny, or a server's name."),
    ] = None,
    task: Annotated[str, typer.Option(help="The task or named set.")] = "countdown",
    num_samples: Annotated[int, typer.Option("--num-samples", "-n", help="Samples per problem.")] = 64,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the evaluation. [default: evaluations/TASK-MODEL]")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The base model's evaluation folder, to compare with at the end.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Only compare two evaluation folders, the base first.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Problems: JSONL, Parquet, CSV or a hub id. [default: own]")] = None,
    split: Annotated[str | None, typer.Option(help="Split of a hub data set. [default: train]")] = None,
    limit: Annotated[int | None, typer.Option(help="The first problems only.")] = None,
    problem_column: Annotated[str | None, typer.Option(help="Column of the question.")] = None,
    answer_column: Annotated[str | None, typer.Option(help="Column of the answer.")] = None,
    answer_format: Annotated[str | None, typer.Option(help="tags, boxed or bare. [default: by model and task]")] = None,
    temperature: Annotated[float, typer.Option(help="Above 0.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Nucleus; 1 is off.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="0 is off. [default: off, or the server's]")] = None,
    min_p: Annotated[float | None, typer.Option(help="0 is off. [default: off, or the server's]")] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest completion. [default: 4096; countdown 1024, countdown-tiny 24]")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends a completion; repeatable.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    chat: Annotated[bool | None, typer.Option(help="Prompts as conversations or plain. [default: by model]")] = None,
    chat_template_arg: Annotated[
        list[str] | None, typer.Option(help="For the chat template, e.g. enable_thinking=false; repeatable.")
    ] = None,
    thinking_budget: Annotated[int | None, typer.Option(help="Close <think> after so many tokens.")] = None,
    strip_thinking: Annotated[bool, typer.Option("--strip-thinking", help="Grade only what follows </think>.")] = False,
    backend: Annotated[
        str | None, typer.Option(help="transformers, vllm or openai. [default: openai with --base-url]")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="An OpenAI-compatible server, e.g. http://host:8000/v1.")] = None,
    api_key_env: Annotated[str, typer.Option(help="Environment variable with the server's key.")] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(help="Requests to the server at once.")] = 16,
    samples_per_request: Annotated[int, typer.Option(help="The server's n.")] = 1,
    timeout: Annotated[float, typer.Option(help="Seconds for one request.")] = 600.0,
    attempts: Annotated[int, typer.Option(help="Tries of one request.")] = 6,
    logprobs: Annotated[bool, typer.Option(help="Ask the server for log-probs.")] = True,
    request: Annotated[
        list[str] | None, typer.Option(help="A field of each request's body, e.g. user=me; null removes; repeatable.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Completions at once, backend transformers.")] = 64,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...; backend transformers.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Of the weights; backend transformers.")] = "auto",
    engine: Annotated[
        list[str] | None, typer.Option(help="Of vllm.LLM, e.g. tensor_parallel_size=2; repeatable.")
    ] = None,
) -> None:
    """Sample a model on a task and report Pass@k, its intervals, and the diversity of correct answers.

    Every sample is on disk as soon as it exists. The same command continues an interrupted evaluation; with a larger
    -n it adds to a complete one.
    """
    console = Console()
    if compare is not None:
        if model is not None or base is not None:
            raise InputError("--compare takes two folders and samples nothing; leave MODEL and --base out")
        _present(console, list(compare), (output or Path("comparison")) / "report.html")
        return
    if model is None:
        raise InputError("expected a MODEL to evaluate", hint="e.g. unsharpen eval countdown-tiny; or --compare A B")
    from unsharpen.cli.progress import SamplingProgress
    from unsharpen.evaluation.evaluate import Evaluation, evaluate
    from unsharpen.evaluation.models import default_length, find_model
    from unsharpen.evaluation.samplers.base import Sampling
    from unsharpen.evaluation.samplers.server import Retry, Server

    sampling = Sampling(
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        min_p=min_p,
        max_new_tokens=default_length(find_model(model), task) if max_new_tokens is None else max_new_tokens,
        stop=tuple(stop or ()),
        chat_template_kwargs=parse_pairs(chat_template_arg, option="--chat-template-arg"),
        thinking_budget=thinking_budget,
        seed=seed,
    )
    server = None
    if base_url is not None:
        server = Server(
            base_url=base_url,
            api_key_env=api_key_env,
            concurrency=concurrency,
            samples_per_request=samples_per_request,
            logprobs=logprobs,
            extra=parse_pairs(request, option="--request"),
            retry=Retry(attempts=attempts, timeout=timeout),
        )
    config = Evaluation(
        model=model,
        task=task,
        sampling=sampling,
        num_samples=num_samples,
        backend=backend,  # type: ignore[arg-type]  # checked there
        data=data,
        split=split,
        limit=limit,
        problem_column=problem_column,
        answer_column=answer_column,
        answer_format=answer_format,
        chat=chat,
        system=system,
        strip_thinking=strip_thinking,
        server=server,
        embedded={"batch_size": batch_size, "device": device, "dtype": dtype},
        engine=parse_pairs(engine, option="--engine"),
    )
    folder = output or Path("evaluations") / f"{task}-{re.sub(r'[^A-Za-z0-9._-]+', '-', model).strip('-.')}"
    if config.resolved_backend == "transformers":
        quiet_libraries()
    with SamplingProgress(f"{model} on {task}", console) as progress:
        evaluate(config, folder, progress=progress.report)
    _present(console, [folder] if base is None else [base, folder], folder / "report.html")


def _present(console: Console, folders: list[Path], report: Path) -> None:
    """The table and the report of evaluation folders, the base first."""
    from unsharpen.cli.evaluation_warnings import warnings_about
    from unsharpen.cli.metrics import print_measures
    from unsharpen.evaluation.store import load_evaluation
    from unsharpen.metrics import compare, summarise
    from unsharpen.reports.evaluation import write_evaluation_report

    tables = [load_evaluation(folder) for folder in folders]
    for warning in (warning for table in tables for warning in warnings_about(table)):
        typer.echo(f"warning: {warning}", err=True)
    if len(tables) > 1 and tables[0].label == tables[1].label:
        tables = [
            replace(table, label=f"{table.label} ({folder})") for table, folder in zip(tables, folders, strict=True)
        ]
    comparison = compare(tables[1], tables[0]) if len(tables) > 1 else None
    ks = None if comparison is None else comparison.ks
    print_measures([summarise(table, ks=ks) for table in tables], comparison)
    report.parent.mkdir(parents=True, exist_ok=True)
    page = write_evaluation_report(tables, report)
    console.print(f"samples: {folders[-1] / 'samples.jsonl'}", highlight=False, soft_wrap=True)
    console.print(f"report:  {page}", highlight=False, soft_wrap=True)
