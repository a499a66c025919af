"""Any JSONL, JSON, CSV or Parquet file with a row per sample: problem, completion, correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError
from unsharpen.evaluation.formats.common import Format, Import, Options, Row, as_correct, no_files
from unsharpen.evaluation.formats.files import read_rows

_NAMES = {
    "problem_column": ("problem_id", "problem", "question", "prompt"),
    "completion_column": ("completion", "response", "output"),
    "correct_column": ("correct", "is_correct"),
    "answer_column": ("canonical", "answer", "extracted_answer"),
}
_NEEDED = ("problem_column", "correct_column")
_TEXTS = ("problem", "question", "prompt")


def _read(files: Sequence[Path], options: Options) -> Import:
    found = Import(samples=iter(()))
    found.samples = _samples(files[0], options, found)
    return found


def _samples(path: Path, options: Options, found: Import) -> Iterator[dict[str, Any]]:
    columns: dict[str, str | None] | None = None
    for where, row in read_rows(path, found.notes):
        if columns is None:
            columns = _columns(row, options, where)
            found.settings["columns"] = {name: column for name, column in columns.items() if column}
        missing = [column for column in columns.values() if column is not None and column not in row]
        if missing:
            raise DataError(f"{where}: lacks the columns {', '.join(missing)}, which the first row has")
        problem, completion, correct, answer = (row[c] if c is not None else None for c in columns.values())
        if problem is None or problem == "":
            raise DataError(f"{where}: `{columns['problem_column']}` must name the problem; found {problem!r}")
        text = next((str(row[name]) for name in _TEXTS if isinstance(row.get(name), str)), None)
        found.problems.setdefault(str(problem), {"text": text, "multiplicity": _whole(row.get("multiplicity"))})
        if found.label is None and isinstance(row.get("model"), str):
            found.label = row["model"]
        yield {
            "problem_id": str(problem),
            "correct": as_correct(correct, where, str(columns["correct_column"]), options),
            "completion": None if completion is None else str(completion),
            "canonical": None if answer is None or answer == "" else str(answer),
            "reason": None if row.get("reason") is None else str(row["reason"]),
            "logprob": _number(row.get("logprob"), where, "logprob"),
            "num_tokens": _whole(row.get("num_tokens")),
            "sample_id": row.get("sample_id"),
            "task": row.get("task"),
            "where": where,
            "fields": row,
        }


def _columns(row: Row, options: Options, where: str) -> dict[str, str | None]:
    """The columns of the four roles; those that were named must exist."""
    chosen: dict[str, str | None] = {}
    for role, names in _NAMES.items():
        named = getattr(options, role)
        if named is not None and named not in row:
            raise DataError(f"{where}: has no column {named!r}; found {', '.join(map(str, row))}")
        chosen[role] = named or next((name for name in names if name in row), None)
    for role in _NEEDED:
        if chosen[role] is None and not (role == "correct_column" and options.regrade):
            raise DataError(
                f"{where}: has no column for the {role.split('_')[0]} ({' or '.join(_NAMES[role])}); "
                f"found {', '.join(map(str, row))}",
                hint=f"name it with --{role.replace('_', '-')}",
            )
    return chosen


def _number(value: Any, where: str, column: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: `{column}` must be a number; found {str(value)[:60]!r}") from error


def _whole(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _matches(row: Row) -> bool:
    return all(any(name in row for name in _NAMES[role]) for role in _NEEDED)


FORMAT = Format(
    "plain",
    "problem_id or problem or question or prompt, with correct or is_correct",
    _matches,
    no_files,
    _read,
    frozenset({*_NAMES, "threshold"}),
)
