"""The rows of ``samples.jsonl``: their schema, their text, and how they are read without trust."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from unsharpen.errors import DataError
from unsharpen.evaluation.formats.common import LogProbs, as_whole

Row = dict[str, Any]

_LINE_ENDS: Final = "\x85\u2028\u2029"
"""Line ends for str.splitlines and some editors, which JSON does not escape by itself."""

_NULL: Final = type(None)
SCHEMA: Final[dict[str, tuple[type, ...]]] = {
    "task": (str,),
    "problem_id": (str,),
    "sample_id": (int,),
    "model": (str,),
    "completion": (str,),
    "finish_reason": (str,),
    "num_tokens": (int, _NULL),
    "logprob": (float, int, _NULL),
    "correct": (bool,),
    "reason": (str,),
    "canonical": (str, _NULL),
    "seed": (int,),
}
"""Column -> types of its JSON value, in the order in which they are written."""


def to_line(row: Row) -> bytes:
    """One line of UTF-8 with its newline, a single line by every definition.

    Numbers that JSON can't hold become null, and a half of a surrogate pair, which UTF-8 can't hold, becomes U+FFFD.
    """
    logprob = row["logprob"]
    if logprob is not None and not math.isfinite(logprob):
        row = {**row, "logprob": None}
    text = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    for mark in _LINE_ENDS:
        if mark in text:
            text = text.replace(mark, f"\\u{ord(mark):04x}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def check_row(row: Any, where: str) -> Row:
    """The row itself, if it has the schema; else a DataError that begins with ``where``."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object; found {type(row).__name__}")
    if row.keys() != SCHEMA.keys():
        missing, extra = [k for k in SCHEMA if k not in row], [k for k in row if k not in SCHEMA]
        raise DataError(f"{where}: needs the keys {', '.join(SCHEMA)}; lacks {missing}, has also {extra}")
    for key, types in SCHEMA.items():
        if type(row[key]) not in types:
            wanted = " or ".join("null" if t is _NULL else t.__name__ for t in types)
            raise DataError(f"{where}: {key} must be {wanted}; found {str(row[key])[:60]!r}")
    if row["sample_id"] < 0:
        raise DataError(f"{where}: sample_id must be at least 0; found {row['sample_id']}")
    as_whole(row["num_tokens"], where, "num_tokens")
    return row


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number from 1, offset, line) of every line; the last one may lack its newline."""
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield number, offset, line
            offset += len(line)


def parse_line(line: bytes, where: str) -> Row:
    """The row of a line, an infinite log-prob as unknown; a DataError where it is not UTF-8, JSON or of the schema."""
    try:
        row = check_row(json.loads(line.decode()), where)
        row["logprob"] = LogProbs()(row["logprob"], where)
        return row
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: expected UTF-8; byte {error.start} is {line[error.start]:#04x}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: expected a JSON object; {error}") from None


class RowChecker:
    """Checks row after row of one file: one task, one model, and no (problem_id, sample_id) twice.

    Attributes:
        known: problem id -> sample ids seen so far.
        task: the task of all rows; None before the first.
        model: the model of all rows; None before the first.
    """

    def __init__(self, *, task: str | None = None, model: str | None = None) -> None:
        self.task = task
        self.model = model
        self.known: dict[str, set[int]] = {}

    def add(self, row: Row, where: str) -> None:
        """Take note of a row, or raise a DataError that begins with ``where``."""
        for name in ("task", "model"):
            before = getattr(self, name)
            if before is None:
                setattr(self, name, row[name])
            elif row[name] != before:
                raise DataError(
                    f"{where}: all samples of a file must have one {name}, here {before!r}; found {row[name]!r}",
                    hint="one evaluation, one folder; split the file",
                )
        ids = self.known.setdefault(row["problem_id"], set())
        if row["sample_id"] in ids:
            raise DataError(f"{where}: sample {row['sample_id']} of problem {row['problem_id']!r} is there already")
        ids.add(row["sample_id"])
