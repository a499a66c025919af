"""Maths problems from files and the hub: the named sets of published results, and any set with two columns."""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unsharpen.errors import DataError, InputError, UnsharpenWarning
from unsharpen.tasks import hub
from unsharpen.tasks.math.answers import last_boxed
from unsharpen.tasks.math.problem import MathProblem


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold the question and the gold answer; a dot goes into nested columns."""

    problem: str
    answer: str


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A public set as published results use it.

    Attributes:
        hub_id: ``owner/name`` on the hub.
        split: its split.
        columns: its columns.
        counts: the numbers of problems that copies of the set are known to have.
        subset: the hub's name of the configuration, where there are several.
    """

    hub_id: str
    split: str
    columns: Columns
    counts: tuple[int, ...]
    subset: str | None = None


SETS: Final[dict[str, NamedSet]] = {
    "math500": NamedSet("HuggingFaceH4/MATH-500", "test", Columns("problem", "answer"), (500,)),
    "aime24": NamedSet("HuggingFaceH4/aime_2024", "train", Columns("problem", "answer"), (30,)),
    "aime25": NamedSet("math-ai/aime25", "test", Columns("problem", "answer"), (30,)),
    # the AMC 12 problems of 2023 with an integer answer; the 83 problems of another bundle are those of 2022 and 2023
    "amc23": NamedSet("math-ai/amc23", "test", Columns("question", "answer"), (40,)),
    # the text-only English competition problems; copies differ by one problem
    "olympiadbench": NamedSet("math-ai/olympiadbench", "test", Columns("question", "final_answer"), (674, 675)),
    "minerva": NamedSet("math-ai/minervamath", "test", Columns("question", "answer"), (272,)),
    "gsm8k": NamedSet("openai/gsm8k", "test", Columns("question", "answer"), (1319,), "main"),
}
"""The named sets, by the names that ``get_task`` and the command line know."""

PROBLEM_COLUMNS: Final = ("problem", "question", "Problem", "Question", "prompt")
ANSWER_COLUMNS: Final = (
    *("answer", "Answer", "final_answer", "expected_answer", "reward_model.ground_truth", "solution"),
)
"""Where the answer is looked for when no column is named. Of a worked solution, the last box or ``####`` counts."""

_GSM8K_MARK: Final = "####"
_SOLUTION: Final = "solution"
_WORD: Final = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}")
_MOST_WORDS: Final = 8
"""Of an answer in a column `solution`; with more it is a worked solution."""
_MAX_NESTED: Final = 8


def load_problems(
    source: str,
    *,
    like: str | None = None,
    limit: int | None = None,
    split: str = "train",
    problem_column: str | None = None,
    answer_column: str | None = None,
    fallback: bool = False,
) -> list[MathProblem]:
    """Load problems; all of them, or an error.

    Of problems with the same text the first is kept; a warning says how many were left out, and a warning says where a
    named set has another number of problems than it should.

    Args:
        source: one of ``SETS``, or a file or data set of the hub as in ``hub.read_rows``.
        like: the named set whose columns another source has, where it has them.
        limit: keep the first problems only.
        split: the split of a hub data set that names none.
        problem_column: the column of the question; None takes the first of ``PROBLEM_COLUMNS`` that there is.
        answer_column: the column of the answer; None takes the first of ``ANSWER_COLUMNS`` that there is.
        fallback: look for the usual columns where those two are missing. A named set always has its own.

    Raises:
        DataError: the source can't be read, has no rows or lacks a column, or a row has no usable question or answer;
            names the row.
        InputError: the limit is below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1 or None; found {limit}")
    named = SETS.get(source) if not os.path.isfile(source) else None
    names: list[tuple[str, ...]]
    if named is not None:
        rows = hub.read_rows(named.hub_id, columns=(), split=named.split, subset=named.subset)
        names = [(named.columns.problem,), (named.columns.answer,)]
    else:
        rows = hub.read_rows(source, columns=(), split=split, limit=limit)
        own = (SETS[like].columns.problem, SETS[like].columns.answer) if like is not None else (None, None)
        names = [
            _candidates(problem_column, own[0], PROBLEM_COLUMNS, fallback),
            _candidates(answer_column, own[1], ANSWER_COLUMNS, fallback),
        ]
    columns: Columns | None = None
    problems = []
    for number, row in rows:
        try:
            if columns is None:
                columns = Columns(_present(row, names[0], "problem"), _present(row, names[1], "answer"))
            problems.append(problem_from_row(row, columns))
        except InputError as error:
            raise DataError(f"{source}, row {number}: {error.message}", hint=error.hint) from None
    if named is not None and len(problems) not in named.counts:
        expected = " or ".join(map(str, named.counts))
        _warn(f"{source} should have {expected} problems; {named.hub_id} has {len(problems)}: compare with care")
    return _distinct(problems, source)[:limit]


def problem_from_row(row: Mapping[str, Any], columns: Columns) -> MathProblem:
    """The problem of a row, with its ``source`` and ``level`` where it has such columns.

    Raises:
        DataError: a column is missing or holds no text, or a worked solution doesn't say what its answer is.
        InputError: the question or the answer is empty or too long.
    """
    text = _question(_value(row, columns.problem), columns.problem)
    answer = _plain(_value(row, columns.answer), columns.answer)
    more = {name: str(row[name]) for name in ("source", "level") if isinstance(row.get(name), str | int)}
    return MathProblem(text, answer, **more)


def _candidates(given: str | None, own: str | None, usual: tuple[str, ...], fallback: bool) -> tuple[str, ...]:
    """Where to look for a column, in order."""
    if given is not None and not fallback:
        return (given,)
    return (*filter(None, (given, own)), *usual)


def _present(row: Mapping[str, Any], candidates: tuple[str, ...], what: str) -> str:
    for name in candidates:
        if _has(row, name):
            return name
    raise DataError(
        f"needs the {what} in a column {' or '.join(dict.fromkeys(candidates))}; found {', '.join(map(str, row))}",
        hint=f"say which: --{what}-column, or {what}_column in Python" if len(candidates) > 1 else None,
    )


def _has(row: Mapping[str, Any], column: str) -> bool:
    try:
        _value(row, column)
    except DataError:
        return False
    return True


def _value(row: Mapping[str, Any], column: str) -> Any:
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise DataError(f"needs the column {column}; found {', '.join(map(str, row)) or 'none'}")
        value = value[part]
    return value


def _question(value: Any, column: str) -> str:
    """Text, or what the user says last in a conversation."""
    if isinstance(value, list) and value and all(isinstance(message, Mapping) for message in value):
        said = [message.get("content") for message in value if message.get("role") == "user"]
        value = said[-1] if said else None
    if not isinstance(value, str):
        raise DataError(f"the column {column} must hold text or a conversation; found {type(value).__name__}")
    return value.strip()


def _plain(value: Any, column: str, depth: int = 0) -> str:
    """Text, a number as text, or the members of a list with commas between them; of worked solutions the answers."""
    if depth > _MAX_NESTED:
        found = f"lists in lists, over {_MAX_NESTED} deep"
        raise DataError(f"the column {column} must hold text or a number; found {found}")
    if isinstance(value, list | tuple) and value:
        return ", ".join(_plain(member, column, depth + 1) for member in value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str) or type(value) is int:
        return _final_answer(str(value).strip(), column)
    raise DataError(f"the column {column} must hold text or a number; found {value!r:.60}")


def _final_answer(text: str, column: str) -> str:
    """Of a worked solution the last box, or what follows the last ``####``; else the text, if it isn't a solution."""
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    if _GSM8K_MARK in text:
        return text.rpartition(_GSM8K_MARK)[2].strip()
    if column.rpartition(".")[2] == _SOLUTION and len(_WORD.findall(text)) > _MOST_WORDS:
        raise DataError(
            f"a worked solution must give its answer in \\boxed{{}} or after {_GSM8K_MARK}; "
            f"the column {column} holds {text!r:.60}",
            hint="name the column of the final answers, or rename this one to answer if it holds them",
        )
    return text


def _distinct(problems: Iterable[MathProblem], source: str) -> list[MathProblem]:
    first: dict[str, MathProblem] = {}
    repeated = contradicting = 0
    for problem in problems:
        kept = first.setdefault(problem.key, problem)
        repeated += kept is not problem
        contradicting += kept.answer != problem.answer
    if repeated:
        _warn(
            f"{source}: {repeated} problems repeat an earlier one and are left out; {contradicting} of them give "
            "another answer"
        )
    return list(first.values())


def _warn(message: str) -> None:
    warnings.warn(message, UnsharpenWarning, stacklevel=4)
