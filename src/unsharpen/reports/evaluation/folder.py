"""Evaluation folders: samples.jsonl, problems.jsonl and settings.json, as ``unsharpen eval`` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError
from unsharpen.metrics import SampleTable

_SAMPLE_KEYS = {"problem_id": str, "sample_id": int, "correct": bool}


def is_evaluation(path: Path) -> bool:
    """Whether the folder holds samples."""
    return (path / "samples.jsonl").is_file()


def read_evaluation(path: str | Path) -> SampleTable:
    """Read an evaluation folder.

    A torn last line of samples.jsonl, as a killed evaluation leaves it, is left out and named in the settings of the
    table; anything else that is malformed is an error.

    Args:
        path: folder with samples.jsonl and, if they are there, problems.jsonl and settings.json.

    Returns:
        SampleTable, labelled with the model of the settings or the folder's name.

    Raises:
        DataError: no samples, a malformed line, or a sample that comes twice.
    """
    folder = Path(path)
    if not is_evaluation(folder):
        raise DataError(f"an evaluation folder holds samples.jsonl; {folder} has none")
    settings = _object(folder / "settings.json")
    problems = {str(row["problem_id"]): row for row in _rows(folder / "problems.jsonl", {"problem_id": str}, [])}
    notes: list[str] = []
    seen: set[tuple[str, int]] = set()
    rows = []
    for row in _rows(folder / "samples.jsonl", _SAMPLE_KEYS, notes):
        sample = (row["problem_id"], row["sample_id"])
        if sample in seen:
            raise DataError(f"{folder / 'samples.jsonl'}: sample {sample[1]} of problem {sample[0]!r} comes twice")
        seen.add(sample)
        rows.append(row)
    if not rows:
        raise DataError(f"{folder / 'samples.jsonl'} must hold at least one sample; found none")
    if notes:
        settings["repaired"] = "; ".join(notes)
    label = str(settings.get("label") or settings.get("model") or folder.resolve().name)
    return SampleTable.from_rows(rows, label=label, problems=problems, settings=settings)


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} must be a JSON object; found {type(value).__name__}")
    return value


def _rows(path: Path, keys: Mapping[str, type], notes: list[str]) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, checked for `keys`; a torn last line is left out and noted."""
    if not path.is_file():
        return
    torn: tuple[int, str] | None = None
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if torn is not None:
                    raise DataError(f"{path}, line {torn[0]}: {torn[1]}")
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:
                    torn = (number, f"not JSON: {error}")
                    continue
                _check(row, keys, f"{path}, line {number}")
                yield row
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a readable UTF-8 file: {error}") from error
    if torn is not None:
        notes.append(f"{path.name}: the torn last line ({torn[0]}) was left out")


def _check(row: Any, keys: Mapping[str, type], where: str) -> None:
    if not isinstance(row, dict):
        raise DataError(f"{where}: must be an object; found {type(row).__name__}")
    for key, kind in keys.items():
        value = row.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DataError(f"{where}: {key} must be {kind.__name__}; found {value!r}")
    for key in ("completion", "reason", "canonical", "text"):
        if not isinstance(row.get(key), str | None):
            raise DataError(f"{where}: {key} must be text or null; found {type(row[key]).__name__}")
    for key in ("logprob", "num_tokens", "multiplicity"):
        if not isinstance(row.get(key), int | float | None):
            raise DataError(f"{where}: {key} must be a number or null; found {type(row[key]).__name__}")
