"""Reading run folders: what is there, what is torn, what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unsharpen.errors import DataError
from unsharpen.reports import load_run
from unsharpen.reports.runs import base_models, labels

MakeRun = Callable[..., Path]


def test_base_and_final(make_run: MakeRun) -> None:
    run = load_run(make_run(method="ds-grpo"))
    assert run.label == "DS-GRPO"
    assert [e.step for e in run.evaluations] == [0, 150, 300, 450, 600]
    assert (run.base.step, run.base.num_samples) == (0, 128)
    assert (run.final.step, run.final.num_samples) == (600, 128)
    assert run.final.settings["temperature"] == 1.0
    assert len(run.metrics) == 19
    assert run.notes == ()
    unsolved = run.final.num_correct < 2  # one correct sample has nothing to differ from
    assert np.isnan(run.final.effective_solutions[unsolved]).all()
    assert not np.isnan(run.final.effective_solutions[~unsolved]).any()
    np.testing.assert_allclose(run.final.pass_at(1), run.final.num_correct / 128)


def test_of_two_evaluations_at_a_step_the_larger_is_final_and_a_repeated_one_replaces(
    make_run: MakeRun,
) -> None:
    folder = make_run(problems=4)
    lines = (folder / "evaluation.jsonl").read_text().splitlines()
    again = json.loads(lines[-1])
    smaller = {**again, "num_samples": 64, "num_correct": [1, 1, 1, 1]}
    again["num_correct"] = [7, 7, 7, 7]
    with (folder / "evaluation.jsonl").open("a") as file:
        file.write(json.dumps(again) + "\n" + json.dumps(smaller) + "\n")
    run = load_run(folder)
    assert len(run.evaluations) == len(lines) + 1
    assert (run.final.num_samples, run.final.num_correct.tolist()) == (128, [7, 7, 7, 7])


def test_metrics_of_one_step_are_merged_and_may_be_missing(make_run: MakeRun) -> None:
    folder = make_run()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 19, "train_runtime": 5.0}\n')
    last = load_run(folder).metrics[-1]
    assert (last["step"], last["train_runtime"], last["entropy"]) == (19, 5.0, 1.2)
    (folder / "metrics.jsonl").unlink()
    assert load_run(folder).metrics == ()


def test_a_torn_last_line_is_dropped_and_noted(make_run: MakeRun) -> None:
    folder = make_run()
    text = (folder / "evaluation.jsonl").read_text()
    (folder / "evaluation.jsonl").write_text(text[:-40])
    run = load_run(folder)
    assert run.final.step == 450
    assert run.notes == ("evaluation.jsonl: the torn last line (5) was dropped",)


def test_labels_are_distinct(make_run: MakeRun) -> None:
    a, b = load_run(make_run("a")), load_run(make_run("b", seed=1))
    assert labels([a, b]) == ["GRPO (seed 0)", "GRPO (seed 1)"]
    c = load_run(make_run("low-lr"))
    assert labels([a, c]) == ["GRPO (a)", "GRPO (low-lr)"]
    named = load_run(make_run("named", label="my run"))
    assert labels([a, named]) == ["GRPO", "my run"]


def test_one_base_per_starting_model(make_run: MakeRun) -> None:
    a, b = load_run(make_run("a")), load_run(make_run("b", model="other"))
    assert list(base_models([a, a])) == ["base"]
    assert list(base_models([a, b])) == ["base (countdown-tiny)", "base (other)"]


def test_missing_files_are_named(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(DataError, match=r"lacks config.json and evaluation.jsonl") as caught:
        load_run(tmp_path / "nowhere")
    assert caught.value.hint is not None
    folder = make_run()
    (folder / "evaluation.jsonl").unlink()
    with pytest.raises(DataError, match=r"lacks evaluation.jsonl"):
        load_run(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_samples": None}, r"evaluation.jsonl, line 1: "),
        ({"num_correct": [1, 500, 3]}, r"num_correct must be at most num_samples; found num_correct 500"),
        ({"num_correct": [1, 2.5, 3]}, r"num_correct must hold integers; found float64"),
        ({"num_correct": [1, 2]}, r"num_correct must hold one number per problem \(3,\); found \(2,\)"),
        ({"distinct_correct": [1]}, r"distinct_correct must hold one number per problem"),
        ({"multiplicity": [1, None, 2]}, r"multiplicity must be known for every problem"),
        ({"num_correct": "abc"}, r"line 1: could not convert"),
        ({"num_problems": 0, "num_correct": []}, r"one number per problem"),
        ({"step": 5}, r"must hold an evaluation of the base model \(step 0\); found 4 evaluations"),
    ],
)
def test_malformed_evaluations(make_run: MakeRun, change: dict[str, object], message: str) -> None:
    folder = make_run(problems=3, every=200)
    first, *rest = (folder / "evaluation.jsonl").read_text().splitlines()
    (folder / "evaluation.jsonl").write_text("\n".join([json.dumps({**json.loads(first), **change}), *rest]))
    with pytest.raises(DataError, match=message):
        load_run(folder)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("config.json", "{", r"config.json must be a JSON object"),
        ("config.json", "[1]", r"config.json must be a JSON object; found list"),
        ("evaluation.jsonl", '{"step"\n{"step": 0}\n', r"evaluation.jsonl, line 1 must be a JSON object"),
        ("evaluation.jsonl", '{"step": 0}\n', r"line 1 lacks \['num_samples', 'num_correct'\]"),
        ("evaluation.jsonl", "", r"found 0 evaluations"),
    ],
)
def test_malformed_files(make_run: MakeRun, name: str, text: str, message: str) -> None:
    folder = make_run()
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_run(folder)


def test_a_file_that_is_not_text(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="readable UTF-8"):
        load_run(folder)
