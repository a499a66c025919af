"""The named sets and any other set of maths problems, by made rows in the same schema through the same loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from unsharpen.errors import DataError, InputError, UnknownNameError, UnsharpenWarning
from unsharpen.tasks import SETS, MathProblem, MathTask, get_task, task_names
from unsharpen.tasks.hub import write_rows
from unsharpen.tasks.sets import load_problems

Rows = list[dict[str, Any]]


def made(name: str, num: int) -> Rows:
    """Rows with the columns and the types that the set has on the hub; the answer of row i is i."""
    rows: dict[str, Any] = {
        "math500": lambda i: {
            "problem": f"Problem {i}",
            "solution": f"So \\boxed{{{i + 1}}}",  # never read: there is an answer
            "answer": f"{i}",
            "subject": "Algebra",
            "level": 3,
            "unique_id": f"test/algebra/{i}.json",
        },
        "aime24": lambda i: {
            "id": i,
            "problem": f"Problem {i}",
            "solution": "...",
            "answer": f"{i:03d}",
            "url": "",
            "year": "2024",
        },
        "aime25": lambda i: {"problem": f"Problem {i}", "answer": f"{i}", "id": f"{i}"},
        "amc23": lambda i: {"id": i, "question": f"Problem {i}", "answer": float(i), "url": ""},
        "olympiadbench": lambda i: {
            "question": f"Problem {i}",
            "final_answer": [f"${i}$"],
            "is_multiple_answer": False,
        },
        "minerva": lambda i: {"question": f"Problem {i}", "answer": f"{i}"},
        "gsm8k": lambda i: {"question": f"Problem {i}", "answer": f"{i} - 1 = <<{i}-1={i - 1}>>\nSo\n#### {i}"},
    }
    return [rows[name](i) for i in range(num)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub that holds ``rows`` whatever is asked for, and remembers the request."""
    state: dict[str, Any] = {}

    def load_dataset(*names: str, split: str) -> datasets.Dataset:
        state["asked"] = (*names, split)
        return datasets.Dataset.from_list(state["rows"])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return state


ASKED = {
    "math500": ("HuggingFaceH4/MATH-500", "test"),
    "aime24": ("HuggingFaceH4/aime_2024", "train"),
    "aime25": ("math-ai/aime25", "test"),
    "amc23": ("math-ai/amc23", "test"),
    "olympiadbench": ("math-ai/olympiadbench", "test"),
    "minerva": ("math-ai/minervamath", "test"),
    "gsm8k": ("openai/gsm8k", "main", "test"),
}
COUNTS = {"math500": 500, "aime24": 30, "aime25": 30, "amc23": 40, "olympiadbench": 674, "minerva": 272, "gsm8k": 1319}


@pytest.mark.parametrize("name", ASKED)
def test_a_named_set(name: str, hub: dict[str, Any]) -> None:
    assert list(SETS) == list(ASKED)
    hub["rows"] = made(name, COUNTS[name])
    task = get_task(name)
    assert (task.name, task.source) == (name, name)
    problems = task.load()  # type: ignore[call-arg]
    assert hub["asked"] == ASKED[name]
    assert [p.text for p in problems] == [f"Problem {i}" for i in range(COUNTS[name])]
    verdicts = task.verify_many(problems, [f"\\boxed{{{i}}}" for i in range(len(problems))])  # type: ignore[attr-defined]
    assert all(v.correct for v in verdicts)
    assert len({p.key for p in problems}) == len(problems)
    assert len(task.load(name, limit=7)) == 7


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_local_file_in_the_schema_of_a_named_set(tmp_path: Path, name: str, ending: str) -> None:
    write_rows(tmp_path / f"rows.{ending}", made(name, 5))
    problems = get_task(name).load(str(tmp_path / f"rows.{ending}"))
    assert [p.text for p in problems] == [f"Problem {i}" for i in range(5)]
    assert [int(p.answer.strip("$")) for p in problems] == list(range(5))


def test_another_number_of_problems_is_said(hub: dict[str, Any]) -> None:
    hub["rows"] = made("aime24", 31)
    with pytest.warns(UnsharpenWarning, match="aime24 should have 30 problems; HuggingFaceH4/aime_2024 has 31"):
        assert len(load_problems("aime24")) == 31
    with pytest.warns(UnsharpenWarning, match="has 31"):
        assert len(load_problems("aime24", limit=3)) == 3
    hub["rows"] = made("olympiadbench", 675)
    assert len(load_problems("olympiadbench")) == 675


def test_another_schema_is_an_error_whatever_columns_are_named(hub: dict[str, Any]) -> None:
    hub["rows"] = made("gsm8k", 30)
    with pytest.raises(DataError, match="aime24, row 1: needs the problem in a column problem; found question, answer"):
        load_problems("aime24")
    with pytest.raises(DataError, match="needs the problem in a column problem"):
        load_problems("aime24", problem_column="question")
    hub["rows"] = made("aime24", 30)
    assert len(load_problems("aime24", problem_column="question")) == 30  # the option was for the training data


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aime24").write_text("x")
    with pytest.raises(DataError, match="must end in"):
        load_problems("aime24")


def write(tmp_path: Path, rows: Rows) -> str:
    path = tmp_path / "rows.jsonl"
    write_rows(path, rows)
    return str(path)


@pytest.mark.parametrize(
    ("row", "columns", "answer"),
    [
        ({"q": "Q", "a": "1"}, ("q", "a"), "1"),
        ({"question": "Q", "answer": 1}, (None, None), "1"),
        ({"Problem": "Q", "Answer": 1.5}, (None, None), "1.5"),
        ({"problem": "Q", "solution": r"First \boxed{1}, so \boxed{\frac12}."}, (None, None), r"\frac12"),
        ({"problem": "Q", "answer": "1", "solution": r"\boxed{2}"}, (None, None), "1"),
        ({"problem": "Q", "answer": "1", "solution": r"\boxed{2}"}, (None, "solution"), "2"),
        ({"problem": "Q", "final_answer": ["1", "2"]}, (None, None), "1, 2"),
        ({"problem": "Q", "answer": ["\\boxed{1}", "\\boxed{2}"]}, (None, None), "1, 2"),
        ({"problem": "Q", "answer": [100, [200, 300]]}, (None, None), "100, 200, 300"),
        ({"problem": "Q", "solution": "3 + 2\n#### 5"}, (None, None), "5"),
        ({"problem": "Q", "solution": r"\frac{1}{2} square miles"}, (None, None), r"\frac{1}{2} square miles"),
        (
            {
                "prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}],
                "reward_model": {"ground_truth": "1"},
            },
            (None, None),
            "1",
        ),
        ({"prompt": "Q", "extra_info": {"answer": "3"}}, (None, "extra_info.answer"), "3"),
        ({"a.b": "Q", "answer": "1"}, ("a.b", None), "1"),
    ],
)
def test_columns(tmp_path: Path, row: dict[str, Any], columns: tuple[str | None, str | None], answer: str) -> None:
    task = MathTask(problem_column=columns[0], answer_column=columns[1])
    assert task.load(write(tmp_path, [row])) == [MathProblem("Q", answer)]


def test_source_and_level_are_kept(tmp_path: Path) -> None:
    rows = [{"problem": "Q", "answer": "1", "level": 5, "source": "AMC", "subject": "x"}]
    assert MathTask().load(write(tmp_path, rows)) == [MathProblem("Q", "1", source="AMC", level="5")]


NESTED: list[Any] = ["1"]
for _ in range(900):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "Q", "answer": "1"}, "row 2: needs the column problem; found text, answer"),
        ({"problem": "Q"}, "row 2: needs the column answer"),
        ({"problem": "", "answer": "1"}, "row 2: the text of a problem must be text of 1 to"),
        ({"problem": "Q", "answer": ""}, "row 2: the answer of a problem must be text"),
        ({"problem": "Q", "answer": "x" * 3000}, "found 3000 characters"),
        ({"problem": "Q", "answer": None}, "must hold text or a number; found None"),
        ({"problem": "Q", "answer": True}, "must hold text or a number; found True"),
        ({"problem": "Q", "answer": []}, r"must hold text or a number; found \[\]"),
        ({"problem": "Q", "answer": NESTED}, "must hold text or a number; found lists in lists, over 8 deep"),
        (
            {"problem": "Q", "solution": "She has 3 and buys 2 more, so it is 5 in all."},
            r"row 1: a worked solution must give its answer in",
        ),
        ({"problem": 3, "answer": "1"}, "must hold text or a conversation; found int"),
        ({"problem": [{"role": "system", "content": "S"}], "answer": "1"}, "text or a conversation; found NoneType"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    import json

    path = tmp_path / "rows.jsonl"
    first = [] if "solution" in row else [{"problem": "P", "answer": "0"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in (*first, row)), "utf-8")
    with pytest.raises(DataError, match=message):
        MathTask().load(str(path))


def test_no_known_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs the problem in a column problem or question") as caught:
        MathTask().load(write(tmp_path, [{"a": "Q", "b": "1"}]))
    assert "--problem-column" in str(caught.value)


def test_repeated_problems_are_left_out_and_said(tmp_path: Path) -> None:
    rows = [{"problem": text, "answer": answer} for text, answer in (("P", "1"), ("p.", "1"), ("Q", "1"), ("P", "2"))]
    with pytest.warns(UnsharpenWarning, match="2 problems repeat an earlier one and are left out; 1 of them give"):
        assert MathTask().load(write(tmp_path, rows)) == [MathProblem("P", "1"), MathProblem("Q", "1")]


def test_names() -> None:
    assert task_names() == ("countdown", "math", *SETS)
    assert get_task("countdown").source is None
    assert get_task("math", answer_format="bare").source is None
    with pytest.raises(UnknownNameError, match="found 'aime2024'") as caught:
        get_task("aime2024")
    assert "did you mean 'aime2" in str(caught.value)
    with pytest.raises(InputError, match="the task math needs to know where its problems are"):
        MathTask().load()
    with pytest.raises(InputError, match="limit must be at least 1"):
        load_problems("aime24", limit=0)
