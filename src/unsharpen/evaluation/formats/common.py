"""What the formats share: options, rows with their place in the file, and values that a verdict can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError

Row = Mapping[str, Any]

_TRUE, _FALSE = {"true", "yes", "1", "1.0"}, {"false", "no", "0", "0.0"}


@dataclass(frozen=True)
class Options:
    """What a caller may say about a file; None means not said. With `regrade` the file's verdicts don't matter."""

    metric: str | None = None
    filter: str | None = None
    threshold: float | None = None
    problem_column: str | None = None
    completion_column: str | None = None
    correct_column: str | None = None
    answer_column: str | None = None
    regrade: bool | None = None


@dataclass
class Import:
    """What a format reads out of a source.

    `samples` yields rows as `SampleTable.from_rows` takes them, plus ``where`` (the place in the file, for messages),
    ``sample_id`` and ``task`` where known, and ``fields`` (the row's own, for grading anew). `notes`, `problems` and
    `settings` may still grow while the samples are read.
    """

    samples: Iterator[dict[str, Any]]
    problems: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    label: str | None = None


@dataclass(frozen=True)
class Format:
    """A format: how a first row shows it, and how it is read.

    Args:
        name: for ``--format``.
        looks_for: columns that show it, in words.
        matches: whether a first row has them.
        find: the files of a folder that are of this format.
        read: reads files.
        uses: the options that it takes.
    """

    name: str
    looks_for: str
    matches: Callable[[Row], bool]
    find: Callable[[Path], list[Path]]
    read: Callable[[Sequence[Path], Options], Import]
    uses: frozenset[str]


def has(row: Row, *names: str) -> bool:
    """Whether a row has all these columns."""
    return all(name in row for name in names)


def as_correct(value: Any, where: str, column: str, options: Options) -> bool:
    """A verdict: true or false, 0 or 1, or with a threshold a number that reaches it; False where it will be renewed.

    >>> as_correct("True", "row 1", "correct", Options()), as_correct(0.7, "row 1", "score", Options(threshold=0.5))
    (True, True)
    """
    if isinstance(value, bool) or options.regrade:
        return value is True
    threshold = options.threshold
    if threshold is None:
        text = str(value).strip().lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    else:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isnan(number):
            return number >= threshold
    wanted = "true, false, 0 or 1" if threshold is None else "a number"
    raise DataError(
        f"{where}: `{column}` must be {wanted}; found {str(value)[:60]!r}",
        hint="for a score, say from which value on it is correct: --threshold 0.5" if threshold is None else None,
    )


def as_text(value: Any, where: str, column: str) -> str:
    """The text of a completion; DataError where it is none."""
    if isinstance(value, str):
        return value
    raise DataError(f"{where}: `{column}` must be text; found {str(value)[:60]!r} ({type(value).__name__})")


class AnswerNames:
    """Names of extracted answers where a problem has one answer: all correct ones are the first correct one's text.

    >>> names = AnswerNames("[invalid]")
    >>> [
    ...     names("p", answer, right)
    ...     for answer, right in [("3", True), (" 3.0", True), ("4 ", False), ("[invalid]", False)]
    ... ]
    ['3', '3', '4', None]
    """

    def __init__(self, none: str) -> None:
        self._none = none
        self._first: dict[str, str] = {}

    def __call__(self, problem: str, answer: Any, right: bool) -> str | None:
        text = answer.strip() if isinstance(answer, str) else ""
        if text in ("", self._none):
            return None
        return self._first.setdefault(problem, text) if right else text


def no_files(folder: Path) -> list[Path]:
    """For formats that are no folders."""
    return []
