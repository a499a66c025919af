"""The maths task: prompts, answers and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from unsharpen.errors import InputError
from unsharpen.tasks import sets
from unsharpen.tasks.base import Prompt, Verdict
from unsharpen.tasks.math.answers import MAX_ANSWER_CHARS, last_boxed
from unsharpen.tasks.math.notation import decide, is_integer, normalise_answer
from unsharpen.tasks.math.pool import Grade, GraderPool, Job, shared_pool
from unsharpen.tasks.math.problem import MathProblem
from unsharpen.tasks.math.units import units_differ, without_units

MathAnswerFormat = Literal["boxed", "bare"]

CORRECT: Final = "correct"
WRONG_ANSWER: Final = "wrong_answer"
NO_ANSWER: Final = "no_answer"
MALFORMED: Final = "malformed"  # neither the gold answer's text nor mathematics
TOO_LONG: Final = "too_long"
TIMEOUT: Final = "timeout"
GRADER_CRASH: Final = "grader_crash"
REASONS: Final = (CORRECT, WRONG_ANSWER, NO_ANSWER, MALFORMED, TOO_LONG, TIMEOUT, GRADER_CRASH)
"""All reasons of a verdict."""

MAX_COMPLETION_CHARS: Final = 1_000_000
MAX_CACHED: Final = 100_000

_INSTRUCTION: Final = "Please reason step by step, and put your final answer within \\boxed{}."
_NO_ANSWER: Final = Verdict(False, NO_ANSWER)


class MathTask:
    r"""Questions with a final answer that math-verify compares to the gold answer.

    Answers that differ from the gold answer in more than spacing are graded in worker processes, each within a limit
    of time and memory; plain integers and equal texts need none.

    Args:
        name: the task's name, as results show it.
        answer_format: where a completion has its answer. "boxed": in the last complete ``\boxed{...}``. "bare": the
            completion is the answer.
        problem_column: the column of the question; a dot goes into nested columns. None finds it.
        answer_column: the column of the gold answer; likewise.
        pool: the workers; None shares those of this process.

    Raises:
        InputError: the answer format is another word.

    >>> task = MathTask()
    >>> problem = MathProblem("What is $6 * 7$?", "42")
    >>> task.verify(problem, r"That makes $\boxed{42}$.")
    Verdict(correct=True, reason='correct', canonical='42', detail='')
    """

    def __init__(
        self,
        *,
        name: str = "math",
        answer_format: MathAnswerFormat = "boxed",
        problem_column: str | None = None,
        answer_column: str | None = None,
        pool: GraderPool | None = None,
    ) -> None:
        if answer_format not in get_args(MathAnswerFormat):
            raise InputError(f"answer_format must be one of {get_args(MathAnswerFormat)}; found {answer_format!r}")
        self.name = name
        self.answer_format = answer_format
        self.problem_column = problem_column
        self.answer_column = answer_column
        self._pool = pool
        self._grades: dict[Job, Grade] = {}

    @property
    def source(self) -> str | None:
        """The named set that the task's problems come from unless another is given; None where there is none."""
        return self.name if self.name in sets.SETS else None

    def prompt(self, problem: MathProblem, *, chat: bool = False) -> Prompt:
        r"""The question and where to put the answer, unless it says so itself; with ``chat``, as one user message.

        >>> MathTask().prompt(MathProblem("What is $1 + 1$?", "2"))
        'What is $1 + 1$?\nPlease reason step by step, and put your final answer within \\boxed{}.'
        """
        plain = self.answer_format == "bare" or "\\boxed" in problem.text
        text = problem.text if plain else f"{problem.text}\n{_INSTRUCTION}"
        return [{"role": "user", "content": text}] if chat else text

    def verify(self, problem: MathProblem, completion: str) -> Verdict:
        """Judge one completion; ``verify_many`` is the quicker way to judge many."""
        return self.verify_many([problem], [completion])[0]

    def verify_many(
        self, problems: Sequence[MathProblem], completions: Sequence[str], *, num_workers: int | None = None
    ) -> list[Verdict]:
        """Judge completions in parallel; equal pairs of gold answer and answer are graded once.

        Args:
            problems: the problem of each completion.
            completions: any texts; a hostile one has a verdict, not an exception.
            num_workers: the most worker processes; None uses all cores.

        Returns:
            A verdict for each completion, in order, with one of ``REASONS``. ``canonical`` is the gold answer's text
            for every correct answer, the value for wrong answers that evaluate to one, else the answer's text.

        Raises:
            InputError: the lengths differ, or a completion is not a str.
            MissingExtraError: math-verify is needed and not installed.
        """
        if len(problems) != len(completions):
            raise InputError(f"each completion needs its problem; found {len(completions)} and {len(problems)}")
        found = [self._answer(completion) for completion in completions]
        jobs = [
            None if isinstance(answer, Verdict) else (normalise_answer(problem.answer), answer)
            for problem, answer in zip(problems, found, strict=True)
        ]
        grades = self._grade([job for job in jobs if job is not None], num_workers)
        return [
            answer if isinstance(answer, Verdict) else _verdict(*job, grades[job]) if job is not None else _NO_ANSWER
            for answer, job in zip(found, jobs, strict=True)
        ]

    def answer(self, completion: str) -> str | None:
        """The normalised text of a completion's answer; None where it has none or one that is too long."""
        answer = self._answer(completion)
        return None if isinstance(answer, Verdict) else answer

    def _answer(self, completion: str) -> str | Verdict:
        if not isinstance(completion, str):
            raise InputError(f"completion must be a str; found {type(completion).__name__}")
        if len(completion) > MAX_COMPLETION_CHARS:
            return Verdict(False, TOO_LONG, None, f"{len(completion)} characters, at most {MAX_COMPLETION_CHARS}")
        answer = last_boxed(completion) if self.answer_format == "boxed" else completion.strip()
        if not answer:
            return _NO_ANSWER
        if len(answer) > MAX_ANSWER_CHARS:
            return Verdict(False, TOO_LONG, None, f"answer of over {MAX_ANSWER_CHARS} characters")
        return normalise_answer(answer)

    def _grade(self, jobs: Sequence[Job], num_workers: int | None) -> dict[Job, Grade]:
        grades: dict[Job, Grade] = {}
        for job in dict.fromkeys(jobs):
            decision = decide(*job)
            if decision is not None:
                number = without_units(*job)[1]
                canonical = number if is_integer(number) and not units_differ(*job) else None
                grades[job] = Grade("correct") if decision else Grade("wrong_answer", canonical)
            elif job in self._grades:
                grades[job] = self._grades[job]
        left = [job for job in dict.fromkeys(jobs) if job not in grades]
        if left:
            pool = self._pool or shared_pool()
            found = pool.grade([without_units(*job) for job in left], num_workers=num_workers)
            new = dict(zip(left, found, strict=True))
            grades |= new
            # a limit that was passed on a busy machine may not be passed the next time
            self._grades |= {job: grade for job, grade in new.items() if grade.outcome not in (TIMEOUT, GRADER_CRASH)}
            for job in list(self._grades)[: max(0, len(self._grades) - MAX_CACHED)]:
                del self._grades[job]
        return grades

    def load(
        self, source: str | None = None, *, limit: int | None = None, split: str = "train", fallback: bool = False
    ) -> list[MathProblem]:
        """Load problems; see ``sets.load_problems``. Without a source, the named set of the task's name."""
        source = source if source is not None else self.source
        if source is None:
            raise InputError(
                f"the task {self.name} needs to know where its problems are",
                hint=f"give a file, a data set of the hub, or one of {', '.join(sets.SETS)}",
            )
        return sets.load_problems(
            source,
            like=self.source,
            limit=limit,
            split=split,
            problem_column=self.problem_column,
            answer_column=self.answer_column,
            fallback=fallback,
        )

    def to_row(self, problem: MathProblem) -> dict[str, Any]:
        """The row of a data set: ``problem``, ``answer``, ``source``, ``level``."""
        fields = {"answer": problem.answer, "source": problem.source, "level": problem.level}
        return {"problem": problem.text, **fields}

    def from_row(self, row: Mapping[str, Any]) -> MathProblem:
        """The problem of such a row; raises DataError where a column is missing or no text."""
        return sets.problem_from_row(row, sets.Columns("problem", "answer"))


def _verdict(gold: str, answer: str, grade: Grade) -> Verdict:
    if grade.outcome == CORRECT:
        return Verdict(True, CORRECT, gold)
    canonical = answer if grade.canonical in (None, gold) else grade.canonical
    return Verdict(False, grade.outcome, canonical, grade.detail)
