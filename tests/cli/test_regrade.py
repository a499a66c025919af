"""``unsharpen regrade`` as a shell sees it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.command import unsharpen
from tests.reports.evaluations import write_evaluation


def store(folder: Path) -> Path:
    row = {"task": "countdown", "problem_id": "3,5,8=16", "sample_id": 0, "model": "m", "completion": "3+5+8"}
    row |= {"finish_reason": "stop", "num_tokens": 5, "logprob": -1.0, "correct": False, "reason": "no_answer"}
    rows = [{**row, "sample_id": i, "canonical": None, "seed": i} for i in range(2)]
    problems = {"3,5,8=16": {"text": "Reach 16 from 3, 5, 8", "multiplicity": 1}}
    return write_evaluation(folder, rows, problems, task="countdown", num_samples=2, answer_format="tags")


def test_it_says_what_changed_and_where_it_is(tmp_path: Path) -> None:
    done = unsharpen("regrade", store(tmp_path / "old"), "--answer-format", "bare")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "2 samples graded again; 2 verdicts changed: 2 are now correct, 0 no longer; 0 other answers are told apart "
        "differently",
        "  no_answer -> correct: 2",
        f"samples: {tmp_path / 'old-regraded' / 'samples.jsonl'}",
    ]
    settings = json.loads((tmp_path / "old-regraded" / "settings.json").read_text("utf-8"))
    assert settings["answer_format"] == "bare"
    assert unsharpen("metrics", tmp_path / "old-regraded").code == 0


def test_wrong_usage_is_one_message(tmp_path: Path) -> None:
    folder = store(tmp_path / "old")
    for arguments, words in [
        ((tmp_path,), "has no settings.json"),
        ((tmp_path / "nosuch",), "there is no such folder"),
        ((folder, "--output", folder), "is there already"),
        ((folder, "--answer-column", "gold"), "must come with data"),
        ((folder, "--data", tmp_path / "none.jsonl"), "neither a file nor"),
    ]:
        done = unsharpen("regrade", *arguments)
        assert done.code == 2
        assert done.err.startswith("error: ")
        assert words in done.err
