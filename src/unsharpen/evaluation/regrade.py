"""Grade imported samples anew with a task of this package: own verdicts, and the identity of each solution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unsharpen.errors import DataError, UnknownNameError
from unsharpen.evaluation.formats.common import Import
from unsharpen.tasks import CountDown, CountDownProblem
from unsharpen.tasks.countdown.task import AnswerFormat

_MAX_COUNTED = 5  # numbers; counting the solutions of 6 takes seconds a problem
_OUTER, _INNER = ("gts", "ground_truth", "reward_model", "doc", "__doc__", "specifics"), ("ground_truth", "specific")


def graded_anew(found: Import, task: str, answer_format: AnswerFormat = "tags") -> Iterator[dict[str, Any]]:
    """The samples of an import with the verdicts of a task.

    Problems are told apart by what the task says is one problem (for CountDown the numbers and the target), whatever
    the file calls them. Texts, log-probs and lengths stay.

    Args:
        found: the import; its problems are replaced while the samples are read.
        task: "countdown".
        answer_format: where a completion has its answer, as in `CountDown`.

    Raises:
        UnknownNameError: another task.
        DataError: a row without a completion, or without numbers and target (in columns nums or numbers and target, in
            a ground truth, or as a problem id such as 3,5,8=24).
    """
    if task != CountDown.name:
        raise UnknownNameError(
            f"samples can be graded anew for the task countdown; found {task!r}",
            hint="a folder of `unsharpen eval`, of any task: unsharpen regrade FOLDER",
        )
    found.notes.append(f"graded anew with the task {task}, answer format {answer_format}")
    return _graded(found, CountDown(answer_format=answer_format))


def _graded(found: Import, task: CountDown) -> Iterator[dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    for row in found.samples:
        if row.get("completion") is None:
            raise DataError(f"{row['where']}: has no completion of its own that could be graded anew")
        problem = _problem(row, task)
        if problem.key not in known:
            known[problem.key] = _about(problem, task)
        verdict = task.verify(problem, row["completion"])
        graded = {"correct": verdict.correct, "canonical": verdict.canonical, "reason": verdict.reason}
        yield row | graded | {"problem_id": problem.key}
    found.problems.clear()  # the file's own
    found.problems.update(known)


def _problem(row: Mapping[str, Any], task: CountDown) -> CountDownProblem:
    fields = row["fields"]
    truths = [fields, *(fields[name] for name in _OUTER if isinstance(fields.get(name), Mapping))]
    truths += [truth[name] for truth in truths[1:] for name in _INNER if isinstance(truth.get(name), Mapping)]
    for truth in truths:
        numbers = truth.get("nums", truth.get("numbers"))
        if numbers is not None and "target" in truth:
            return _checked(numbers, truth["target"], row, task)
    numbers, equals, target = str(row["problem_id"]).partition("=")
    if not equals:
        raise DataError(
            f"{row['where']}: CountDown needs the numbers and the target; found the columns "
            f"{', '.join(map(str, fields)) or 'none'}",
            hint="columns nums (or numbers) and target, or a problem id such as 3,5,8=24",
        )
    return _checked(numbers, target, row, task)


def _checked(numbers: Any, target: Any, row: Mapping[str, Any], task: CountDown) -> CountDownProblem:
    try:
        return task.from_row({"nums": numbers, "target": target})
    except DataError as error:
        raise DataError(f"{row['where']}: {error.message}") from None


def _about(problem: CountDownProblem, task: CountDown) -> dict[str, Any]:
    counted = len(task.solutions(problem)) if len(problem.nums) <= _MAX_COUNTED else None
    return {"text": problem.key, "multiplicity": counted}
