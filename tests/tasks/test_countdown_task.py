"""Prompts, verdicts and data sets of the CountDown task."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import DataError, InputError, UnknownNameError
from unsharpen.tasks import CountDown, CountDownProblem, Task, Verdict, get_task
from unsharpen.tasks.countdown import REASONS
from unsharpen.tasks.hub import write_rows

TAGS, BOXED, BARE = CountDown(), CountDown(answer_format="boxed"), CountDown(answer_format="bare")
PROBLEM = TAGS.problem([3, 5, 3], 24)

# (answer, reason, canonical)
ANSWERS = [
    ("(3+5)*3", "correct", "3*(3+5)"),
    (" 3 * (5 + 3) ", "correct", "3*(3+5)"),
    ("(3+5)*3 = 24", "correct", "3*(3+5)"),
    ("(3+5)×3=24", "correct", "3*(3+5)"),
    ("(3+5)*3 = 25", "wrong_value", "3*(3+5)"),
    ("3+5+3 = 11", "wrong_value", "3+3+5"),
    ("3+5+3 = 24", "wrong_value", "3+3+5"),
    ("3+5*3", "wrong_value", "3+3*5"),
    ("3*-(-5-3)", "correct", "3*(3+5)"),  # the minuses cancel
    ("24", "wrong_numbers", "24"),
    ("3*5+9", "wrong_numbers", "9+3*5"),
    ("(3+5)*3+3-3", "wrong_numbers", "3+3*(3+5)-3"),
    ("(3+5)*3*1", "wrong_numbers", "1*3*(3+5)"),
    ("3+5", "wrong_numbers", "3+5"),
    ("5/(3-3)", "division_by_zero", "5/(3-3)"),
    ("3.5*3", "malformed", None),
    ("3**3-5+2", "malformed", None),
    ("9**9**9", "malformed", None),
    ("(3+5)*3 = 24 = 24", "malformed", None),
    ("(3+5)*3 = 12*2", "malformed", None),
    ("(3+5)*3 =", "malformed", None),
    ("= 24", "malformed", None),
    ("24 = (3+5)*3", "malformed", None),
    ("the answer is (3+5)*3", "malformed", None),
    ("(3+5)*3" + " " * 600 + ".", "malformed", None),
    ("", "no_answer", None),
    ("   ", "no_answer", None),
]


@pytest.mark.parametrize(("answer", "reason", "canonical"), ANSWERS)
def test_verdicts(answer: str, reason: str, canonical: str | None) -> None:
    for task, completion in (
        (TAGS, f"Let me think.\n<answer>{answer}</answer> Done."),
        (BOXED, f"Let me think.\n\\boxed{{{answer}}} Done."),
        (BARE, answer),
        (BARE, f" {answer}\n "),
    ):
        verdict = task.verify(PROBLEM, completion)
        assert (verdict.reason, verdict.canonical) == (reason, canonical), completion
        assert verdict.correct == (reason == "correct")
        assert reason in REASONS


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("<answer>3</answer> no: <answer>(3+5)*3</answer>", "correct"),
        ("<answer>(3+5)*3</answer> no: <answer>3+5+3</answer>", "wrong_value"),
        ("<answer>(3+5)*3</answer> again: <answer>3+", "correct"),  # the last complete pair
        ("<answer> or <answer>(3+5)*3</answer>", "correct"),
        ("<answer>\n(3+5)*3\n</answer></answer>", "correct"),
        ("<answer>(3+5)*3", "no_answer"),
        ("(3+5)*3</answer>", "no_answer"),
        ("</answer><answer>", "no_answer"),
        ("(3+5)*3", "no_answer"),
        ("<ANSWER>(3+5)*3</ANSWER>", "no_answer"),
        ("<answer><b>(3+5)*3</b></answer>", "malformed"),
    ],
)
def test_tags(completion: str, reason: str) -> None:
    assert TAGS.verify(PROBLEM, completion).reason == reason


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (r"\boxed{3} no: \boxed{(3+5)*3}", "correct"),
        (r"$\boxed{\left(3+5\right) \times 3 = 24}$", "correct"),
        (r"\boxed{(3+5)*3} again: \boxed{3+", "correct"),
        (r"\boxed{(3+5)*3} again: \boxed{\text{3}", "correct"),
        (r"\boxed{\boxed{(3+5)*3}}", "correct"),
        (r"\boxed{\text{(3+5)*3}}", "malformed"),
        (r"\boxed{(3+5)*3", "no_answer"),
        (r"boxed{(3+5)*3}", "no_answer"),
        (r"\boxed (3+5)*3}", "no_answer"),
        ("\\boxed{" + "1" * 600 + "}", "malformed"),
    ],
)
def test_boxes(completion: str, reason: str) -> None:
    assert BOXED.verify(PROBLEM, completion).reason == reason


@pytest.mark.parametrize("completion", ["(3+5)*3\nor so", "(3+5)\n*3", "(3+5)*3\n\n\n.", "(3+5)*3\r\nx"])
def test_bare_answers_are_one_line(completion: str) -> None:
    assert BARE.verify(PROBLEM, completion).reason == "malformed"


def test_too_long() -> None:
    for task in (TAGS, BOXED, BARE):
        assert task.verify(PROBLEM, "x" * 1_000_001).reason == "too_long"
    assert TAGS.verify(PROBLEM, "x" * 999_976 + "<answer>(3+5)*3</answer>").correct


def test_reason_precedence() -> None:
    # Wrong numbers, and a division by zero, and a wrong value.
    assert TAGS.verify(PROBLEM, "<answer>3/(5-5)</answer>").reason == "wrong_numbers"
    # A negative target can be stated.
    assert BARE.verify(BARE.problem([3, 5], -2), "3 - 5 = -2").correct


@pytest.mark.parametrize("completion", [None, b"<answer>3</answer>", 24, ["3"]])
def test_completion_must_be_text(completion: Any) -> None:
    with pytest.raises(InputError, match="completion must be a str"):
        TAGS.verify(PROBLEM, completion)


def test_every_solution_is_verified_as_itself() -> None:
    for problem in TAGS.generate(60, seed=4, sizes=(2, 3, 4)):
        for form in TAGS.solutions(problem):
            assert BARE.verify(problem, form) == Verdict(True, "correct", form)


def test_prompts() -> None:
    assert BARE.prompt(TAGS.problem((3, 5, 8), 24)) == "3 5 8 = 24 :"
    for task, form in ((TAGS, "<answer>"), (BOXED, "\\boxed{")):
        text = task.prompt(PROBLEM)
        assert isinstance(text, str)
        assert "24" in text
        assert "3, 5, 3" in text
        assert form in text
        assert task.prompt(PROBLEM, chat=True) == [{"role": "user", "content": text}]
        # The example of the prompt is in the form that is asked for: copied, it is readable but wrong.
        assert task.verify(PROBLEM, text).reason == "wrong_numbers"


@pytest.mark.parametrize(
    ("nums", "target"),
    [
        (None, 3),
        ("35", 8),
        ([], 3),
        ([1] * 7, 7),
        ([0, 3], 3),
        ([-1, 3], 2),
        ([True, 3], 4),
        ([1.0, 3], 4),
        (["1", 3], 4),
        ([10**9], 5),
        ([3], 10**9),
        ([3], 3.0),
        ([3], True),
        ([3], None),
        pytest.param([3], 10**5000, id="huge"),
    ],
)
def test_problems_are_checked(nums: Any, target: Any) -> None:
    with pytest.raises(InputError, match="must"):
        TAGS.problem(nums, target)


def test_keys() -> None:
    assert TAGS.problem([8, 3, 5], 24).key == TAGS.problem((5, 8, 3), 24).key == "3,5,8=24"
    assert TAGS.problem([3, 5], -2).key == "3,5=-2"


def test_answer_format_is_checked() -> None:
    with pytest.raises(InputError, match="answer_format must be one of"):
        CountDown(answer_format="xml")  # type: ignore[arg-type]


def test_get_task() -> None:
    task: Task[CountDownProblem] = get_task("countdown", answer_format="bare")
    assert task.prompt(PROBLEM) == "3 5 3 = 24 :"
    with pytest.raises(UnknownNameError, match="did you mean 'countdown'"):
        get_task("count_down")
    with pytest.raises(UnknownNameError, match="found 'zzz'"):
        get_task("zzz")


ROWS = [
    {"nums": [3, 5, 3], "target": 24},
    {"nums": [44, 19, 35], "target": 98},
    {"nums": [2, 3, 5, 7], "target": 20},
]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.JSONL", "rows.csv", "rows.parquet"])
def test_load_round_trip(tmp_path: Path, name: str) -> None:
    problems = [TAGS.from_row(row) for row in ROWS]
    assert write_rows(tmp_path / name, [TAGS.to_row(problem) for problem in problems]) == 3
    assert TAGS.load(str(tmp_path / name)) == problems
    assert TAGS.load(str(tmp_path / name), limit=2) == problems[:2]


def test_load_csv_spellings(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('nums,target\n"[3, 5, 3]",24\n3 5 3,24\n"3,5,3", 24\n"[ 3 5  3 ]",24\n')
    assert TAGS.load(str(path)) == [PROBLEM] * 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"nums": [3, 5], "target": 24}, "row 2: must have a solution; 3,5=24 has none"),
        ({"nums": [3, 5.0], "target": 8}, r"row 2: nums must hold integers .* found 5.0 \(float\)"),
        ({"nums": None, "target": 8}, "row 2: nums must be"),
        ({"nums": [3, 5], "target": None}, "row 2: target must be"),
        ({"nums": [3, 5], "target": "eight"}, "row 2: expected an integer; found 'eight'"),
        ({"nums": "3 five", "target": 8}, "row 2: expected an integer; found 'five'"),
        ({"nums": "", "target": 8}, "row 2: nums must be"),
        ({"nums": [3, 5]}, "row 2: needs the columns nums, target; lacks target; found nums"),
        ([3, 5, 8], "row 2: expected an object with columns; found list"),
    ],
)
def test_load_names_the_bad_row(tmp_path: Path, row: Any, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (ROWS[0], row, ROWS[1])))
    with pytest.raises(DataError, match=message):
        TAGS.load(str(path))
    assert TAGS.load(str(path), limit=1) == [PROBLEM]


def test_load_without_the_check_of_solutions(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv", [{"nums": [3, 5], "target": 24}])
    assert TAGS.load(str(tmp_path / "rows.csv"), check_solvable=False) == [TAGS.problem([3, 5], 24)]


def test_load_says_which_csv_row(tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["nums", "target"], ["3 5", 8], ["3 5", 7.5]])
    with pytest.raises(DataError, match=r"row 2: expected an integer; found '7.5'"):
        TAGS.load(str(tmp_path / "rows.csv"))


def test_from_row_needs_its_columns() -> None:
    with pytest.raises(DataError, match="needs the columns nums, target; found numbers"):
        TAGS.from_row({"numbers": [3]})
