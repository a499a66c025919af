"""Rows of results: as a table for people, or as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from unsharpen.metrics import Interval


def show(
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, float],
    as_json: bool,
    *,
    note: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Rows as a table with the facts below it, or all of it as JSON."""
    if as_json:
        typer.echo(json.dumps(plain({"rows": rows, **facts, **(extra or {})}), indent=2, allow_nan=False))
        return
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key, value in rows[0].items():
        if isinstance(value, str):
            table.add_column(key.replace("_", " "), overflow="fold")
        else:
            table.add_column(key.replace("_", " "), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    console.print(table)
    for key, value in facts.items():
        console.print(f"{key.replace('_', ' ')}: {_cell(value)}", highlight=False)
    console.print(note, style="dim", highlight=False)


def _cell(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)


def plain(value: Any) -> Any:
    """What JSON can hold; infinity becomes null."""
    match value:
        case Interval():
            return {"value": value.value, "low": value.low, "high": value.high}
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case np.ndarray():
            return plain(value.tolist())
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value
