"""CountDown rewards for verl, and the rows that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.command import unsharpen

from unsharpen.engines.verl_reward import compute_score
from unsharpen.errors import InputError
from unsharpen.tasks import CountDown
from unsharpen.tasks.hub import read_rows

TRUTH = '{"nums": [3, 5, 3], "target": 24}'


@pytest.mark.parametrize(
    ("text", "score", "acc", "answer"),
    [
        ("<answer>3 * (5 + 3)</answer>", 1.0, 1.0, "3*(3+5)"),
        ("<answer>3 + 5 + 3</answer>", 0.1, 0.0, "3+3+5"),
        ("<answer>3 +</answer>", 0.0, 0.0, ""),
        ("no answer", 0.0, 0.0, ""),
    ],
)
def test_scores(text: str, score: float, acc: float, answer: str) -> None:
    found = compute_score("countdown", text, TRUTH, {"split": "train"}, format_reward=0.1, num_turns=2)
    solution = answer if acc else ""
    assert found == {"score": score, "acc": acc, "answer": answer, "solution": solution}


def test_the_answer_format_comes_with_the_row() -> None:
    boxed = {"answer_format": "boxed"}
    assert compute_score("countdown", r"\boxed{3 * (5 + 3)}", json.loads(TRUTH), boxed)["acc"] == 1
    assert compute_score("countdown", r"\boxed{3 * (5 + 3)}", TRUTH)["acc"] == 0


@pytest.mark.parametrize("truth", ["24", '{"nums": [3]}', '{"nums": "x", "target": 1}', "{", None])
def test_a_ground_truth_that_is_no_problem(truth: str) -> None:
    with pytest.raises(InputError, match="nums and target"):
        compute_score("countdown", "<answer>1</answer>", truth)


def test_another_data_source() -> None:
    with pytest.raises(InputError, match="found 'gsm8k'"):
        compute_score("gsm8k", "x", TRUTH)


@pytest.mark.parametrize("end", ["parquet", "jsonl"])
def test_data_for_verl(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"train.{end}"
    problems = ["--num", 6, "--size", 3, "--numbers", 1, 10, "--split", "train"]
    done = unsharpen("data", "countdown", "--output", path, "--format", "verl", *problems)
    assert done.code == 0, done.err
    columns = ("data_source", "prompt", "ability", "reward_model", "extra_info")
    rows = [row for _, row in read_rows(str(path), columns=columns, split="train", limit=None)]
    task = CountDown()
    assert len(rows) == 6
    for index, row in enumerate(rows):
        problem = task.from_row(json.loads(row["reward_model"]["ground_truth"]))
        solutions = task.solutions(problem)
        (message,) = row["prompt"]
        assert message == {"role": "user", "content": task.prompt(problem)}
        assert (row["data_source"], row["reward_model"]["style"]) == ("countdown", "rule")
        assert row["extra_info"] == {
            "split": "train",
            "index": index,
            "prompt_id": problem.key,
            "num_solutions": len(solutions),
            "answer_format": "tags",
        }
        truth = row["reward_model"]["ground_truth"]
        found = compute_score("countdown", f"<answer>{solutions[0]}</answer>", truth, row["extra_info"])
        assert found["solution"] == solutions[0]


def test_rows_for_verl_are_no_csv(tmp_path: Path) -> None:
    done = unsharpen("data", "countdown", "--output", tmp_path / "a.csv", "--format", "verl")
    assert done.code == 2
    assert "need a .parquet or .jsonl file" in done.err
