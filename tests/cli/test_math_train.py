"""``unsharpen train --task math``: a chat model of random weights on made problems, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import SMALL, lines, train, unsharpen
from tests.cli.test_any_model import TEMPLATE, save_model
from transformers import AutoTokenizer

from unsharpen.tasks import MathProblem, MathTask, Verdict
from unsharpen.tasks.hub import write_rows

RENAMED = ("--problem-column", "question", "--answer-column", "solution")


def made(num: int, first: int = 0) -> list[dict[str, Any]]:
    """Sums with a worked solution, as a training set has them."""
    return [
        {"question": f"Add {i} and {i * i}.", "solution": f"{i} + {i * i} = {i + i * i}\n#### {i + i * i}", "id": i}
        for i in range(first, first + num)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "qwen3"
    return save_model(path, "qwen3", eos_token="<|im_end|>", chat_template=TEMPLATE)


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    path = tmp_path / "problems.jsonl"
    write_rows(path, made(40))
    return path


@pytest.fixture
def alternating(monkeypatch: pytest.MonkeyPatch) -> list[MathProblem]:
    """Random weights never solve anything: half of the completions count as boxing the gold answer."""
    seen: list[MathProblem] = []
    verify = MathTask.verify_many

    def some_right(
        self: MathTask, problems: Sequence[MathProblem], completions: Sequence[str], **options: Any
    ) -> list[Verdict]:
        seen.extend(problems)
        pairs = zip(problems, completions, strict=True)
        right = [f"\\boxed{{{p.answer}}}" if sum(text.encode()) % 2 == 0 else text for p, text in pairs]
        return verify(self, problems, right, **options)

    monkeypatch.setattr(MathTask, "verify_many", some_right)
    return seen


def test_a_model_trains_on_maths(
    tmp_path: Path, model: Path, problems: Path, alternating: list[MathProblem], capsys: pytest.CaptureFixture[str]
) -> None:
    """With an evaluation file of other columns that shares two problems; one optimiser step moves the weights."""
    held = tmp_path / "held.csv"
    rows = [{"problem": row["question"], "answer": row["solution"].split()[-1]} for row in made(4, first=38)]
    write_rows(held, rows)
    output = tmp_path / "run"
    arguments = ("--task", "math", "--model", model, "--data", problems, "--eval-data", held, *RENAMED)
    done = train(output, *arguments, "--set", "learning_rate=1e-2", "--format-bonus", 0.1)
    assert "2 of 40 training problems removed" in done.err
    assert "2 with the same text" in done.err

    record = json.loads((output / "config.json").read_text("utf-8"))
    assert record["num_train_problems"] == 38
    assert record["removed_train_problems"] == {"same_text": 2, "shared_words": 0}
    assert record["task"] == "math"
    assert record["versions"]["math-verify"]
    assert {p.text: p.answer for p in alternating}.items() <= {
        row["question"]: row["solution"].split()[-1] for row in made(42)
    }.items()
    metrics = lines(output / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2]
    assert "rewards/math/mean" in metrics[0]
    assert metrics[0]["rewards/answer_format/mean"] == 0  # nothing is boxed; the bonus makes nothing correct
    assert metrics[0]["grad_norm"] > 0
    evaluations = lines(output / "evaluation.jsonl")
    assert [(row["step"], row["num_problems"], row["num_samples"]) for row in evaluations] == [(0, 4, 4), (2, 4, 4)]
    assert evaluations[0]["distinct_correct"] is evaluations[0]["multiplicity"] is None
    samples = lines(output / "samples" / "step-000002.jsonl")
    assert len(samples) == 16
    assert {row["reason"] for row in samples} <= {"correct", "no_answer"}
    assert sum(row["correct"] for row in samples) == sum(evaluations[-1]["num_correct"])
    assert (output / "report.html").exists()
    assert (output / "model").exists()


def test_problems_are_set_apart_and_the_prompt_asks_for_a_box(tmp_path: Path, model: Path, problems: Path) -> None:
    arguments = ("--task", "math", "--model", model, "--data", problems, *RENAMED)
    train(tmp_path / "run", *arguments, "--steps", 1, "--eval-samples", 1)
    record = json.loads((tmp_path / "run" / "config.json").read_text("utf-8"))
    assert record["num_train_problems"] == 32
    assert record["removed_train_problems"] is None
    text = MathTask().prompt(MathProblem("Add 3 and 9.", "12"), chat=True)
    shown = AutoTokenizer.from_pretrained(model).apply_chat_template(text, tokenize=False, add_generation_prompt=True)
    assert "Add 3 and 9.\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "math"], ["needs a model", "--model"]),
        (["--task", "math", "--model", "M"], ["needs training problems", "--data"]),
        (["--task", "maths", "--model", "M", "--data", "D"], ["task must be one of countdown, math", "'maths'"]),
        (
            ["--task", "math", "--model", "M", "--data", "D", "--problems", "sizes=[3]"],
            ["CountDown", "the task is math"],
        ),
        (
            ["--task", "math", "--model", "M", "--data", "D", "--answer-format", "tags"],
            ["answer_format", "boxed", "'tags'"],
        ),
        (["--task", "math", "--model", "M", "--data", "D", "--format-bonus", "1"], ["format_bonus", "below 1"]),
        (["--problem-column", "q"], ["problem_column is for maths", "the task is countdown"]),
        (["--answer-column", "q"], ["answer_column is for maths"]),
        (["--format-bonus", "0.1"], ["format_bonus is for maths"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_settings_of_the_other_task_are_refused(
    tmp_path: Path, problems: Path, model: Path, arguments: list[str], words: list[str]
) -> None:
    given = [{"M": model, "D": problems}.get(word, word) for word in arguments]
    refused(tmp_path / "run", given, words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--answer-column", "answer"], ["row 1", "answer", "found question, solution, id"]),
        (["--answer-column", "answer.text"], ["row 1", "answer.text"]),
        (["--method", "gapo", *RENAMED], ["needs the number of solutions of each problem", "the task math"]),
    ],
)
def test_what_the_problems_can_not_give(
    tmp_path: Path, problems: Path, model: Path, arguments: list[str], words: list[str]
) -> None:
    refused(tmp_path / "run", ["--task", "math", "--model", model, "--data", problems, *arguments], words)


def test_nothing_left_to_train_on(tmp_path: Path, problems: Path, model: Path) -> None:
    given = [
        "--task",
        "math",
        "--model",
        model,
        "--data",
        problems,
        "--eval-data",
        problems,
        *RENAMED,
        "--num-eval",
        40,
    ]
    refused(tmp_path / "run", given, ["nothing is left to train on", "40 with the same text"])


def refused(output: Path, arguments: Sequence[object], words: Sequence[str]) -> None:
    done = unsharpen("train", "--output", output, *SMALL, *arguments)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    for word in words:
        assert word in done.err
    assert not output.exists()
