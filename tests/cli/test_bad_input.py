"""A newcomer's mistakes: one message that starts with "error:", exit code 2, and nothing left behind."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command import SMALL, Outcome, lines, unsharpen

from unsharpen.training.config import RunConfig, model_path


def refused(output: Path, *arguments: object) -> str:
    """The message of a training that never began."""
    done = unsharpen("train", "--output", output, *SMALL, *arguments)
    check(done)
    assert not output.exists()
    return done.err


def check(done: Outcome) -> None:
    assert done.code == 2, done
    assert not done.out
    assert done.err.startswith("error: ")
    assert done.err.count("error: ") == 1
    assert "Traceback" not in done.err


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "ds-grp"], ["unknown method 'ds-grp'", "did you mean", "ds-grpo"]),
        (["--method", "zzz"], ["unknown method 'zzz'"]),
        (
            ["--method", "ds-grpo", "--method-arg", "gama_p=1"],
            ["no coefficient 'gama_p'", "gamma_p", "gamma_n", "did you mean"],
        ),
        (["--method", "ds-grpo", "--method-arg", "gamma_p=much"], ["gamma_p", "number", "'much'"]),
        (["--method", "ds-grpo", "--method-arg", "gamma_p=nan"], ["gamma_p", "finite"]),
        (["--method", "ds-grpo", "--method-arg", "gamma_p=-1"], ["gamma_p", "at least 0", "-1"]),
        (["--method-arg", "gamma_p"], ["--method-arg takes name=value", "'gamma_p'"]),
        (["--method-arg", "=1"], ["--method-arg takes name=value", "'=1'"]),
        (["--set", "learning_rate"], ["--set takes name=value", "'learning_rate'"]),
        (["--lora", "r"], ["--lora takes name=value", "'r'"]),
        (["--problems", "sizes"], ["--problems takes name=value", "'sizes'"]),
        (["--set", "learning_rat=1"], ["no field 'learning_rat'", "did you mean", "learning_rate"]),
        (["--set", "learning_rate=abc"], ["learning_rate", "float", "'abc'"]),
        (["--set", "learning_rate=[1]"], ["learning_rate", "float", "[1]"]),
        (["--set", "learning_rate=true"], ["learning_rate", "float", "True"]),
        (["--set", "learning_rate=-1e-5"], ["learning_rate", "at least 0", "-1e-05"]),
        (["--set", "num_generations=2.0"], ["num_generations", "int", "2.0"]),
        (["--set", "bf16=maybe"], ["bf16", "bool", "'maybe'"]),
        (["--set", "max_completion_length=0"], ["max_completion_length", "at least 1"]),
        (["--set", "max_completion_length=none"], ["max_completion_length", "None"]),
        (["--set", "gradient_accumulation_steps=0"], ["gradient_accumulation_steps", "at least 1"]),
        (["--set", "per_device_train_batch_size=0"], ["per_device_train_batch_size", "at least 1"]),
        (["--set", "num_iterations=0"], ["num_iterations", "at least 1"]),
        (["--set", "temperature=0"], ["temperature", "above 0"]),
        (["--set", "temperature=0", "--eval-samples", "0"], ["temperature", "above 0"]),
        (["--set", "top_p=0"], ["top_p", "above 0"]),
        (["--set", "top_k=-5"], ["top_k", "at least 0", "-5"]),
        (["--set", "beta=-0.1"], ["beta", "at least 0", "-0.1"]),
        (["--set", "epsilon=-1"], ["epsilon", "at least 0", "-1"]),
        (["--set", "learning_rate=nan"], ["learning_rate", "finite", "nan"]),
        (["--set", "max_grad_norm=nan"], ["max_grad_norm", "finite", "nan"]),
        (["--set", "steps_per_generation=0"], ["steps_per_generation", "at least 1"]),
        (["--set", "report_to=tensorbored"], ["'tensorbored'", "tensorboard"]),
        (["--set", "scale_rewards=batch"], ["scale_rewards", "batch", "the method decides"]),
        (["--method", "ds-grpo", "--method-arg", "reference=base"], ["beta"]),
        (["--set", "num_generations=1"], ["at least 2 generations", "1"]),
        (["--set", "num_generations=3"], ["divisible", "num_generations", "3"]),
        (["--set", "per_device_train_batch_size=7"], ["divisible", "14", "4"]),
        (["--set", "optim=sgdd"], ["sgdd"]),
        (["--set", "output_dir=x"], ["--output"]),
        (["--set", "seed=1"], ["--seed"]),
        (["--steps", "0"], ["--steps", "at least 1", "0"]),
        (["--seed", "-1"], ["seed", "at least 0", "-1"]),
        (["--seed", str(2**32)], ["seed", "2**32"]),
        (["--num-train", "0"], ["num_train", "at least 1"]),
        (["--num-eval", "0"], ["num_eval", "at least 1"]),
        (["--num-eval", "9999"], ["num_eval", "at most", "9999"]),
        (["--eval-samples", "-1"], ["eval_samples", "at least 0"]),
        (["--eval-samples", "0", "--eval-every", "5"], ["eval_samples=0", "eval_every=5"]),
        (["--eval-every", "-1"], ["eval_every", "at least 0"]),
        (["--eval-set", "tset"], ["eval_set", "test", "validation", "'tset'"]),
        (["--task", "chess"], ["task", "countdown", "'chess'"]),
        (["--answer-format", "json"], ["answer_format", "tags", "boxed", "bare", "'json'"]),
        (["--problems", "size=[3]"], ["sizes", "'size'"]),
        (["--problems", "sizes=3"], ["sizes", "list", "3"]),
        (["--problems", 'sizes=["three"]'], ["sizes", "whole numbers", "three"]),
        (["--problems", "sizes=[9]"], ["sizes", "9"]),
        (["--problems", "numbers=[1,2,3]"], ["numbers", "[1, 2, 3]"]),
        (["--problems", "multiplicity=[1]"], ["multiplicity", "[1]"]),
        (["--problems", 'multiplicity=["few",null]'], ["multiplicity", "few"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_a_bad_setting(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    message = refused(tmp_path / "run", *arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "eval_strategy=steps", "--set", "eval_steps=1"], ["eval_dataset"]),
        (["--set", 'model_init_kwargs={"dtype":"float12"}'], ["dtype", "float12"]),
        (["--set", "model_init_kwargs=5"], ["refuse"]),
        (["--lora", "r=many"], ["refuse", "str"]),
        (["--lora", "r=0"], ["positive", "0"]),
        (["--lora", "rank=3"], ["LoraConfig", "rank"]),
        (["--lora", "target_modules=nowhere"], ["nowhere"]),
        (["--num-train", "10"], ["4 different problems", "2 for training"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_what_only_the_trainer_can_refuse(tmp_path: Path, data: Path, arguments: list[str], words: list[str]) -> None:
    message = refused(tmp_path / "run", "--data", data, *arguments)
    for word in words:
        assert word in message


def test_after_a_late_refusal_the_corrected_command_works(tmp_path: Path, data: Path) -> None:
    output = tmp_path / "a" / "b" / "run"
    refused(output, "--data", data, "--lora", "r=0")
    assert list(tmp_path.iterdir()) == []
    output.mkdir(parents=True)
    done = unsharpen("train", "--output", output, *SMALL, "--data", data, "--lora", "r=0")
    check(done)
    assert list(output.iterdir()) == []  # was there, and is as it was
    assert unsharpen("train", "--output", output, *SMALL, "--data", data, "--lora", "r=2").code == 0


@pytest.fixture
def fail_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Fail with the batch of a step; with 0 never again."""
    from unsharpen.engines.trl import DiverseGRPOTrainer
    from unsharpen.errors import EngineError

    generate, batches = DiverseGRPOTrainer._generate_and_score_completions, itertools.count(1)

    def arm(step: int) -> None:
        def fail(self: Any, inputs: Any) -> Any:
            if next(batches) == step:
                raise EngineError("no such luck")
            return generate(self, inputs)

        monkeypatch.setattr(DiverseGRPOTrainer, "_generate_and_score_completions", fail)

    return arm


def test_a_failure_in_the_first_step_leaves_the_folder_free(
    tmp_path: Path, data: Path, fail_in: Callable[[int], None]
) -> None:
    fail_in(1)
    assert "no such luck" in refused(tmp_path / "run", "--data", data, "--eval-samples", 0)


def test_a_failure_in_the_first_step_keeps_the_evaluation_of_the_base(
    tmp_path: Path, data: Path, fail_in: Callable[[int], None]
) -> None:
    fail_in(1)
    command = ("train", "--output", tmp_path / "run", *SMALL, "--data", data)
    check(unsharpen(*command))
    before = lines(tmp_path / "run" / "evaluation.jsonl")
    assert [row["step"] for row in before] == [0]
    assert unsharpen(*command, "--resume").code == 0
    assert lines(tmp_path / "run" / "evaluation.jsonl")[0] == before[0]


def test_a_failure_before_the_first_line_of_the_log_keeps_the_checkpoints(
    tmp_path: Path, data: Path, fail_in: Callable[[int], None]
) -> None:
    fail_in(3)
    settings = ("--set", "save_steps=1", "--set", "logging_steps=50", "--eval-samples", 0, "--steps", 4)
    command = ("train", "--output", tmp_path / "run", *SMALL, *settings, "--data", data)
    check(unsharpen(*command))
    assert (tmp_path / "run" / "checkpoint-2" / "trainer_state.json").exists()
    assert "already holds this run" in unsharpen(*command).err
    assert unsharpen(*command, "--resume").code == 0


# ------------------------------------------------------------------------------------------------- files


def problems_file(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


GOOD = {"nums": [1, 2, 3], "target": 6}


@pytest.mark.parametrize("option", ["--data", "--eval-data"])
@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("missing.jsonl", None, ["missing.jsonl", "neither a file"]),
        ("empty.jsonl", [], ["at least 1 row"]),
        ("rows.txt", [GOOD], [".txt", ".jsonl"]),
        ("rows.jsonl", [GOOD, {"nums": [1, 2]}], ["row 2", "target"]),
        ("rows.jsonl", [GOOD, GOOD, "{not json"], ["line 3", "JSON"]),
        ("rows.jsonl", [GOOD, [1, 2]], ["row 2", "object"]),
        ("rows.jsonl", [GOOD, {"nums": "one two", "target": 3}], ["row 2", "one"]),
        ("rows.jsonl", [GOOD, {"nums": [1, 2.5], "target": 3}], ["row 2", "2.5"]),
        ("rows.jsonl", [GOOD, {"nums": [1, 1], "target": 50}], ["row 2", "solution"]),
        ("rows.csv", ["nums,goal", '"1 2",3'], ["row 1", "target", "goal"]),
        ("rows.csv", ["nums,target", '"1 2",3', '"1 2",x'], ["row 2", "x"]),
        ("rows.parquet", ["PAR1 but not really"], ["Parquet"]),
    ],
)
def test_a_bad_data_file(tmp_path: Path, option: str, name: str, rows: list[Any] | None, words: list[str]) -> None:
    path = tmp_path / name
    if rows is not None:
        problems_file(path, rows)
    message = refused(tmp_path / "run", option, path)
    for word in words:
        assert word in message


def test_more_evaluation_problems_than_the_file_holds(tmp_path: Path, data: Path) -> None:
    message = refused(tmp_path / "run", "--data", data, "--num-eval", "40")
    assert "40 distinct problems" in message
    assert "--num-eval" in message


def test_training_and_evaluation_files_that_overlap(tmp_path: Path, data: Path) -> None:
    row = json.loads(data.read_text("utf-8").splitlines()[3])
    other = problems_file(tmp_path / "eval.jsonl", [{**row, "nums": row["nums"][::-1]}])  # in another order
    message = refused(tmp_path / "run", "--data", data, "--eval-data", other)
    assert "disjoint" in message
    assert "1 in both" in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("method: [grpo", ["not valid YAML"]),
        ("- grpo", ["mapping", "list"]),
        ("methd: grpo", ["'methd'", "did you mean method"]),
        ("5: grpo", ["no setting 5"]),
        ("method: 5", ["method must be text", "5"]),
        ("model: 5", ["model must be text"]),
        ("data: 5", ["data must be text"]),
        ("seed: one", ["seed", "whole number", "'one'"]),
        ("num_train: many", ["num_train", "whole number"]),
        ("eval_samples_during: true", ["eval_samples_during", "whole number", "True"]),
        ("keep_samples: 3", ["keep_samples", "true or false"]),
        ("trl: 5", ["--set", "mapping", "5"]),
        ("trl: {warmup: 5}", ["no field 'warmup'"]),
        ("method_args: [gamma_p]", ["--method-arg", "mapping"]),
        ("method_args: {1: 2}", ["method_args", "names"]),
        ("problems: 5", ["problems", "mapping"]),
        ("lora: 5", ["lora", "mapping"]),
    ],
)
def test_a_bad_configuration_file(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text, "utf-8")
    done = unsharpen("train", "--output", tmp_path / "run", "--config", path)
    check(done)
    assert not (tmp_path / "run").exists()
    for word in words:
        assert word in done.err


def test_a_configuration_that_is_no_text_or_no_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not valid YAML" in refused(tmp_path / "run", "--config", tmp_path / "run.yaml")
    assert "can't read" in refused(tmp_path / "run", "--config", tmp_path / "none.yaml")
    assert "can't read" in refused(tmp_path / "run", "--config", tmp_path)


# ------------------------------------------------------------------------------------------------ models


def no_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def torn_weights(model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def no_tokenizer(model: Path) -> None:
    for path in model.glob("tokenizer*"):
        path.unlink()


def unknown_architecture(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "abacus"}', "utf-8")


def no_pad_and_no_end(model: Path) -> None:
    path = model / "tokenizer_config.json"
    config = {k: v for k, v in json.loads(path.read_text("utf-8")).items() if k not in {"pad_token", "eos_token"}}
    path.write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_weights, ["load the model"]),
        (torn_weights, ["load the model"]),
        (no_tokenizer, ["tokenizer"]),
        (unknown_architecture, ["abacus"]),
        (no_pad_and_no_end, ["neither a pad token nor an end-of-text token", "hint"]),
    ],
)
def test_a_damaged_model(tmp_path: Path, data: Path, damage: Callable[[Path], None], words: list[str]) -> None:
    model = tmp_path / "model"
    shutil.copytree(model_path(RunConfig()), model)
    damage(model)
    message = refused(tmp_path / "run", "--model", model, "--data", data)
    for word in words:
        assert word in message


@pytest.mark.parametrize("name", ["/no/such/model", "no-such/model", "no such model"])
def test_a_missing_model(tmp_path: Path, name: str) -> None:
    message = refused(tmp_path / "run", "--model", name)
    assert repr(name) in message
    assert "countdown-tiny" in message


# ----------------------------------------------------------------------------------------------- outputs


def test_an_output_below_a_file_or_that_is_a_file(tmp_path: Path, data: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine", "utf-8")
    for output in (file, file / "run"):
        done = unsharpen("train", "--output", output, *SMALL, "--data", data)
        check(done)
        assert str(output) in done.err
        assert "--output" in done.err
    assert file.read_text("utf-8") == "mine"


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_folder_with_something_else_in_it(tmp_path: Path, data: Path, resume: list[str]) -> None:
    (tmp_path / "thesis.tex").write_text("mine", "utf-8")
    done = unsharpen("train", "--output", tmp_path, *SMALL, "--data", data, *resume)
    check(done)
    assert "not empty" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text("utf-8") == "mine"


def test_data_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("mine", "utf-8")
    for arguments, word in (
        (["--output", there], "--force"),
        (["--output", tmp_path / "no" / "such" / "folder.csv"], "can't write"),
        (["--output", tmp_path / "rows.xlsx"], ".xlsx"),
        (["--output", tmp_path / "rows.csv", "--num", "0"], "at least 1 row"),
        (["--output", tmp_path / "rows.csv", "--num", "-3"], "num_problems"),
        (["--output", tmp_path / "rows.csv", "--size", "9"], "sizes"),
        (["--output", tmp_path / "rows.csv", "--numbers", "5", "2"], "numbers"),
        (["--output", tmp_path / "rows.csv", "--split", "test"], "split"),
        (["--output", tmp_path / "rows.csv", "--multiplicity", "0", "0"], "multiplicity"),
        (["--output", tmp_path / "rows.csv", "--num", "9", "--size", "1", "--numbers", "1", "1"], "distinct problems"),
    ):
        done = unsharpen("data", "countdown", *arguments)
        check(done)
        assert word in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["there.csv"]
    assert there.read_text("utf-8") == "mine"


def test_demo_refuses_before_it_writes(tmp_path: Path) -> None:
    for arguments in (["--steps", "0"], ["--num-eval", "0"], ["--seed", "-1"]):
        done = unsharpen("demo", "--output", tmp_path / "demo", *arguments)
        check(done)
        assert not (tmp_path / "demo").exists()
