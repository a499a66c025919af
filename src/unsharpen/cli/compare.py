"""``unsharpen compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from unsharpen.cli.options import quiet_libraries
from unsharpen.errors import InputError
from unsharpen.training.config import load_yaml, parse_pairs


def compare(
    methods: Annotated[
        list[str] | None, typer.Argument(help="Names from `unsharpen methods`; with --config, which of its methods.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="The comparison in YAML (docs/compare.md); options override its defaults for all methods."),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Runs of each method: seeds 0, 1, ... [default: 3]")] = None,
    lr: Annotated[list[float] | None, typer.Option(help="A learning rate; repeatable. [default: as in train]")] = None,
    method_arg: Annotated[
        list[str] | None,
        typer.Option(
            help="A coefficient, e.g. ds-grpo-robust:gamma_p=0.2; repeatable. With --tune also lists, [0.1,0.2]."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of each run. [default: as in train]")] = None,
    minutes: Annotated[float | None, typer.Option(help="Instead of --steps: minutes of training of each run.")] = None,
    model: Annotated[str | None, typer.Option(help="Path or hub id. [default: the shipped countdown-tiny]")] = None,
    data: Annotated[str | None, typer.Option(help="Training problems: a file or hub id. [default: generated]")] = None,
    eval_data: Annotated[
        str | None, typer.Option(help="Problems for evaluation. [default: set apart from --data]")
    ] = None,
    num_eval: Annotated[int | None, typer.Option(help="Problems in an evaluation. [default: 128]")] = None,
    eval_samples: Annotated[int | None, typer.Option(help="Completions per problem. [default: 128]")] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between small evaluations; 0: none. [default: 50]")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Any field of trl.GRPOConfig, the same for all; repeatable.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="What the others are compared with. [default: grpo]")] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Choose coefficients and rates on validation problems first.")
    ] = False,
    jobs: Annotated[
        int, typer.Option(help="Runs (and evaluations at levers) at once; sensible with cores or GPU memory to spare.")
    ] = 1,
    output: Annotated[Path, typer.Option(help="Folder of the comparison.")] = Path("compare"),
    temperature: Annotated[
        list[float] | None,
        typer.Option(help="Evaluate the base and all models at this temperature too, at the end; repeatable."),
    ] = None,
    base_share: Annotated[
        list[float] | None,
        typer.Option(help="And with this share of the base's weights mixed in (WiSE-FT); repeatable."),
    ] = None,
    average_seeds: Annotated[
        bool, typer.Option("--average-seeds", help="And the mean of the weights of a method's seeds (a model soup).")
    ] = False,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep the weights of finished runs, in models/.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="DIR", help="Take over finished runs of another comparison that agree."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all settings and list what would be run; train nothing.")
    ] = False,
    report_only: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train nothing: tables and figures from the records in DIR.")
    ] = None,
) -> None:
    """Compare methods fairly: each trained with the same seeds, problems and budget; one table, with intervals.

    The same command continues where it was stopped; no run is made twice. A run that fails is shown with its reason.
    """
    console = Console()
    if report_only is not None:
        if methods or config:
            raise InputError("--report-only DIR reads records; it takes neither methods nor --config")
        _report(console, report_only)
        return
    given = {
        "seeds": seeds,
        "learning_rates": lr or None,
        "steps": steps,
        "minutes": minutes,
        "reference": reference,
        "levers": {
            "temperatures": temperature or None,
            "base_shares": base_share or None,
            "average_seeds": average_seeds or None,
        },
        "settings": {
            "model": model,
            "data": data,
            "eval_data": eval_data,
            "num_eval": num_eval,
            "eval_samples": eval_samples,
            "eval_every": eval_every,
            "trl": parse_pairs(set_, option="--set") or None,
        },
    }
    values = study_values(config, given, methods or [], method_arg or [], tune=tune)
    how = {"jobs": jobs, "keep_models": keep_models, "retry_failed": retry_failed, "elsewhere": import_}
    _run(console, values, output, how, dry_run=dry_run)


def study_values(
    config: Path | None, given: dict[str, Any], methods: list[str], pairs: list[str], *, tune: bool
) -> dict[str, Any]:
    """The YAML file, then the options that were given (None means not given)."""
    values: dict[str, Any] = load_yaml(config) if config is not None else {}
    settings, levers = (
        {key: value for key, value in given.pop(section, {}).items() if value is not None}
        for section in ("settings", "levers")
    )
    given = {key: value for key, value in given.items() if value is not None}
    if "steps" in given or "minutes" in given:  # either takes the place of the file's budget
        values = {key: value for key, value in values.items() if key not in ("steps", "minutes")}
    values |= given
    if settings:
        values["settings"] = _merged(values.get("settings"), settings, "settings")
    if levers:
        values["levers"] = {**_mapping(values.get("levers"), "levers"), **levers}
    listed = values.get("methods")
    known: dict[str, Any]
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        known = dict.fromkeys(listed)
    else:
        known = dict(_mapping(listed, "methods"))
    if methods:
        if config is not None and (unknown := [name for name in methods if name not in known]):
            raise InputError(f"{config} has no methods {', '.join(unknown)}; it has {', '.join(known)}")
        if repeated := [name for name in methods if methods.count(name) > 1]:
            raise InputError(f"each method is named once, found {repeated[0]!r} more often")
        known = {name: known.get(name) for name in methods}
        values["levers"] = _narrowed(_mapping(values.get("levers"), "levers"), list(known))
    values["methods"] = known
    for label, coefficients in _coefficients(pairs).items():
        if label not in known:
            raise InputError(f"--method-arg {label}:... names no method of the comparison; it has {', '.join(known)}")
        known[label] = _with_coefficients(dict(_mapping(known[label], f"methods: {label}")), coefficients, tune=tune)
    if tune:
        values.setdefault("tune", {})
    return values


def _narrowed(levers: dict[str, Any], names: list[str]) -> dict[str, Any] | None:
    """The levers of a file of which some methods are run."""
    kept = {
        key: [name for name in value if name in names]
        if key in ("methods", "mixed") and isinstance(value, list)
        else value
        for key, value in levers.items()
    }
    if kept.get("methods") == []:
        return None
    if kept.get("mixed") == []:  # none named would be all
        return {key: value for key, value in kept.items() if key not in ("mixed", "base_shares", "average_seeds")}
    return kept or None


def _coefficients(pairs: list[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        label, colon, rest = pair.partition(":")
        if not colon or "=" in label:
            raise InputError(f"--method-arg takes method:name=value, found {pair!r}")
        found.setdefault(label, {}).update(parse_pairs([rest], option=f"--method-arg {label}:"))
    return found


def _with_coefficients(values: dict[str, Any], coefficients: dict[str, Any], *, tune: bool) -> dict[str, Any]:
    """Add coefficients; of those with a list of values, with --tune, each is tried."""
    lists = {key: value for key, value in coefficients.items() if tune and isinstance(value, list)}
    fixed = {key: value for key, value in coefficients.items() if key not in lists}
    if fixed:
        values["method_args"] = {**_mapping(values.get("method_args"), "method_args"), **fixed}
    if lists:
        values["tune"] = lists
    return values


def _merged(in_file: Any, given: dict[str, Any], where: str) -> dict[str, Any]:
    values = dict(_mapping(in_file, where))
    for key, value in given.items():
        values[key] = {**_mapping(values.get(key), f"{where}: {key}"), **value} if isinstance(value, dict) else value
    return values


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping of names to values, found {value!r}")
    return value or {}


def _run(console: Console, values: dict[str, Any], output: Path, options: dict[str, Any], *, dry_run: bool) -> None:
    from unsharpen.comparison.spec import read_study

    if options["elsewhere"] is not None and not options["elsewhere"].is_dir():
        raise InputError(f"--import needs the folder of a comparison, found {options['elsewhere']}")
    study = read_study(values)
    quiet_libraries()
    from unsharpen.cli.cells_progress import CellsProgress
    from unsharpen.comparison.study import How, plan_study, run_study
    from unsharpen.comparison.tuning import rule
    from unsharpen.training.kept import KeptModels
    from unsharpen.training.run import train
    from unsharpen.training.trl_arguments import grpo_config

    if study.tuning:
        console.print(f"The rule of the choice: {rule(study)}", highlight=False)
    with CellsProgress(console) as progress:
        how = How(
            train=train,
            check=lambda run: grpo_config(run, output),
            listener=progress,
            evaluator=KeptModels,
            say=progress.say,
            **options,
        )
        if dry_run:
            cells = plan_study(study, output, how)
        else:
            finished = run_study(study, output, how)
    if dry_run:
        _show(console, *cells)
        return
    if not finished:
        console.print(f"stopped; what is done is kept in {output}, and the same command continues.", soft_wrap=True)
        raise typer.Exit(130)
    _report(console, output)


def _show(console: Console, tuning: list[Any], results: list[Any]) -> None:
    then = "test runs, with the settings that the tuning chooses" if tuning else "test runs"
    for heading, cells in (("tuning runs at most", tuning), (then, results)):
        if not cells:
            continue
        console.print(f"{len(cells)} {heading}")
        for arm in dict.fromkeys(cell.arm for cell in cells):
            own = [cell for cell in cells if cell.arm == arm]
            limits = {cell.config.max_minutes or cell.config.trl["max_steps"] for cell in own}
            unit = "minutes" if own[0].config.max_minutes else "steps"
            coefficients = list(dict.fromkeys(", ".join(f"{k} {v}" for k, v in cell.args.items()) for cell in own))
            rates = list(dict.fromkeys(f"{r:g}" for c in own if (r := c.config.trl.get("learning_rate")) is not None))
            words = [f"{len(own)} of {', '.join(f'{limit:g}' for limit in sorted(limits))} {unit}"]
            if cells is tuning or not tuning:
                words += [f"learning rate {' or '.join(rates)}"] if rates else []
                words += [" or ".join(filter(None, coefficients))] if any(coefficients) else []
            console.print(f"  {arm}: {'; '.join(words)}", highlight=False, soft_wrap=True)
    console.print("all settings are right; nothing was trained")


def _report(console: Console, root: Path) -> None:
    from unsharpen.comparison.report import failures, write_report
    from unsharpen.reports import to_rich

    results, tables = write_report(root)
    for table in tables:
        if not table.is_grouped:  # the bands are on the page
            console.print(to_rich(table))
    for line in failures(results):
        console.print(f"failed: {line}", style="red", highlight=False, soft_wrap=True)
    if failures(results):
        console.print("--retry-failed tries failed runs again.")
    report = (root / "report.html").resolve()
    console.print(f"tables: {root / 'tables'}\nreport: {report}", highlight=False, soft_wrap=True)
