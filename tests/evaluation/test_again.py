"""Grading a store again: maths and CountDown, other answers, what changed, and what stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation.again import grade_again
from unsharpen.evaluation.store import load_evaluation
from unsharpen.tasks import get_task
from unsharpen.tasks.math.problem import MathProblem

SUM, HALF = MathProblem("What is 1 + 1?", "2"), MathProblem("What is one half?", "1/2")


def row(problem_id: str, sample_id: int, completion: str, **verdict: Any) -> dict[str, Any]:
    return {
        "task": "math",
        "problem_id": problem_id,
        "sample_id": sample_id,
        "model": "m",
        "completion": completion,
        "finish_reason": "stop",
        "num_tokens": 3,
        "logprob": -1.5,
        "correct": False,
        "reason": "wrong_answer",
        "canonical": None,
        **verdict,
        "seed": 0,
    }


def write(folder: Path, rows: list[dict[str, Any]], problems: list[dict[str, Any]], **settings: Any) -> Path:
    folder.mkdir()
    (folder / "samples.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    (folder / "problems.jsonl").write_text("".join(json.dumps(p) + "\n" for p in problems), "utf-8")
    full = {"task": "math", "num_samples": 2, "answer_format": "boxed", "versions": {"math-verify": "0.1"}, **settings}
    (folder / "settings.json").write_text(json.dumps(full), "utf-8")
    return folder


@pytest.fixture
def maths(tmp_path: Path) -> Path:
    right = {"correct": True, "reason": "correct", "canonical": "2"}
    rows = [
        row(SUM.key, 0, r"\boxed{2}", **right),
        row(SUM.key, 1, r"\boxed{3}", **right),  # the old grader was wrong
        row(HALF.key, 0, r"<think>\boxed{7}</think> \boxed{1/2}"),  # and here
        row(HALF.key, 1, "no idea", reason="no_answer"),
    ]
    problems = [{"problem_id": p.key, "text": p.text, "answer": p.answer, "multiplicity": None} for p in (SUM, HALF)]
    return write(tmp_path / "old", rows, problems)


def test_verdicts_change_and_everything_else_stays(maths: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in maths.iterdir()}
    found = grade_again(maths, tmp_path / "new")
    assert (found.num_samples, found.gained, found.lost, found.renamed) == (4, 1, 1, 0)
    assert found.reasons == {("correct", "wrong_answer"): 1, ("wrong_answer", "correct"): 1}
    assert {path.name: path.read_bytes() for path in maths.iterdir()} == before  # the old verdicts are kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]
    assert load_evaluation(tmp_path / "new").num_correct.tolist() == [1, 1]
    old, new = (
        [json.loads(line) for line in (folder / "samples.jsonl").read_text("utf-8").splitlines()]
        for folder in (maths, tmp_path / "new")
    )
    verdict = ("correct", "reason", "canonical")
    assert [{k: v for k, v in r.items() if k not in verdict} for r in old] == [
        {k: v for k, v in r.items() if k not in verdict} for r in new
    ]
    settings = json.loads((tmp_path / "new" / "settings.json").read_text("utf-8"))
    assert settings["versions"] == {"math-verify": "0.1"}  # of the sampling
    assert settings["regraded"]["from"] == str(maths.resolve())
    assert settings["regraded"]["versions"]["unsharpen"]


def test_the_answers_of_another_column(maths: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"q": SUM.text, "bad": "9", "gold": "3"}, {"q": HALF.text, "bad": "9", "gold": "0.5"}]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    found = grade_again(maths, tmp_path / "new", data=str(data), problem_column="q", answer_column="gold")
    assert (found.gained, found.lost) == (1, 1)  # \boxed{3} stays right, \boxed{2} is now wrong; 1/2 is right
    stored = [json.loads(line) for line in (tmp_path / "new" / "problems.jsonl").read_text("utf-8").splitlines()]
    assert [problem["answer"] for problem in stored] == ["3", "0.5"]


def test_countdown_is_graded_again(tmp_path: Path) -> None:
    task = get_task("countdown", answer_format="bare")
    problem = task.from_row({"nums": [3, 5, 8], "target": 16})
    rows = [
        {**row(problem.key, 0, "3+5+8"), "task": "countdown"},
        {**row(problem.key, 1, "3*5", correct=True, reason="correct", canonical="x"), "task": "countdown"},
    ]
    stored = [{"problem_id": problem.key, "text": "", "answer": "16", "multiplicity": None}]
    old = write(tmp_path / "old", rows, stored, task="countdown", answer_format="bare")
    found = grade_again(old, tmp_path / "new")
    assert (found.gained, found.lost) == (1, 1)
    assert load_evaluation(tmp_path / "new").answer_names


def test_the_same_grader_changes_nothing_twice(maths: Path, tmp_path: Path) -> None:
    grade_again(maths, tmp_path / "new")
    found = grade_again(tmp_path / "new", tmp_path / "newer")
    assert (found.reasons, found.renamed) == ({}, 0)
    assert (tmp_path / "new" / "samples.jsonl").read_bytes() == (tmp_path / "newer" / "samples.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("settings", "thinking", "reasoning"),
    [({}, None, True), ({"reasoning_apart": True}, None, False), ({"reasoning_apart": True}, False, True)],
)
def test_reasoning_that_was_set_apart_is_left_out_as_before(
    tmp_path: Path, settings: dict[str, Any], thinking: bool | None, reasoning: bool
) -> None:
    problems = [{"problem_id": HALF.key, "text": HALF.text, "answer": "7", "multiplicity": None}]
    rows = [row(HALF.key, 0, r"<think>\boxed{7}</think>I can't say.", reason="no_answer")]
    old = write(tmp_path / "old", rows, problems, **settings)
    assert grade_again(old, tmp_path / "new", thinking=thinking).gained == reasoning


def test_what_an_interrupted_call_left_is_replaced(maths: Path, tmp_path: Path) -> None:
    (tmp_path / "new.part").mkdir()
    (tmp_path / "new.part" / "samples.jsonl").write_text("{", "utf-8")
    grade_again(maths, tmp_path / "new")
    assert not (tmp_path / "new.part").exists()


def test_refuses(maths: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is there already"):
        grade_again(maths, maths)
    with pytest.raises(InputError, match="answer_column must come with data"):
        grade_again(maths, tmp_path / "new", answer_column="gold")
    with pytest.raises(DataError, match="has no settings"):
        grade_again(tmp_path, tmp_path / "new")
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps({"problem": "Another?", "answer": "1"}) + "\n", "utf-8")
    with pytest.raises(DataError, match="2 of 2 are missing"):
        grade_again(maths, tmp_path / "new", data=str(data))
    torn = (maths / "samples.jsonl").read_bytes()
    (maths / "samples.jsonl").write_bytes(torn + torn[: torn.index(b"\n") + 1])
    with pytest.raises(DataError, match="line 5: sample 0 of problem"):
        grade_again(maths, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "old"]
