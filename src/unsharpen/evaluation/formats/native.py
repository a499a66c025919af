"""The folder that `unsharpen eval` writes, or its samples.jsonl alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from sys import intern
from typing import Any

from unsharpen.errors import DataError
from unsharpen.evaluation.formats.common import (
    Format,
    Import,
    LogProbs,
    Options,
    Row,
    WholeNumbers,
    as_correct,
    as_problem,
    has,
)
from unsharpen.evaluation.formats.files import read_rows

SAMPLES, PROBLEMS, SETTINGS = "samples.jsonl", "problems.jsonl", "settings.json"
_COLUMNS = ("problem_id", "sample_id", "completion", "correct")
_TYPES: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("completion", str),
    ("canonical", str),
    ("reason", str),
    ("logprob", (int, float)),
)


def _read(files: Sequence[Path], options: Options) -> Import:
    (path,) = files
    found = Import(samples=iter(()))
    folder = path.parent if path.name == SAMPLES else None
    if folder is not None and (folder / SETTINGS).is_file():
        found.settings = _settings(folder / SETTINGS)
        found.label = found.settings.get("model")
    if folder is not None and (folder / PROBLEMS).is_file():
        found.problems = dict(_problems(folder / PROBLEMS, found.notes))
    found.samples = _samples(path, options, found)
    return found


def _problems(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = WholeNumbers()
    for where, row in read_rows(path, notes):
        if "problem_id" in row:
            number = whole(row.get("multiplicity"), where, "multiplicity")
            yield as_problem(row["problem_id"], where, "problem_id"), {**row, "multiplicity": number}
    whole.note(notes)


def _samples(path: Path, options: Options, found: Import) -> Iterator[dict[str, Any]]:
    model: str | None = None
    seen: set[str] = set()
    logprob, whole = LogProbs(), WholeNumbers()
    for where, row in read_rows(path, found.notes):
        missing = [name for name in _COLUMNS if name not in row]
        if missing:
            raise DataError(f"{where}: needs the columns {', '.join(_COLUMNS)}; lacks {', '.join(missing)}")
        if row["correct"] is not True and row["correct"] is not False:
            row["correct"] = as_correct(row["correct"], where, "correct", options)
        if row.get("model", model) != model:
            if model is not None:
                raise DataError(f"{where}: one model a file; found {row['model']!r} after {model!r}")
            model = row["model"]
            found.label = found.label or model
        for name, wanted in _TYPES:
            if (value := row.get(name)) is not None and not isinstance(value, wanted):
                raise DataError(f"{where}: `{name}` must be {_words(wanted)}; found {str(value)[:60]!r}")
        row["num_tokens"] = whole(row.get("num_tokens"), where, "num_tokens")
        row["logprob"] = logprob(row.get("logprob"), where)
        row["problem_id"] = intern(as_problem(row["problem_id"], where, "problem_id"))
        seen.add(row["problem_id"])
        if row.get("reason") is not None:
            row["reason"] = intern(row["reason"])  # a few words, a million times
        row["where"] = where
        row["fields"] = row
        yield row
    logprob.note(found.notes)
    whole.note(found.notes)
    missed = len(found.problems.keys() - seen)
    if missed:
        found.notes.append(f"{missed} of {len(found.problems)} problems have no samples yet")


def _words(wanted: type | tuple[type, ...]) -> str:
    return "text" if wanted is str else "a number"


def _settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected settings as a JSON object; {error}") from error
    if not isinstance(settings, dict):
        raise DataError(f"{path}: expected settings as a JSON object; found {type(settings).__name__}")
    return settings


def _find(folder: Path) -> list[Path]:
    return [folder / SAMPLES] if (folder / SAMPLES).is_file() else []


def _matches(row: Row) -> bool:
    return has(row, *_COLUMNS)


FORMAT = Format("unsharpen", ", ".join(_COLUMNS), _matches, _find, _read, frozenset({"threshold"}))
