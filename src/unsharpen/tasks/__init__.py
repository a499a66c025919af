"""Tasks: problems, prompts and verdicts."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from unsharpen.errors import UnknownNameError
from unsharpen.tasks.base import Prompt, Task, Verdict, verify_many
from unsharpen.tasks.countdown import CountDown, CountDownProblem
from unsharpen.tasks.decontamination import Decontamination, decontaminate
from unsharpen.tasks.math import MathProblem, MathTask
from unsharpen.tasks.sets import SETS


def task_names() -> tuple[str, ...]:
    """The names that ``get_task`` knows."""
    return (CountDown.name, "math", *SETS)


def get_task(name: str, **options: Any) -> Task[Any]:
    """The task of a name.

    Args:
        name: "countdown"; "math" for any maths problems; or a named set of maths problems: "math500", "aime24",
            "aime25", "amc23", "olympiadbench", "minerva" or "gsm8k". ``load`` of a named set needs no source.
        options: keyword arguments of the task.

    Raises:
        UnknownNameError: there is no such task.

    >>> get_task("countdown", answer_format="boxed").name
    'countdown'
    >>> get_task("aime24").source
    'aime24'
    """
    names = task_names()
    if name not in names:
        close = get_close_matches(str(name), names, n=1)
        raise UnknownNameError(
            f"task must be one of {', '.join(names)}; found '{name}'",
            hint=f"did you mean '{close[0]}'?" if close else None,
        )
    return CountDown(**options) if name == CountDown.name else MathTask(name=name, **options)


__all__ = [
    "SETS",
    "CountDown",
    "CountDownProblem",
    "Decontamination",
    "MathProblem",
    "MathTask",
    "Prompt",
    "Task",
    "Verdict",
    "decontaminate",
    "get_task",
    "task_names",
    "verify_many",
]
