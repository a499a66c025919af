"""Which problems an evaluation asks, and what is noted of them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from unsharpen import tasks
from unsharpen.errors import InputError, UnsharpenWarning
from unsharpen.evaluation.models import Model
from unsharpen.tasks import CountDown, CountDownProblem, get_task
from unsharpen.tasks.base import Prompt, Verdict
from unsharpen.tasks.countdown.standard import OPTIONS, POOL, TINY_OPTIONS, standard_pool

_NUM_GENERATED: Final = 128  # as in training
_MOST_COUNTED: Final = 5  # numbers of a problem; counting the solutions of 6 takes seconds


@dataclass(frozen=True)
class ProblemSet:
    """The problems of one evaluation.

    Attributes:
        task: asks and judges.
        problems: problem id -> problem, in order.
        source: where they come from.
        split: which part of it.
    """

    task: Any
    problems: Mapping[str, Any]
    source: str
    split: str

    def prompt(self, problem_id: str, *, chat: bool, system: str | None = None) -> Prompt:
        """The prompt of a problem; a system prompt needs a conversation."""
        prompt: Prompt = self.task.prompt(self.problems[problem_id], chat=chat)
        if system is None:
            return prompt
        if isinstance(prompt, str):
            raise InputError("a system prompt needs chat; found plain prompts", hint="--chat, or leave --system out")
        return [{"role": "system", "content": system}, *prompt]

    def judge(self, problem_ids: Sequence[str], completions: Sequence[str]) -> list[Verdict]:
        """The verdicts on completions, in parallel where the task can do so."""
        problems = [self.problems[problem_id] for problem_id in problem_ids]
        at_once = getattr(self.task, "verify_many", None)
        if at_once is not None:
            return list(at_once(problems, completions))
        return [self.task.verify(problem, text) for problem, text in zip(problems, completions, strict=True)]

    def rows(self) -> list[dict[str, Any]]:
        """What ``problems.jsonl`` holds."""
        return [{"problem_id": name, **self._describe(problem)} for name, problem in self.problems.items()]

    def _describe(self, problem: Any) -> dict[str, Any]:
        if isinstance(problem, CountDownProblem):
            counted = len(problem.nums) <= _MOST_COUNTED
            return {
                "text": f"Reach {problem.target} from {', '.join(map(str, problem.nums))}",
                "answer": str(problem.target),
                "multiplicity": len(self.task.solutions(problem)) if counted else None,
            }
        return {"text": problem.text, "answer": problem.answer, "multiplicity": None}


def load_problems(
    model: Model,
    task_name: str,
    *,
    data: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    problem_column: str | None = None,
    answer_column: str | None = None,
    answer_format: str | None = None,
) -> ProblemSet:
    """Read the problems, or generate CountDown's test problems as training does.

    Of problems with the same key the first is kept, and a warning says so.

    Args:
        model: decides the answer format and the generated problems where they are not given.
        task_name: as for ``get_task``.
        data: a file or a data set of the hub; None is the task's own.
        split: of a data set; None is ``"train"``, where most files and sets have their rows.
        limit: the first problems only; of the generated ones, 128 if None.
        problem_column: the column of the question, for a task that has one.
        answer_column: likewise, of the answer.
        answer_format: where completions have their answers.

    Raises:
        DataError: the data can't be read, or a row is bad.
        InputError: the task has no problems of its own, or an option does not fit it.
        UnknownNameError: there is no such task.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1; found {limit}")
    is_countdown = task_name == CountDown.name
    columns = {"problem_column": problem_column, "answer_column": answer_column}
    named = {key: value for key, value in columns.items() if value is not None}
    if is_countdown and named:
        raise InputError(f"the task countdown has the columns nums and target; found {', '.join(named)}")
    if is_countdown and answer_format is None:
        answer_format = model.answer_format or ("bare" if model.tiny else None)
    options = {**named, **({} if answer_format is None else {"answer_format": answer_format})}
    task: Any = get_task(task_name, **options)
    if data is None and split is not None:
        raise InputError(f"a split is for a data set; found {split!r} without one", hint="give --data")
    if data is None and is_countdown:
        return _generated(task, model, limit)
    source = data if data is not None else getattr(task, "source", None)
    if source is None:
        raise InputError(f"the task {task_name} has no problems of its own", hint="give a file or a hub id by --data")
    if data is not None:
        problems = task.load(data, limit=limit, split=split or "train")
        return ProblemSet(task, _by_key(problems), source, "all of it" if os.path.isfile(data) else split or "train")
    problems = task.load(limit=limit)
    return ProblemSet(task, _by_key(problems), source, getattr(tasks, "SETS", {})[source].split)


def _generated(task: CountDown, model: Model, limit: int | None) -> ProblemSet:
    count = limit or _NUM_GENERATED
    if count > POOL:
        raise InputError(f"limit must be at most {POOL} for generated problems; found {count}", hint="give --data")
    pool = standard_pool(**{**(TINY_OPTIONS if model.tiny else OPTIONS), **model.problems})
    return ProblemSet(task, _by_key(pool[:count]), "generated", "test")


def _by_key(problems: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for problem in problems:
        found.setdefault(problem.key, problem)
    if len(found) < len(problems):
        message = f"{len(problems) - len(found)} of {len(problems)} problems come a second time and are left out"
        warnings.warn(message, UnsharpenWarning, stacklevel=3)
    return found


def strip_thinking(text: str) -> str:
    """What follows the last ``</think>``; nothing of a thought that is opened and never closed.

    >>> strip_thinking("<think>7 or 8?</think>8")
    '8'
    """
    return text.rpartition("</think>")[2].partition("<think>")[0]
