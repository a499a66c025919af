"""The maths task: prompts, where the answer is, verdicts on hostile texts, and many at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from unsharpen.errors import DataError, InputError
from unsharpen.tasks import MathProblem, MathTask
from unsharpen.tasks.math import MAX_ANSWER_CHARS, REASONS, GraderPool, last_boxed, normalise_answer
from unsharpen.tasks.math.notation import decide
from unsharpen.tasks.math.pool import Grade

PROBLEM = MathProblem("What is $6 \\times 7$?", "42", source="made", level="1")
INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."


class Counting(GraderPool):
    """Grades without workers, and remembers the jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[tuple[str, str]] = []
        self.outcome = "correct"

    def grade(self, jobs: Sequence[tuple[str, str]], *, num_workers: int | None = None) -> list[Grade]:
        self.jobs += jobs
        return [Grade(self.outcome) for _ in jobs]  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ prompts and rows


def test_prompts() -> None:
    task = MathTask()
    text = f"What is $6 \\times 7$?\n{INSTRUCTION}"
    assert task.prompt(PROBLEM) == text
    assert task.prompt(PROBLEM, chat=True) == [{"role": "user", "content": text}]
    assert MathTask(answer_format="bare").prompt(PROBLEM) == PROBLEM.text
    told = MathProblem("What is 1 + 1? Put your answer in \\boxed{}.", "2")  # verl's data sets hold whole prompts
    assert task.prompt(told) == told.text


def test_rows_round_trip() -> None:
    task = MathTask()
    row = task.to_row(PROBLEM)
    assert row == {"problem": PROBLEM.text, "answer": "42", "source": "made", "level": "1"}
    assert task.from_row(row) == PROBLEM
    with pytest.raises(DataError, match="needs the column answer; found problem"):
        task.from_row({"problem": "x"})


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is $1+1$?", "what is 1 + 1", True),
        ("Find \\left( x \\right).", "Find (x)", True),
        ("Compute 3-5", "Compute 3+5", False),
        ("Compute 12", "Compute 21", False),
    ],
)
def test_keys(one: str, other: str, same: bool) -> None:
    assert (MathProblem(one, "1").key == MathProblem(other, "2").key) == same


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("", "1"), "the text of a problem must be text of 1 to"),
        (("x", " "), "the answer of a problem must be text"),
        (("x", 1), "found int"),
        (("x", "1" * 2001), "found 2001 characters"),
    ],
)
def test_bad_problems(fields: tuple[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MathProblem(*fields)


# ------------------------------------------------------------------------------------- where the answer is


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{42}", "42"),
        (r"\boxed{1} or rather \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}} and so on", r"\frac{1}{2}"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {4}", "4"),
        (r"\fbox{5}", "5"),
        (r"\\boxed{6}", "6"),
        (r"\boxed{ \{1, 2\} }", r"\{1, 2\}"),
        (r"\boxed{\left\{ 1 \right.}", r"\left\{ 1 \right."),
        (r"\boxed{1 \\ {2}}", r"1 \\ {2}"),
        (r"\boxed{7} then \boxed{8", "7"),
        (r"\boxed{}", ""),
        (r"\boxed{9", None),
        (r"\boxed 9", None),
        (r"boxed{9}", None),
        ("", None),
        (r"\boxed{" + "9" * 3000 + "}", "9" * (MAX_ANSWER_CHARS + 1)),
    ],
)
def test_last_boxed(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1 2/3", r"1\frac{2}{3}"),  # no twelve thirds, and no product
        ("x=-3 1/2", r"x=-3\frac{1}{2}"),
        ("2(3)(4/5)", r"2\cdot(3)\cdot(4/5)"),
        (r"2\left(\frac{3}{4}\right)", r"2\cdot(\frac{3}{4})"),
        (r"\log_2(8)", r"\log_2(8)"),
        ("2(x+1)", "2(x+1)"),
        ("f(3)", "f(3)"),
        ("a b", "a b"),
        ("1 234 567", "1234567"),
        ("12 34", "12 34"),
        (r"1\,234", "1234"),
        (r"12\,500\text{ m}", r"12500\text{m}"),
        ("100, 200", "100, 200"),  # a list; 100,200 is a number
        (r"12,\!500", "12,500"),
        ("1, 2", "1,2"),
        ("1, 2345", "1,2345"),
        (r"\$18.", "18"),
        ("€5;", "5"),
        (r"{\color{red}5}", "{5}"),
        ("x²y¹⁰", "x^{2}y^{10}"),
        (r"\langle 3, 4 \rangle", "(3,4)"),
        (r"\lbrace\rbrace", r"\{\}"),
        ("-0", "0"),
        ("0.5", "0.5"),
        (r"\dfrac12", r"\frac12"),
        ("frac{1}{2}", r"\frac{1}{2}"),
        (r"1 & 2 \\ 3 & 4", r"1&2\\3&4"),
        (r"\leftarrow", r"\leftarrow"),
        ("1.5e-3", r"1.5\times10^{-3}"),
        (r"0.1\overline{6}", r"\frac{15}{90}"),  # (16 - 1) / 90
        (r"-2.\overline{3}", r"-\frac{21}{9}"),  # (23 - 2) / 9
        ("$", "$"),
        (".", "."),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_normalised(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


@pytest.mark.parametrize(
    ("gold", "answer", "plain"),
    [
        ("x", "x", True),
        ("4", "5", False),
        ("4", "4.0", None),
        ("101_2", "101_3", False),
        ("101_2", "5_{10}", True),
        ("102_2", "102_3", None),  # no digit 2 in base 2
        ("x_1", "x_2", None),
        ("100, 200", "100,200", True),
        (r"5\text{cm}", r"5\text{centimeters}", True),
        (r"5\text{cm}", r"5\text{inches}", False),
        (r"5\text{in}^2", r"5\text{square inches}", True),
        (r"5\text{cm}^2", r"5\text{cm}^3", False),
        (r"5\text{cm}", "5", True),
        ("5cm", "5m", False),
        ("5cm^2", "5 square centimeters", True),
        (r"5\text{apples}", r"5\text{cm}", True),
        (r"5\mathrm{m}/\mathrm{s}^2", "5", True),
        (r"5\mathrm{m s^{-1}}", "5", True),
        (r"9\text{a.m.}", r"9\text{pm}", False),
        ("5", "5th", True),
        ("12", "12m", True),  # what else but a unit?
        ("12m", "12", None),  # m may be a variable
        ("12t", "12m", None),
        ("the day", "the", None),  # no number, no unit
        ("18", "18 eggs per day", True),
        ("18", "18 million", None),
        ("18", r"18\text{ million}", None),
        ("5", r"5\text{is wrong}", None),
        (r"2\text{hours}30\text{minutes}", "2 h and 30 min", True),
        (r"2\text{hours}30\text{minutes}", r"3\text{hours}20\text{minutes}", False),
        (r"3\text{quarters and}2\text{dimes}", r"2\text{dimes},3\text{quarters}", True),
        (r"3\text{quarters and}2\text{dimes}", r"2\text{quarters and}3\text{dimes}", False),
        (r"3\text{cm},4\text{cm}", r"4\text{cm and}3\text{cm}", True),
        ("2a,3b", "3b,2a", None),
        (r"\text{True}", "true", True),
        (r"\text{True}", "false", None),
        ("ab", "AB", None),
    ],
)
def test_what_needs_no_parser(gold: str, answer: str, plain: bool | None) -> None:
    assert decide(gold, answer) is plain


# --------------------------------------------------------------------------------------------- verdicts


def test_no_worker_is_asked_for_what_is_plain() -> None:
    pool = Counting()
    texts = [r"\boxed{42}", r"\boxed{43}", "no box", "x" * 1_000_001, rf"\boxed{{{'1' * 2001}}}", r"\boxed{042.}"]
    verdicts = MathTask(pool=pool).verify_many([PROBLEM] * 6, texts)
    assert [v.reason for v in verdicts] == ["correct", "wrong_answer", "no_answer", "too_long", "too_long", "correct"]
    assert [v.canonical for v in verdicts] == ["42", "43", None, None, None, "42"]
    assert pool.jobs == []


def test_equal_pairs_are_graded_once() -> None:
    pool = Counting()
    task = MathTask(pool=pool)
    texts = [r"\boxed{84/2}", r"\boxed{ 84/2 }", r"\boxed{x}"] * 20
    assert all(v.correct for v in task.verify_many([PROBLEM] * 60, texts))
    task.verify(PROBLEM, r"so \boxed{84/2}")
    assert pool.jobs == [("42", "84/2"), ("42", "x")]
    task.verify(MathProblem("another", "43"), r"\boxed{84/2}")
    assert pool.jobs[2:] == [("43", "84/2")]


@pytest.mark.parametrize("outcome", ["timeout", "grader_crash"])
def test_what_the_machine_may_be_to_blame_for_is_tried_again(outcome: str) -> None:
    pool = Counting()
    pool.outcome = outcome
    task = MathTask(pool=pool)
    for _ in range(2):
        assert task.verify(PROBLEM, r"\boxed{x}").reason == outcome
    assert len(pool.jobs) == 2


def test_bare_answers() -> None:
    task = MathTask(answer_format="bare", pool=Counting())
    assert task.verify(PROBLEM, " 42 \n").reason == "correct"
    assert task.verify(PROBLEM, "").reason == "no_answer"


def test_bad_arguments() -> None:
    task = MathTask(pool=Counting())
    with pytest.raises(InputError, match="completion must be a str; found int"):
        task.verify(PROBLEM, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs its problem; found 2 and 1"):
        task.verify_many([PROBLEM], ["a", "b"])
    with pytest.raises(InputError, match="answer_format must be one of"):
        MathTask(answer_format="tags")  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- hostile


HOSTILE = {
    "power tower": "9^{9^{9}}",
    "higher tower": "9^{9^{9^{9^{9}}}}",
    "plain power tower": "9**9**9",
    "factorial": "(10^{9})!",
    "binomial": r"\binom{10^{9}}{5\cdot10^{8}}",
    "long sum": r"\sum_{k=1}^{10^{12}}\sin(k^{k})",
    "deep integral": r"\int_0^1" * 60 + "x" + "dx" * 60,
    "braces": "{" * 999 + "4" + "}" * 999,
    "brackets": "(" * 900 + "4" + ")" * 900,
    "open brackets": "(" * 1900,
    "fractions": r"\frac{1}{" * 200 + "1" + "}" * 200,
    "roots": r"\sqrt{" * 280 + "2" + "}" * 280,
    "minuses": "-" * 1900 + "4",
    "digits": "9" * 2000,
    "list": "1," * 900 + "1",
    "union": r"(1,2)\cup" * 200 + "(3,4)",
    "text": r"\text{" * 280 + "}" * 280,
    "and": "1 and " * 300,
    "dollars": "$" * 1999,
    "backslashes": "\\" * 1999,
    "carets": "^" * 1999,
    "percents": "%" * 1999,
    "spaces and digits": "1 " * 999,
    "polynomial": "(x+1)^{9999}(x-1)^{9999}",
    "NUL": "4\x002",
    "surrogate": "\ud800",
    "emoji": "\U0001f600" * 1900,
    "code": "__import__('os').system('true')",
    "sympify": "Integer(42).__class__",
}


def test_hostile_answers_have_typed_verdicts_and_later_ones_are_graded() -> None:
    """Within the limit each; two workers share what hangs."""
    with GraderPool(time_limit=2, num_workers=2) as pool:
        task = MathTask(pool=pool)
        verdicts = task.verify_many([PROBLEM] * len(HOSTILE), [f"\\boxed{{{text}}}" for text in HOSTILE.values()])
        reasons = dict(zip(HOSTILE, [v.reason for v in verdicts], strict=True))
        assert set(reasons.values()) <= set(REASONS) - {"correct"}
        assert reasons["power tower"] == "timeout"
        pool.time_limit = 60
        assert task.verify(PROBLEM, r"\boxed{84/2}").correct


@pytest.mark.parametrize("size", [1_000_001, 10_000_000])
def test_ten_megabytes(size: int) -> None:
    task = MathTask(pool=Counting())
    for text in ("4" * size, "\\boxed{" + "4" * size + "}", "\\boxed{" * (size // 7 + 1), "{" * size):
        assert task.verify(PROBLEM, text).reason == "too_long"
