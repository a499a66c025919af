"""``unsharpen diagnose``: is a training run collapsing?"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from unsharpen.diagnosis import Advice, Diagnosis, TrainingLog, advise, diagnose, read_log
from unsharpen.errors import DataError

_STYLE = {"collapsing": "red", "degrading": "red", "possible": "yellow", "not seen": "green", "can't tell": "yellow"}


def command(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder, trainer_state.json, or metrics as .jsonl or .csv (verl, W&B).", metavar="RUN"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say whether a training run is collapsing, since when, on which evidence, and what to try.

    Reads the metrics of this package, of any Hugging Face trainer (trainer_state.json), and of verl and W&B (JSON
    lines or CSV). A fall counts if chance seldom makes one so clear; where the metrics can't tell, it says so.
    """
    log = read_log(run)
    found = diagnose(log)
    advice = advise(found, _method(run))
    held_out = _held_out(run)
    if as_json:
        typer.echo(json.dumps(_plain(found, log, advice, held_out), indent=2, allow_nan=False))
        return
    _show(Console(), found, log, advice, held_out)


def _show(console: Console, found: Diagnosis, log: TrainingLog, advice: list[Advice], held_out: list[str]) -> None:
    def say(text: str | Text = "") -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(Text.assemble((found.outcome, f"bold {_STYLE[found.outcome]}"), f"  (confidence: {found.confidence})"))
    say(found.summary)
    say(Text(f"{log.source}, steps {found.steps[0]:g} to {found.steps[1]:g}", "dim"))
    for heading, lines in (
        ("Evidence", [("! " if e.speaks else "  ") + e.text for e in found.evidence]),
        ("On held-out problems", held_out),
        ("Mind", list(found.caveats)),
        ("What to try", [a.text + (f" {a.link}" if a.link else "") for a in advice]),
    ):
        if lines:
            say()
            say(Text(heading, "bold"))
            for line in lines:
                say(f"  {line}")


def _plain(found: Diagnosis, log: TrainingLog, advice: list[Advice], held_out: list[str]) -> dict[str, Any]:
    values = {**asdict(found), "source": log.source, "advice": [asdict(a) for a in advice], "held_out": held_out}
    return {key: _finite(value) for key, value in values.items()}


def _finite(value: Any) -> Any:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value


def _method(run: Path) -> str | None:
    """The method of one of our run folders."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    method = config.get("method") if isinstance(config, dict) else None
    return method if isinstance(method, str) else None


def _held_out(run: Path) -> list[str]:
    """What one of our run folders measured on held-out problems, if it was evaluated after training."""
    from unsharpen.reports import load_run, verdicts

    if not (run / "evaluation.jsonl").is_file() or not (run / "config.json").is_file():
        return []
    try:
        loaded = load_run(run)
    except DataError as error:  # the metrics were read: the diagnosis stands
        return [f"not read: {error.message}"]
    return [] if loaded.final.step == 0 else [f"{v.outcome}: {v.text}" for v in verdicts([loaded])]
