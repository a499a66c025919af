"""Rows of JSONL, JSON, CSV and Parquet files, with their place in the file; a torn last line is noted, not fatal."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError
from unsharpen.tasks import hub

ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
_CSV_FIELD_CHARS = 1 << 30


def read_rows(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of each row of a file.

    Args:
        path: .jsonl, .json (a list of objects), .csv or .parquet.
        notes: gains a line where a half-written last line of a JSONL file is left out.

    Raises:
        DataError: another ending, not UTF-8, a malformed row (named), or no row.
    """
    if path.suffix.lower() == ".jsonl":
        yield from _jsonl(path, notes)
        return
    before = csv.field_size_limit(_CSV_FIELD_CHARS)  # the module's default refuses answers beyond 131,072 characters
    try:
        for number, row in hub.read_rows(str(path), columns=()):
            yield f"{path}, row {number}", row
    finally:
        csv.field_size_limit(before)


def _jsonl(path: Path, notes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if not line.strip():
                    continue
                where = f"{path}, line {number}"
                row = _parse(line, where, notes)
                if row is not None:
                    yield where, row
    except OSError as error:
        raise DataError(f"{path} can't be read; {error}") from error
    if not number:
        raise DataError(f"{path}: expected at least 1 row; the file is empty")


def _parse(line: bytes, where: str, notes: list[str]) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        if not line.endswith(b"\n"):
            notes.append(f"{where}: the last line is half-written ({len(line)} bytes) and left out")
            return None
        wanted = "UTF-8" if isinstance(error, UnicodeDecodeError) else "a JSON object"
        raise DataError(f"{where}: expected {wanted}; {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object with columns; found {type(row).__name__}")
    return row
