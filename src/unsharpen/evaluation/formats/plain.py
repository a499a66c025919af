"""Any JSONL, JSON, CSV or Parquet file with a row per sample: problem, completion, correct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
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
    no_files,
)
from unsharpen.evaluation.formats.files import read_rows

_NAMES = {
    "problem_column": ("problem_id", "problem", "question", "prompt"),
    "completion_column": ("completion", "response", "output"),
    "correct_column": ("correct", "is_correct"),
    "answer_column": ("canonical", "answer", "extracted_answer"),
}
_NEEDED = ("problem_column", "correct_column")
_KEY, _EXTRACTED = "answer", "extracted_answer"
_TEXTS = ("problem", "question", "prompt")


def _read(files: Sequence[Path], options: Options) -> Import:
    found = Import(samples=iter(()))
    found.samples = _samples(files[0], options, found)
    return found


def _samples(path: Path, options: Options, found: Import) -> Iterator[dict[str, Any]]:
    columns: dict[str, str | None] | None = None
    logprob, whole = LogProbs(), WholeNumbers()
    for where, row in read_rows(path, found.notes):
        if columns is None:
            columns = _without_key(path, _columns(row, options, where), row, options, found.notes)
            found.settings["columns"] = {name: column for name, column in columns.items() if column}
        missing = [column for column in columns.values() if column is not None and column not in row]
        if missing:
            raise DataError(f"{where}: lacks the columns {', '.join(missing)}, which the first row has")
        problem, completion, correct, answer = (row[c] if c is not None else None for c in columns.values())
        name = as_problem(problem, where, str(columns["problem_column"]))
        text = next((str(row[column]) for column in _TEXTS if isinstance(row.get(column), str)), None)
        number = whole(row.get("multiplicity"), where, "multiplicity")
        found.problems.setdefault(name, {"text": text, "multiplicity": number})
        if found.label is None and isinstance(row.get("model"), str):
            found.label = row["model"]
        yield {
            "problem_id": name,
            "correct": as_correct(correct, where, str(columns["correct_column"]), options),
            "completion": None if completion is None else str(completion),
            "canonical": None if answer is None or answer == "" else str(answer),
            "reason": None if row.get("reason") is None else str(row["reason"]),
            "logprob": logprob(row.get("logprob"), where),
            "num_tokens": whole(row.get("num_tokens"), where, "num_tokens"),
            "sample_id": row.get("sample_id"),
            "task": row.get("task"),
            "where": where,
            "fields": row,
        }
    logprob.note(found.notes)
    whole.note(found.notes)


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


def _without_key(
    path: Path, columns: dict[str, str | None], row: Row, options: Options, notes: list[str]
) -> dict[str, str | None]:
    """The columns, without `answer` where it holds the key of each problem and was not asked for by name."""
    named = options.answer_column is not None or options.regrade
    if columns["answer_column"] != _KEY or named or not _is_key(path, columns, options):
        return columns
    notes.append(
        f"`{_KEY}` is the same for all samples of each problem, right and wrong: it is taken as the key, not as their "
        f"answer (--answer-column {_KEY} takes it as theirs)"
    )
    return {**columns, "answer_column": _EXTRACTED if _EXTRACTED in row else None}


def _is_key(path: Path, columns: Mapping[str, str | None], options: Options) -> bool:
    """Whether no problem has two answers, and some answer is both right and wrong, which no sample's own can be."""
    known: dict[str, tuple[str, set[bool]]] = {}
    for where, row in read_rows(path, []):
        problem, _, correct, answer = (row.get(column) if column is not None else None for column in columns.values())
        text = "" if answer is None else str(answer)
        first, verdicts = known.setdefault(str(problem), (text, set()))
        if text != first or str(columns["correct_column"]) not in row:
            return False
        verdicts.add(as_correct(correct, where, str(columns["correct_column"]), options))
    return any(text and len(verdicts) == 2 for text, verdicts in known.values())


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
