"""What a task is: problems, prompts and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Prompt = str | list[dict[str, str]]
"""A plain prompt, or a conversation for a chat template."""

ProblemT = TypeVar("ProblemT")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one completion.

    Attributes:
        correct: whether the completion solves the problem.
        reason: a fixed word for the outcome (``"correct"``, ``"wrong_value"``, ...); each task lists its own.
        canonical: the identity of the solution, equal for completions that are the same solution in other
            words. None where the completion has no readable answer.
        detail: one line for a person; never needed by code.
    """

    correct: bool
    reason: str
    canonical: str | None = None
    detail: str = ""


class Task(Protocol[ProblemT]):
    """A family of problems with a verifier. Problems are frozen dataclasses; a ``key`` tells them apart.

    ``source`` is what ``load`` reads when no source is given; None where it needs one.
    """

    name: str

    @property
    def source(self) -> str | None: ...

    def prompt(self, problem: ProblemT, *, chat: bool = False) -> Prompt: ...

    def verify(self, problem: ProblemT, completion: str) -> Verdict: ...

    def load(self, source: str, *, limit: int | None = None) -> Sequence[ProblemT]: ...

    def to_row(self, problem: ProblemT) -> Mapping[str, Any]: ...

    def from_row(self, row: Mapping[str, Any]) -> ProblemT: ...


def verify_many(task: Task[ProblemT], problems: Sequence[ProblemT], completions: Sequence[str]) -> list[Verdict]:
    """The verdicts on completions, in order; in parallel where the task can do so.

    Args:
        task: the task; one with a method ``verify_many`` judges all at once.
        problems: the problem of each completion.
        completions: as many texts.
    """
    at_once: Any = getattr(task, "verify_many", None)
    if at_once is not None:
        return list(at_once(problems, completions))
    return [task.verify(problem, text) for problem, text in zip(problems, completions, strict=True)]
