"""``unsharpen compare`` from start to end, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import unsharpen
from tests.comparison.fake import FakeTrain

from unsharpen.cli.compare import study_values
from unsharpen.errors import InputError
from unsharpen.reports import load_run
from unsharpen.training.folder import read_jsonl

TINY = (
    *("--set", "per_device_train_batch_size=8", "--set", "gradient_accumulation_steps=2", "--set", "num_generations=4"),
    *("--set", "max_completion_length=14", "--num-eval", 8, "--eval-samples", 4, "--eval-every", 0, "--seeds", 1),
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTrain:
    train = FakeTrain(fail={"psr": "no wrong completion"})
    monkeypatch.setattr("unsharpen.training.run.train", train)
    return train


def test_two_methods_one_seed_two_steps(tmp_path: Path, data: Path) -> None:
    """The real training, then the same command again, then the report alone."""
    output = tmp_path / "compare"
    command = ("compare", "grpo", "ds-grpo-robust", *TINY, "--data", data, "--steps", 2, "--output", output)
    done = unsharpen(*command)
    assert done.code == 0, done.err
    assert "results/grpo/seed-0: done" in done.out
    assert done.out.splitlines()[-1] == f"report: {output / 'report.html'}"
    runs = [load_run(output / f"results/{name}/seed-0") for name in ("grpo", "ds-grpo-robust")]
    assert [run.final.step for run in runs] == [2, 2]
    assert [run.final.num_samples for run in runs] == [4, 4]
    rows = [read_jsonl(run.path / "evaluation.jsonl")[0] for run in runs]
    assert rows[0] == rows[1]  # one evaluation of the base
    assert [row["step"] for row in read_jsonl(runs[0].path / "metrics.jsonl")] == [1, 2]
    assert not list(output.rglob("*.safetensors"))
    assert not list((output / "work").rglob("config.json"))

    again = unsharpen(*command)
    assert again.code == 0
    assert "done," not in again.out
    report = (output / "report.html").read_bytes()
    (output / "report.html").unlink()
    only = unsharpen("compare", "--report-only", output)
    assert only.code == 0, only.err
    assert (output / "report.html").read_bytes() == report
    assert "ds-grpo-robust" in only.out


def test_levers_that_need_no_training(tmp_path: Path, data: Path) -> None:
    output = tmp_path / "compare"
    levers = ("--temperature", 0.5, "--base-share", 0.5)
    done = unsharpen("compare", "grpo", *TINY, "--data", data, "--steps", 1, "--output", output, *levers)
    assert done.code == 0, done.err
    assert "base at temperature 0.5: done" in done.out
    assert "results/grpo/seed-0 at temperature 0.5, 0.5 of the base: done" in done.out
    rows = read_jsonl(output / "levers" / "grpo" / "seed-0.jsonl")
    assert [(row["base_share"], row["temperature"]) for row in rows] == [(0.0, 0.5), (0.5, 1.0), (0.5, 0.5)]
    assert "at equal Pass@1" in done.out


def test_levers_of_a_file_of_which_some_methods_are_run(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("methods: {grpo: , rloo: , ds-grpo: }\nlevers: {temperatures: [0.5], methods: [grpo, rloo]}\n")
    given = [study_values(path, {"settings": {}}, names, [], tune=False)["levers"] for names in (["rloo"], ["ds-grpo"])]
    assert given == [{"temperatures": [0.5], "methods": ["rloo"]}, None]
    path.write_text("methods: [grpo, rloo]\nlevers: {temperatures: [0.5], base_shares: [0.3], mixed: [rloo]}\n")
    given = [study_values(path, {"settings": {}}, names, [], tune=False)["levers"] for names in (["rloo"], ["grpo"])]
    assert given == [{"temperatures": [0.5], "base_shares": [0.3], "mixed": ["rloo"]}, {"temperatures": [0.5]}]


def test_a_dry_run_lists_what_would_be_run(tmp_path: Path, fake: FakeTrain) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("methods: {grpo: , ds-grpo-robust: {tune: {gamma_p: [0.1, 0.2]}}}\ntune: {steps: 4}\nsteps: 6\n")
    done = unsharpen("compare", "--config", path, "--output", tmp_path / "out", "--seeds", 2, "--dry-run")
    assert done.code == 0, done.err
    lines = done.out.splitlines()[-7:]
    assert lines[0] == "3 tuning runs at most"
    assert lines[2] == "  ds-grpo-robust: 2 of 4 steps; gamma_p 0.1 or gamma_p 0.2"
    assert lines[3:6] == ["4 test runs, with the settings that the tuning chooses", "  grpo: 2 of 6 steps",
                          "  ds-grpo-robust: 2 of 6 steps"]  # fmt: skip
    assert not (tmp_path / "out").exists()
    assert not fake.steps
    bad = unsharpen("compare", "grpo", "--set", "num_generations=1", "--output", tmp_path / "out", "--dry-run")
    assert bad.code == 2


def test_a_run_of_some_minutes(tmp_path: Path, data: Path) -> None:
    """The budget is used up by the first step already; the run ends there, evaluated."""
    output = tmp_path / "compare"
    done = unsharpen("compare", "grpo", *TINY, "--data", data, "--minutes", 1e-6, "--output", output)
    assert done.code == 0, done.err
    run = load_run(output / "results/grpo/seed-0")
    assert 1 <= run.final.step <= 2
    assert run.final.num_samples == 4
    assert "done," not in unsharpen("compare", "grpo", *TINY, "--data", data, "--minutes", 1e-6, "--output", output).out


def test_failed_runs_end_in_the_table(tmp_path: Path, fake: FakeTrain) -> None:
    command = ("compare", "grpo", "psr", "--steps", 2, "--seeds", 1, "--output", tmp_path / "c")
    done = unsharpen(*command)
    assert done.code == 0
    assert "failed: psr seed-0: no wrong completion" in done.out
    fake.fail = {}
    again = unsharpen(
        "compare", "grpo", "psr", "--steps", 2, "--seeds", 1, "--output", tmp_path / "c", "--retry-failed"
    )
    assert "failed:" not in again.out


def test_a_stop_is_exit_code_130_and_the_same_command_continues(tmp_path: Path, fake: FakeTrain) -> None:
    fake.stop = ("grpo", 0, 2)
    command = ("compare", "grpo", "--steps", 3, "--seeds", 1, "--output", tmp_path / "c")
    stopped = unsharpen(*command)
    assert stopped.code == 130
    assert (
        stopped.out.splitlines()[-1]
        == f"stopped; what is done is kept in {tmp_path / 'c'}, and the same command continues."
    )
    assert unsharpen(*command).code == 0
    assert [step for _, _, step in fake.steps] == [1, 2, 3]


def test_a_study_is_one_file(tmp_path: Path, fake: FakeTrain) -> None:
    path = tmp_path / "compare.yaml"
    path.write_text(
        "seeds: 1\nsteps: 2\nsettings: {eval_samples: 16}\n"
        "methods:\n  grpo:\n  ds-grpo-robust: {tune: {gamma_p: [.1, .2]}}\n  rloo:\n"
        "tune: {steps: 1, learning_rates: [1e-4, 3e-4], max_k: 8}\n"
    )
    done = unsharpen("compare", "--config", path, "--output", tmp_path / "c")
    assert done.code == 0, done.err
    assert done.out.startswith("The rule of the choice: The reference (grpo) gets the setting with the highest Pass@1")
    assert (tmp_path / "c/tuning/choices.json").exists()
    part = unsharpen("compare", "grpo", "--config", path, "--output", tmp_path / "part")
    assert part.code == 0
    assert {p.name for p in (tmp_path / "part/results").iterdir()} == {"grpo"}


def values(methods: list[str], pairs: list[str], *, tune: bool = False, **given: Any) -> dict[str, Any]:
    return study_values(None, {"settings": {}, **given}, methods, pairs, tune=tune)


def test_coefficients_of_one_method() -> None:
    found = values(["grpo", "ds-grpo"], ["ds-grpo:gamma_p=0.2", "ds-grpo:gamma_n=[0,0.1]"], tune=True)
    assert found["methods"] == {
        "grpo": None,
        "ds-grpo": {"method_args": {"gamma_p": 0.2}, "tune": {"gamma_n": [0, 0.1]}},
    }
    assert found["tune"] == {}
    with pytest.raises(InputError, match="each method is named once"):
        values(["grpo", "grpo"], [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["needs methods"]),
        (["ds-grop"], ["unknown method 'ds-grop'", "did you mean"]),
        (["grpo", "--method-arg", "rloo:x=1"], ["names no method of the comparison"]),
        (["grpo", "--method-arg", "gamma_p=1"], ["method:name=value"]),
        (["grpo", "--method-arg", "grpo:gamma_p=1"], ["no coefficient 'gamma_p'"]),
        (["grpo", "--steps", "3", "--minutes", "1"], ["steps or minutes", "both"]),
        (["grpo", "--steps", "0"], ["steps", "at least 1"]),
        (["grpo", "--seeds", "0"], ["seeds", "at least 1"]),
        (["grpo", "--lr", "-1"], ["learning_rates", "above 0"]),
        (["grpo", "--lr", "1e-4", "--lr", "1e-4"], ["learning_rates must differ"]),
        (["grpo", "--jobs", "0"], ["--jobs", "at least 1"]),
        (["grpo", "--reference", "rloo"], ["reference must be one of the methods"]),
        (["grpo", "--set", "max_steps=3"], ["max_steps is what the comparison sets"]),
        (["grpo", "--set", "learning_rat=3"], ["grpo: GRPOConfig has no field"]),
        (["grpo", "grpo-kl", "--set", "beta=0.1"], ["grpo-kl: `beta` belongs to the method"]),
        (["grpo", "--import", "nowhere"], ["--import needs the folder of a comparison"]),
        (["grpo", "--num-eval", "0"], ["num_eval", "at least 1"]),
        (["grpo", "--report-only", "x"], ["neither methods nor --config"]),
    ],
)
def test_what_is_refused(tmp_path: Path, fake: FakeTrain, arguments: list[str], words: list[str]) -> None:
    done = unsharpen("compare", *arguments, "--output", tmp_path / "c")
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    for word in words:
        assert word in done.err
    assert not (tmp_path / "c").exists()
    assert fake.steps == []


def test_wrong_files(tmp_path: Path) -> None:
    path = tmp_path / "compare.yaml"
    path.write_text("methods: {grpo: }\nseed: 3\n")
    done = unsharpen("compare", "--config", path, "--output", tmp_path / "c")
    assert (done.code, "no key 'seed'" in done.err, "seeds" in done.err) == (2, True, True)
    path.write_text("methods: grpo\n")
    assert "methods must be a mapping" in unsharpen("compare", "--config", path).err
    path.write_text("methods: [grpo: {seeds: 2}]\n")
    assert "methods must be a mapping" in unsharpen("compare", "--config", path).err
    path.write_text("methods: {grpo: }\n")
    assert f"{path} has no methods rloo" in unsharpen("compare", "rloo", "--config", path).err
    assert "holds no finished run" in unsharpen("compare", "--report-only", tmp_path).err
    record = tmp_path / "results/grpo/seed-0"
    record.mkdir(parents=True)
    (record / "config.json").write_text(json.dumps({"seed": 0}))
    refused = unsharpen("compare", "--report-only", tmp_path)
    assert refused.code == 2
    assert f"{record} lacks evaluation.jsonl" in refused.err
