"""The CountDown task: prompts, answers and verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

from unsharpen.errors import DataError, InputError
from unsharpen.tasks import hub
from unsharpen.tasks.base import Prompt, Verdict
from unsharpen.tasks.countdown import generator, solver
from unsharpen.tasks.countdown.expression import MAX_CHARS, ExpressionError, parse
from unsharpen.tasks.countdown.problem import CountDownProblem

AnswerFormat = Literal["tags", "boxed", "bare"]

CORRECT: Final = "correct"
WRONG_VALUE: Final = "wrong_value"  # or the answer states a result other than the target
WRONG_NUMBERS: Final = "wrong_numbers"  # not each number exactly once
DIVISION_BY_ZERO: Final = "division_by_zero"
MALFORMED: Final = "malformed"
NO_ANSWER: Final = "no_answer"
TOO_LONG: Final = "too_long"
REASONS: Final = (CORRECT, WRONG_VALUE, WRONG_NUMBERS, DIVISION_BY_ZERO, MALFORMED, NO_ANSWER, TOO_LONG)
"""All reasons of a verdict. Where more than one applies: numbers first, then division by zero, then value."""

MAX_COMPLETION_CHARS: Final = 1_000_000

_BOX: Final = "\\boxed{"
_MAX_BOXES: Final = 8
_INTEGER: Final = re.compile("-?[0-9]+")
_NO_ANSWER: Final = Verdict(False, NO_ANSWER)
_INSTRUCTION: Final = (
    "Find an arithmetic expression that equals {target} and uses each of the numbers {numbers} exactly once. "
    "You may use +, -, *, / and parentheses. Think it through step by step first, then give the final "
    "expression as {form}."
)
_FORMS: Final = {
    "tags": "<answer> expression </answer>, for example <answer> (1 + 2) * 3 </answer>",
    "boxed": "\\boxed{expression}, for example \\boxed{(1 + 2) * 3}",
}


class CountDown:
    r"""Reach a target from numbers that are each used exactly once, with + - * / in exact arithmetic.

    Args:
        answer_format: where a completion has its answer. "tags": in the last complete
            ``<answer>...</answer>``. "boxed": in the last complete ``\boxed{...}``. "bare": the completion
            is the answer, on one line.

    Raises:
        InputError: the answer format is another word.

    >>> task = CountDown()
    >>> task.verify(task.problem([3, 5, 3], 24), "So <answer>(3 + 5) * 3 = 24</answer>")
    Verdict(correct=True, reason='correct', canonical='3*(3+5)', detail='')
    """

    name = "countdown"
    source = None

    def __init__(self, *, answer_format: AnswerFormat = "tags") -> None:
        if answer_format not in get_args(AnswerFormat):
            raise InputError(f"answer_format must be one of {get_args(AnswerFormat)}; found {answer_format!r}")
        self.answer_format = answer_format
        self._extract = _EXTRACT[answer_format]

    def problem(self, nums: Sequence[int], target: int) -> CountDownProblem:
        """A checked problem; raises InputError where a number or the target is out of range or no integer."""
        unchecked: Any = nums
        return CountDownProblem(unchecked, target)

    def prompt(self, problem: CountDownProblem, *, chat: bool = False) -> Prompt:
        """The prompt; with ``chat``, as a conversation of one user message.

        >>> CountDown(answer_format="bare").prompt(CountDownProblem((3, 5, 8), 24))
        '3 5 8 = 24 :'
        """
        if self.answer_format == "bare":
            text = f"{' '.join(map(str, problem.nums))} = {problem.target} :"
        else:
            numbers = ", ".join(map(str, problem.nums))
            text = _INSTRUCTION.format(target=problem.target, numbers=numbers, form=_FORMS[self.answer_format])
        return [{"role": "user", "content": text}] if chat else text

    def verify(self, problem: CountDownProblem, completion: str) -> Verdict:
        """Judge a completion, in time linear in its length.

        Args:
            problem: the problem.
            completion: any text; a malformed one has a verdict, not an exception.

        Returns:
            A verdict with one of ``REASONS``. ``canonical`` is set for every answer that is an expression.

        Raises:
            InputError: the completion is not a str.
        """
        if not isinstance(completion, str):
            raise InputError(f"completion must be a str; found {type(completion).__name__}")
        if len(completion) > MAX_COMPLETION_CHARS:
            return Verdict(False, TOO_LONG, None, f"{len(completion)} characters, at most {MAX_COMPLETION_CHARS}")
        answer = self._extract(completion)
        if not answer:
            return _NO_ANSWER
        if len(answer) > MAX_CHARS:
            return Verdict(False, MALFORMED, None, f"answer of over {MAX_CHARS} characters")
        if self.answer_format == "bare" and len(answer.splitlines()) > 1:
            return Verdict(False, MALFORMED, None, "text after the first line")
        return _judge(problem.nums, problem.target, answer)

    def solutions(self, problem: CountDownProblem) -> tuple[str, ...]:
        """All distinct solutions as canonical forms, sorted."""
        return solver.solutions(problem.nums, problem.target)

    def generate(self, num_problems: int, *, seed: int, **options: Any) -> list[CountDownProblem]:
        """Seeded solvable problems; options as in ``generator.generate``."""
        return generator.generate(num_problems, seed=seed, **options)

    def load(
        self, source: str, *, limit: int | None = None, split: str = "train", check_solvable: bool = True
    ) -> list[CountDownProblem]:
        """Load problems with the columns ``nums`` and ``target``; all of them, or an error.

        Args:
            source: a file or a data set of the hub, as in ``hub.read_rows``. In CSV files ``nums`` is a JSON
                list, or numbers separated by spaces or commas.
            limit: load the first rows only.
            split: the split of a hub data set that names none.
            check_solvable: whether a problem without a solution is an error. Costs about 20 microseconds per
                row of 3 numbers and 0.2 ms per row of 4: a minute or two for half a million rows.

        Raises:
            DataError: the source can't be read or has no rows, or a row is malformed or unsolvable; names the
                row.
        """
        problems = []
        for number, row in hub.read_rows(source, columns=("nums", "target"), split=split, limit=limit):
            try:
                problem = self.from_row(row)
            except DataError as error:
                raise DataError(f"{source}, row {number}: {error.message}") from None
            if check_solvable and not solver.is_reachable(problem.nums, problem.target):
                raise DataError(
                    f"{source}, row {number}: must have a solution; {problem.key} has none",
                    hint="remove the row; from Python, load(..., check_solvable=False) lets it pass",
                )
            problems.append(problem)
        return problems

    def to_row(self, problem: CountDownProblem) -> dict[str, Any]:
        """The row of a data set: ``nums`` and ``target``."""
        return {"nums": list(problem.nums), "target": problem.target}

    def from_row(self, row: Mapping[str, Any]) -> CountDownProblem:
        """The problem of a row; raises DataError where a column is missing or of a wrong type or value.

        Text, as CSV files have it, is read: ``"3 5 8"``, ``"3,5,8"`` or ``"[3, 5, 8]"``, and ``"24"``.
        """
        if "nums" not in row or "target" not in row:
            raise DataError(f"a row needs the columns nums, target; found {', '.join(map(str, row)) or 'none'}")
        nums: Any = row["nums"]
        target = row["target"]
        try:
            nums = _integers(nums) if isinstance(nums, str) else nums
            return CountDownProblem(nums, _integer(target) if isinstance(target, str) else target)
        except InputError as error:
            raise DataError(error.message) from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text.strip()) or len(text) > MAX_CHARS:
        raise InputError(f"expected an integer; found '{text[:40]}'")
    return int(text)


def _integers(text: str) -> list[int]:
    inner = text.strip()
    if inner[:1] == "[" and inner[-1:] == "]":
        inner = inner[1:-1]
    return [_integer(part) for part in (inner.split(",") if "," in inner else inner.split())]


def _tagged(text: str) -> str | None:
    """What the last complete pair of answer tags encloses."""
    start = text.rfind("<answer>", 0, max(text.rfind("</answer>"), 0))
    return None if start < 0 else text[start + 8 : text.find("</answer>", start)].strip()


def _boxed(text: str) -> str | None:
    """What the last complete box encloses; looks at a few last boxes, no further than an expression."""
    end = len(text)
    for _ in range(_MAX_BOXES):
        end = text.rfind(_BOX, 0, end)
        if end < 0:
            return None
        start = end + len(_BOX)
        window = text[start : start + MAX_CHARS + 1]
        depth = 1
        for i, char in enumerate(window):
            depth += (char == "{") - (char == "}")
            if depth == 0:
                return window[:i].strip()
        if len(window) > MAX_CHARS:
            return window
    return None


def _judge(nums: tuple[int, ...], target: int, answer: str) -> Verdict:
    """The verdict on an answer, with or without ``= target`` behind the expression."""
    text, equals, stated = answer.partition("=")
    stated = stated.strip()
    try:
        expression = parse(text)
    except ExpressionError as error:
        return Verdict(False, MALFORMED, None, error.message)
    if equals and not _INTEGER.fullmatch(stated):
        return Verdict(False, MALFORMED, None, f"states '{stated[:20]}', which is no integer")
    canonical = expression.canonical
    if sorted(expression.numbers) != sorted(nums):
        return Verdict(False, WRONG_NUMBERS, canonical, f"uses {expression.numbers}")
    if not expression.denominator:
        return Verdict(False, DIVISION_BY_ZERO, canonical)
    if expression.numerator != target * expression.denominator:
        return Verdict(False, WRONG_VALUE, canonical, f"is worth {expression.value}")
    if equals and stated != str(target):
        return Verdict(False, WRONG_VALUE, canonical, f"states {stated[:20]}")
    return Verdict(True, CORRECT, canonical)


_EXTRACT: Final[dict[str, Callable[[str], str | None]]] = {
    "tags": _tagged,
    "boxed": _boxed,
    "bare": str.strip,
}
