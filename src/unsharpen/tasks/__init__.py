"""Tasks: problems, prompts and verdicts."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from unsharpen.errors import UnknownNameError
from unsharpen.tasks.base import Prompt, Task, Verdict
from unsharpen.tasks.countdown import CountDown, CountDownProblem

_TASKS: dict[str, type[Any]] = {CountDown.name: CountDown}


def get_task(name: str, **options: Any) -> Task[Any]:
    """The task of a name.

    Args:
        name: "countdown".
        options: keyword arguments of the task.

    Raises:
        UnknownNameError: there is no such task.

    >>> get_task("countdown", answer_format="boxed").name
    'countdown'
    """
    if name not in _TASKS:
        close = get_close_matches(str(name), _TASKS, n=1)
        raise UnknownNameError(
            f"task must be one of {', '.join(_TASKS)}; found '{name}'",
            hint=f"did you mean '{close[0]}'?" if close else None,
        )
    task: Task[Any] = _TASKS[name](**options)
    return task


__all__ = ["CountDown", "CountDownProblem", "Prompt", "Task", "Verdict", "get_task"]
