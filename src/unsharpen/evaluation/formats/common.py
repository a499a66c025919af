"""What the formats share: options, rows with their place in the file, and values that a verdict can have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError

Row = Mapping[str, Any]

LARGEST = 10**12
"""Bound of whole numbers, such as tokens of a completion: sums over millions of rows must fit 64 bits."""

_SHOWN = 8  # folders named in an error
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


def as_problem(value: Any, where: str, column: str) -> str:
    """What tells a problem apart; DataError where it is missing: such rows would all be one problem."""
    if value is None or value == "" or value != value:  # NaN is how some tools write nothing
        raise DataError(f"{where}: `{column}` must name the problem; found {value!r}")
    return str(value)


def as_whole(value: Any, where: str, column: str) -> int | None:
    """A whole number from 0 on; None where it is unknown; DataError where it is anything else.

    >>> as_whole("12", "row 1", "num_tokens"), as_whole(3.0, "row 1", "num_tokens"), as_whole("", "row 1", "num_tokens")
    (12, 3, None)
    """
    if value is None or value == "":
        return None
    number = _number(value)
    if number is not None and math.isnan(number):
        return None
    if number is None or not 0 <= number <= LARGEST or number % 1:
        raise DataError(f"{where}: `{column}` must be a whole number from 0 to {LARGEST:,}; found {_shown(value)}")
    return int(number)


def one_model(folders: Iterable[Path]) -> None:
    """DataError where files lie in several folders, which may be of several models, whatever the folders' names are.

    They would come to one table as more samples.
    """
    found = sorted(set(folders))
    if len(found) > 1:
        more = f" and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
        raise DataError(
            f"the files of one run folder at a time; found samples in the folders "
            f"{', '.join(map(str, found[:_SHOWN]))}{more}",
            hint=f"name one: {found[0]} (the files of more runs of one model belong in one folder)",
        )


def _number(value: Any) -> float | None:
    """The value as a float; None where it is no number, or an integer beyond all floats."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _shown(value: Any) -> str:
    return repr(str(value)[:60])


class LogProbs:
    """The log-probs of a file; None where one is unknown, which NaN and an infinite one are too.

    >>> read, notes = LogProbs(), []
    >>> read("-1.5", "row 1"), read(None, "row 2"), read(float("-inf"), "row 3")
    (-1.5, None, None)
    >>> read.note(notes)
    >>> notes
    ['infinite log-probs, taken as unknown: 1']
    """

    def __init__(self) -> None:
        self._infinite = 0

    def __call__(self, value: Any, where: str) -> float | None:
        if value is None or value == "":
            return None
        number = _number(value)
        if number is None:
            wanted = "a number that a float can hold" if type(value) is int else "a number"
            raise DataError(f"{where}: `logprob` must be {wanted}; found {_shown(value)}")
        self._infinite += math.isinf(number)
        return number if math.isfinite(number) else None

    def note(self, notes: list[str]) -> None:
        """Say how many were infinite."""
        if self._infinite:
            notes.append(f"infinite log-probs, taken as unknown: {self._infinite}")


class WholeNumbers:
    """The whole numbers of a file's optional columns; None where one is unknown, as whatever else stands there is.

    Only numbers beyond ``LARGEST`` are an error.

    >>> read, notes = WholeNumbers(), []
    >>> [read(value, "row 1", "num_tokens") for value in ("12", 3.0, "", -1, "n/a", 12.5)]
    [12, 3, None, None, None, None]
    >>> read.note(notes)
    >>> notes
    ['`num_tokens` that are no whole number from 0 on, taken as unknown: 3']
    """

    def __init__(self) -> None:
        self._others: dict[str, int] = {}

    def __call__(self, value: Any, where: str, column: str) -> int | None:
        if value is None or value == "":
            return None
        number = _number(max(-1, min(value, 2 * LARGEST)) if type(value) is int else value)  # no float holds them all
        if number is not None and math.isnan(number):
            return None
        if number is None or number < 0 or number % 1 or math.isinf(number):
            self._others[column] = self._others.get(column, 0) + 1
            return None
        return as_whole(value, where, column)

    def note(self, notes: list[str]) -> None:
        """Say how many of each column were something else."""
        for column, count in self._others.items():
            notes.append(f"`{column}` that are no whole number from 0 on, taken as unknown: {count}")


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
