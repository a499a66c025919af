"""``unsharpen demo``: both methods, one report, and a second call that has nothing left to do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from tests.cli.command import lines, unsharpen

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.tasks import CountDown, CountDownProblem
from unsharpen.training import problems, trl_arguments
from unsharpen.training.config import RunConfig

METHODS = ("grpo", "ds-grpo-centered")


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    for field, value in (("per_device_train_batch_size", 8), ("gradient_accumulation_steps", 2)):
        monkeypatch.setitem(trl_arguments._TINY, field, value)
    generate = problems._generated_train

    def few(task: CountDown, config: RunConfig, exclude: set[str]) -> list[CountDownProblem]:
        return generate(task, dataclasses.replace(config, num_train=64), exclude)

    monkeypatch.setattr(problems, "_generated_train", few)


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "demo"
    arguments = ("demo", "--steps", 2, "--num-eval", 4, "--output", output)
    done = unsharpen(*arguments)
    assert done.code == 0, done.err
    report = output / "report.html"
    assert done.out.splitlines()[-1] == f"report: {report.resolve()}"
    page = report.read_text("utf-8")
    assert "GRPO beside differential smoothing" in page
    for word in ("base", "GRPO", "DS-GRPO-centered", "Pass@1", "Pass@128"):
        assert word in page
        assert word in done.out
    configs = []
    for method in METHODS:
        assert [row["step"] for row in lines(output / method / "metrics.jsonl")] == [1, 2]
        assert [row["step"] for row in lines(output / method / "evaluation.jsonl")] == [0, 2]
        assert (output / method / "report.html").exists()
        assert (output / method / "model" / "model.safetensors").exists()
        configs.append(json.loads((output / method / "config.json").read_text("utf-8")))
    one, two = configs
    assert (one["method"], two["method"]) == METHODS
    assert {key for key in one if one[key] != two[key]} <= {"method", "method_args", "grpo_config"}  # the output
    bases = [lines(output / method / "evaluation.jsonl")[0] for method in METHODS]
    assert bases[0] == bases[1]  # evaluated once

    report.unlink()
    monkeypatch.setattr(DiverseGRPOTrainer, "__init__", lambda *_, **__: pytest.fail("trained again"))
    again = unsharpen(*arguments)
    assert again.code == 0, again.err
    assert again.out.splitlines()[-1] == f"report: {report.resolve()}"
    assert report.read_text("utf-8") == page

    other = unsharpen("demo", "--steps", 3, "--num-eval", 4, "--output", output)
    assert other.code == 2
    assert other.err.startswith("error: ")
    assert "max_steps" in other.err
    assert report.read_text("utf-8") == page
