"""Training logs of several trainers, as columns: ours, Hugging Face's, verl's, and exports of W&B."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import DataError

Floats = NDArray[np.float64]
_STEP_KEYS = (
    *("step", "_step", "global_step", "train/global_step", "training/global_step", "trainer/global_step"),
    *("Step", "epoch_step"),
)
_NEEDED = "metrics.jsonl, trainer_state.json, or a .jsonl, .json or .csv file of metrics"
_AFTER_RUN = " - "  # between the run and the key in the columns of W&B's exports
_SHOWN = 8  # columns named in an error
_MAX_CELLS = 50_000_000


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """Curves of one run.

    Attributes:
        source: the file that they come from.
        steps: [T] ascending, all different.
        columns: [T] for each key; NaN where it was not logged.
        notes: what was repaired while reading.
    """

    source: str
    steps: Floats
    columns: Mapping[str, Floats]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]], *, source: str, notes: Sequence[str] = ()) -> TrainingLog:
        """Columns from one mapping per log entry; entries of one step are merged, the later value counts.

        Args:
            rows: with a step under one of the usual names; values that are no numbers are left out.
            source: for messages.
            notes: what was repaired before.

        Raises:
            DataError: no row, or a row without a step.
        """
        merged: dict[float, dict[str, float]] = {}
        keys: dict[str, None] = {}
        for number, row in enumerate(rows, 1):
            flat = _flat(row)
            step = next((flat[key] for key in _STEP_KEYS if key in flat), None)
            if step is None:
                raise DataError(
                    f"every log entry needs a step; entry {number} of {source} has {sorted(flat)[:6] or 'no numbers'}",
                    hint=f"the step is looked for under {', '.join(_STEP_KEYS)}",
                )
            merged.setdefault(step, {}).update(flat)
            keys.update(dict.fromkeys(flat))
        if not merged:
            raise DataError(f"a training log needs at least one entry; {source} has none")
        if len(merged) * len(keys) > _MAX_CELLS:
            raise DataError(f"a training log may hold {_MAX_CELLS:,} numbers; {source} has {len(merged)} x {len(keys)}")
        steps = sorted(merged)
        columns = {
            key: np.asarray([merged[step].get(key, math.nan) for step in steps])
            for key in keys
            if key not in _STEP_KEYS
        }
        return cls(source, np.asarray(steps), columns, tuple(notes))


def read_log(path: str | Path) -> TrainingLog:
    """Read the metrics of a training run.

    Recognised: a run folder of ``unsharpen train`` (metrics.jsonl); a folder with trainer_state.json or with
    checkpoint-N/trainer_state.json (the newest); such a file itself; JSON lines with a step in each, flat or as
    ``{"step": ..., "data": {...}}`` (verl's file logger); CSV with a step column (W&B's export, whose "run - key"
    columns lose the run and whose __MIN and __MAX are left out; it must be of one run).

    Args:
        path: folder or file.

    Returns:
        TrainingLog; `notes` names a last line that was torn and left out.

    Raises:
        DataError: nothing there, nothing recognised, an export of several runs, or a malformed entry (with its line).
    """
    file = _find(Path(path))
    text = _read(file)
    notes: list[str] = []
    if file.suffix == ".csv":
        rows = _from_csv(text, file)
    elif file.suffix == ".json":
        rows = _from_json(text, file)
    else:
        rows = _from_lines(text, file, notes)
    return TrainingLog.from_rows(rows, source=str(file), notes=notes)


def _find(path: Path) -> Path:
    if path.is_file():
        if path.suffix not in (".jsonl", ".json", ".csv"):
            raise DataError(f"a training log is {_NEEDED}; found {path}")
        return path
    if not path.is_dir():
        raise DataError(f"a training log is {_NEEDED}; {path} does not exist")
    checkpoints = sorted(path.glob("checkpoint-*/trainer_state.json"), key=lambda p: _number(p.parent.name))
    for found in (path / "metrics.jsonl", path / "trainer_state.json", *checkpoints[::-1]):
        if found.is_file():
            return found
    inside = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
    raise DataError(
        f"a run folder holds metrics.jsonl or trainer_state.json; {path} holds {inside}",
        hint="pass the file with the metrics itself",
    )


def _number(name: str) -> int:
    match = re.search(r"(\d+)$", name)
    return int(match.group(1)) if match else -1


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a readable UTF-8 file: {error}") from error


def _from_json(text: str, path: Path) -> list[Mapping[str, Any]]:
    value = _parse(text, str(path))
    rows = value.get("log_history") if isinstance(value, dict) else value
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} must hold log_history, a list of objects (trainer_state.json), or such a list")
    return rows


def _from_lines(text: str, path: Path, notes: list[str]) -> list[Mapping[str, Any]]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows: list[Mapping[str, Any]] = []
    for number, line in lines:
        try:
            row = _parse(line, f"{path}, line {number}")
        except DataError:
            if number != lines[-1][0] or not rows:
                raise
            notes.append(f"{path.name}: the torn last line ({number}) was left out")
            continue
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}, must be an object; found {type(row).__name__}")
        rows.append(row)
    return rows


def _from_csv(text: str, path: Path) -> list[Mapping[str, Any]]:
    reader = csv.DictReader(text.splitlines())
    rows: list[Mapping[str, Any]] = []
    try:
        _refuse_several_runs(reader.fieldnames or (), path)
        for row in reader:
            rows.append({_without_run(key): _float(value) for key, value in row.items() if _is_value(key)})
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def _is_value(key: object) -> bool:
    return isinstance(key, str) and not key.endswith(("__MIN", "__MAX"))


def _without_run(key: str) -> str:
    return key.rsplit(_AFTER_RUN, 1)[-1]


def _refuse_several_runs(names: Sequence[str], path: Path) -> None:
    """DataError where columns differ by the run alone: one of them would be read, and the others lost."""
    columns: dict[str, list[str]] = {}
    for name in filter(_is_value, names):
        key = _without_run(name)
        if key and (key != name or key not in _STEP_KEYS):  # an export has a step of its own beside the run's
            columns.setdefault(key, []).append(name)
    for key, same in columns.items():
        if len(same) > 1:
            more = f" and {len(same) - _SHOWN} more" * (len(same) > _SHOWN)
            raise DataError(
                f"{path} must be of one run; found {len(same)} columns of {key!r}: {', '.join(same[:_SHOWN])}{more}",
                hint="export one run, or keep the columns of one",
            )


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} must be JSON: {error}") from error


def _flat(row: Mapping[str, Any], depth: int = 4) -> dict[str, float]:
    """The finite numbers of an entry; nested objects by path, but for the envelope ``data``, to a limited depth."""
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            inner = _flat(value, depth - 1) if depth else {}
            found.update({k if key == "data" else f"{key}/{k}": v for k, v in inner.items()})
        elif isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            found[str(key)] = float(value)
    return found


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
