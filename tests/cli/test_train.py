"""``unsharpen train`` from start to end."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.cli.command import SMALL, in_a_process, lines, train, unsharpen
from transformers import AutoModelForCausalLM, AutoTokenizer

from unsharpen.methods import get_method
from unsharpen.metrics import effective_number, pass_at_k
from unsharpen.reports import load_run, summary_table
from unsharpen.tasks import CountDown
from unsharpen.training.config import RunConfig, model_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 4 steps on generated problems, evaluated at 0, 2 and 4."""
    torch.set_num_threads(1)
    output = tmp_path_factory.mktemp("train") / "run"
    done = train(output, "--num-train", 16, "--steps", 4, "--eval-every", 2, "--set", "learning_rate=1e-3")
    assert "step 4/4" in done.out
    assert "Pass@1" in done.out
    assert done.out.splitlines()[-1] == f"report: {output / 'report.html'}"
    assert f"model:  {output / 'model'}" in done.out
    assert not done.err
    return output


def test_what_the_folder_holds(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "evaluation.jsonl", "samples", "model", "report.html"}
    assert names >= {"checkpoint-2", "checkpoint-4", "pass-at-k.png", "dynamics.png"}
    assert not [name for name in names if "tmp" in name or "partial" in name]
    for figure in finished.glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")
    report = (finished / "report.html").read_text("utf-8")
    assert "DS-GRPO-centered" in report
    assert "Pass@1" in report


def test_the_configuration_can_be_repeated(finished: Path) -> None:
    record = json.loads((finished / "config.json").read_text("utf-8"))
    assert record["seed"] == 0
    assert record["method"] == "ds-grpo-centered"
    assert record["method_args"] == dict(get_method("ds-grpo-centered").coefficients)
    assert record["trl"] == {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "num_generations": 4,
        "max_completion_length": 14,
        "max_steps": 4,
        "learning_rate": 1e-3,
    }
    assert record["grpo_config"]["learning_rate"] == 1e-3
    assert record["num_train_problems"] == 16
    assert {"python", "unsharpen", "torch", "transformers", "trl", "peft"} <= record["versions"].keys()
    assert all(record["versions"].values())
    assert record["command"].startswith("unsharpen train --output ")
    assert re.fullmatch("[0-9a-f]{40}", record["source_revision"] or "0" * 40)
    fields = {name: record[name] for name in RunConfig().as_dict()}
    assert RunConfig.from_dict(fields).as_dict() == fields


def test_each_step_is_one_row(finished: Path) -> None:
    rows = lines(finished / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert {"loss", "reward", "pass@1", "pass@4", "uniform_groups", "shaping_ratio"} <= row.keys()
        assert row["reward"] == pytest.approx(row["pass@1"])  # the reward is 1 for a correct completion
        assert row["pass@1"] <= row["pass@4"] <= 1


def test_evaluations_follow_from_the_samples(finished: Path) -> None:
    """Every count from the written completions, by a loop of its own."""
    task = CountDown(answer_format="bare")
    rows = lines(finished / "evaluation.jsonl")
    assert [(row["step"], row["num_samples"]) for row in rows] == [(0, 4), (2, 64), (4, 4)]
    for row in rows:
        samples = lines(finished / "samples" / f"step-{row['step']:06d}.jsonl")
        keys = list(dict.fromkeys(sample["problem"] for sample in samples))
        assert len(keys) == row["num_problems"] == 8
        for i, key in enumerate(keys):
            nums, _, target = key.partition("=")
            problem = task.problem([int(n) for n in nums.split(",")], int(target))
            own = [sample for sample in samples if sample["problem"] == key]
            found: Counter[str] = Counter()
            for sample in own:
                verdict = task.verify(problem, sample["completion"])
                assert (verdict.correct, verdict.reason) == (sample["correct"], sample["reason"])
                if verdict.correct:
                    found[str(verdict.canonical)] += 1
            assert len(own) == row["num_samples"]
            assert row["num_correct"][i] == sum(found.values())
            assert row["distinct_correct"][i] == len(found)
            assert row["effective_solutions"][i] == (
                effective_number(list(found.values())) if found.total() >= 2 else None
            )
            assert row["multiplicity"][i] == len(task.solutions(problem))


def test_the_table_says_what_the_counts_say(finished: Path) -> None:
    evaluations = lines(finished / "evaluation.jsonl")
    base, trained = summary_table([load_run(finished)]).rows
    report = (finished / "report.html").read_text("utf-8")
    for row, evaluation in ((base, evaluations[0]), (trained, evaluations[-1])):
        for k in (1, 4):
            expected = np.mean([pass_at_k(4, c, k) for c in evaluation["num_correct"]])
            interval: Any = row.values[f"Pass@{k}"]
            assert interval.value == pytest.approx(expected)
            assert f"{expected:.3f}".lstrip("0") in report


@pytest.mark.parametrize("part", ["checkpoint-2", "checkpoint-4", "model"])
def test_models_load_with_transformers(finished: Path, part: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(finished / part)
    tokenizer = AutoTokenizer.from_pretrained(finished / part)
    encoded = tokenizer(CountDown(answer_format="bare").prompt(CountDown().problem([3, 5, 8], 24)), return_tensors="pt")
    assert model.generate(input_ids=encoded["input_ids"], max_new_tokens=3, pad_token_id=0).shape[0] == 1
    weights, base = (load_file(p / "model.safetensors") for p in (finished / part, Path(model_path(RunConfig()))))
    assert any(not torch.equal(weights[name], base[name]) for name in base)


def test_the_last_checkpoint_is_the_model(finished: Path) -> None:
    last, model = (load_file(finished / part / "model.safetensors") for part in ("checkpoint-4", "model"))
    assert all(torch.equal(last[name], model[name]) for name in model)


def test_a_yaml_file_is_the_same_as_options(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "options", "--data", data, "--method", "grpo-low-lr", "--set", "learning_rate=2e-3")
    yaml = tmp_path / "run.yaml"
    yaml.write_text(
        f"""
        method: maxrl  # the option below overrides it
        data: {data}
        num_eval: 8
        eval_samples: 4
        eval_every: 0
        trl:
          per_device_train_batch_size: 8
          gradient_accumulation_steps: 2
          num_generations: 4
          max_completion_length: 14
          max_steps: 9
          learning_rate: 2e-3
        """,
        "utf-8",
    )
    arguments = ("--config", yaml, "--steps", 2, "--method", "grpo-low-lr")
    assert unsharpen("train", "--output", tmp_path / "yaml", *arguments).code == 0
    one, two = (json.loads((tmp_path / name / "config.json").read_text("utf-8")) for name in ("options", "yaml"))
    assert {k: v for k, v in one.items() if k not in {"command", "grpo_config"}} == {
        k: v for k, v in two.items() if k not in {"command", "grpo_config"}
    }
    assert same_weights(tmp_path / "options", tmp_path / "yaml")


def same_weights(one: Path, two: Path) -> bool:
    a, b = (load_file(path / "model" / "model.safetensors") for path in (one, two))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_seed_decides_the_run(tmp_path: Path, data: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)  # what happened before in the process does not matter
        train(tmp_path / name, "--data", data, "--seed", seed, "--set", "learning_rate=1e-3")
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


# ---------------------------------------------------------------------------------------------- trackers


def test_tensorboard(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", "--data", data, "--set", "report_to=tensorboard")
    (events,) = tmp_path.glob("run/runs/*/events.out.tfevents.*")
    assert b"train/pass@4" in events.read_bytes()


def test_trackio(tmp_path: Path, data: Path) -> None:
    """Its own process, since the library reads TRACKIO_DIR once."""
    arguments = ["--data", data, "--set", "report_to=trackio", "--set", "project=unsharpen-test"]
    done = in_a_process(
        ["-m", "unsharpen", "train", "--output", tmp_path / "run", *SMALL, *arguments],
        TRACKIO_DIR=str(tmp_path / "trackio"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with sqlite3.connect(tmp_path / "trackio" / "unsharpen-test.db") as database:
        rows = database.execute("select * from metrics").fetchall()
    database.close()
    assert "pass@4" in str(rows)


# -------------------------------------------------------------------------------------- several processes


def test_two_processes(tmp_path: Path, data: Path) -> None:
    arguments = ["--set", "gradient_accumulation_steps=1", "--num-eval", 7, "--data", data]
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "--num_machines", 1]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", 0]
    done = in_a_process(
        [*launch, "-m", "unsharpen", "train", "--output", tmp_path / "run", *SMALL, *arguments],
        ACCELERATE_USE_CPU="true",  # gloo; `accelerate launch --cpu` would start one process
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "run"
    assert (run / "checkpoint-2" / "rng_state_1.pth").exists()  # there were two
    assert [row["step"] for row in lines(run / "metrics.jsonl")] == [1, 2]
    assert done.stdout.count("report:") == 1  # one of them speaks
    evaluations = lines(run / "evaluation.jsonl")
    assert [row["step"] for row in evaluations] == [0, 2]
    samples = lines(run / "samples" / "step-000002.jsonl")
    assert len(samples) == 7 * 4
    assert [row["problem"] for row in samples[::4]] == list(dict.fromkeys(row["problem"] for row in samples))
    correct = [sum(row["correct"] for row in samples[i : i + 4]) for i in range(0, 28, 4)]
    assert correct == evaluations[-1]["num_correct"]
    assert (run / "model" / "model.safetensors").exists()


def test_later_configurations_win_and_mappings_are_merged(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("method: grpo\nseed: 3\ntrl: {learning_rate: 1e-4, temperature: 0.7}", "utf-8")
    (tmp_path / "b.yaml").write_text("method: rloo\ntrl: {learning_rate: 2e-4}", "utf-8")
    files = ("--config", tmp_path / "a.yaml", "--config", tmp_path / "b.yaml")
    done = unsharpen("train", *files, "--set", "max_steps=7", "--dry-run")
    assert done.code == 0, done.err
    assert "method        rloo" in done.out
    for word in ("learning_rate=0.0002", "temperature=0.7", "max_steps=7"):
        assert word in done.out


def test_a_dry_run_shows_what_the_settings_come_to_and_leaves_nothing(tmp_path: Path) -> None:
    output = tmp_path / "run"
    settings = ("--set", "num_generations=8", "--set", "generation_batch_size=1024", "--lora", "r=4")
    done = unsharpen(
        "train", "--output", output, "--num-train", 128, *settings, "--method", "entropy-bonus", "--dry-run"
    )
    assert done.code == 0, done.err
    assert "1024 completions (128 prompts x 8), updates per batch: 2 of 512, processes: 1" in done.out
    assert "model         countdown-tiny (llama)" in done.out
    assert "128 problems for training, 128 for evaluation" in done.out
    assert "entropy_coef=0.001" in done.out  # what the method sets
    assert "LoraConfig    r=4" in done.out
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "num_generation=8"], ["num_generation", "num_generations"]),
        (["--set", "num_generations=7"], ["divisible", "num_generations", "7"]),
        (["--method", "ds-grop"], ["ds-grop", "did you mean"]),
        (["--method", "clip-higher", "--set", "epsilon_high=0.3"], ["epsilon_high", "clip-higher"]),
        (["--lora", "rank=4"], ["LoraConfig", "rank"]),
        (["--method", "wise-ft", "--lora", "r=4"], ["wise-ft", "only an adapter", "unsharpen merge"]),
        (["--method", "ds-grpo", "--method-arg", "reference=base"], ["reference_logprobs", "beta is 0"]),
        (["--method", "dra-grpo"], ["dra-grpo", "embeddings"]),
        (["--method", "mara", "--set", "mask_truncated_completions=true"], ["mara", "mask_truncated_completions"]),
        (["--method", "edge-grpo", "--set", "use_vllm=true"], ["edge-grpo", "entropies", "use_vllm"]),
        (["--set", "scale_rewards=batch"], ["the method decides", "'batch'"]),
        (["--set", "temperature=0"], ["temperature", "above 0"]),
        (["--set", "report_to=foo"], ["report_to", "'foo'", "tensorboard"]),
        (["--num-train", "4"], ["8 different problems", "4 for training"]),
        (["--data", "nosuch.jsonl"], ["nosuch.jsonl", "neither a file nor"]),
        (["--eval-data", "no/such/folder"], ["no/such/folder", "neither a file nor"]),
        (["--task", "math", "--data", "math500", "--eval-data", "nosuch"], ["'nosuch'", "neither a file nor"]),
    ],
)
def test_a_dry_run_refuses_what_the_run_would(arguments: list[str], words: list[str]) -> None:
    done = unsharpen("train", "--model", "nobody/is-not-here", *arguments, "--dry-run")
    assert done.code == 2, done.out
    assert all(word in done.err for word in words), done.err


def test_a_dry_run_says_what_it_could_not_check() -> None:
    arguments = ("--model", "nobody/is-not-here", "--data", "nobody/problems", "--set", "use_vllm=true")
    done = unsharpen("train", *arguments, "--dry-run")
    assert done.code == 0, done.err
    last = done.out.splitlines()[-1]
    for word in ("memory and speed", "building the trainer", "the model, which", "nobody/problems", "vLLM"):
        assert word in last


def test_what_all_users_of_trl_type(tmp_path: Path) -> None:
    train(tmp_path / "run", "--num-train", 16, "--eval-samples", 0, "--steps", 1, "--set", "report_to=none")
    assert not (tmp_path / "run" / "runs").exists()


def test_a_run_of_some_epochs(tmp_path: Path, data: Path) -> None:
    """8 problems, 4 a step: 2 epochs are 4 steps. The warm-up takes the first two of them."""
    small = SMALL[:-2]  # without --steps
    given = ("--set", "num_train_epochs=2", "--set", "warmup_steps=2", "--set", "learning_rate=1e-3")
    command = ("train", "--output", tmp_path / "run", *small, *given, "--data", data, "--num-train", 16)
    shown = unsharpen(*command, "--dry-run").out
    assert "num_train_epochs=2" in shown
    assert "max_steps" not in shown
    done = unsharpen(*command, "--eval-every", 2)
    assert done.code == 0, done.err
    assert "step 4/4" in done.out
    rows = lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["learning_rate"] for row in rows] == pytest.approx([0, 5e-4, 1e-3, 1e-3])
    assert [row["step"] for row in lines(tmp_path / "run" / "evaluation.jsonl")] == [0, 2, 4]


def test_a_folder_in_which_another_process_trains(tmp_path: Path, data: Path) -> None:
    train(tmp_path / "run", "--data", data, "--steps", 1)
    shutil.rmtree(tmp_path / "run" / "model")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = unsharpen("train", "--output", tmp_path / "run", *SMALL, "--data", data, "--steps", 1, "--resume")
    assert done.code == 2
    assert "another process is training in" in done.err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*") if path.name != ".lock"} == {
        path: time for path, time in before.items() if path.name != ".lock"
    }
    train(tmp_path / "run", "--data", data, "--steps", 1, "--resume")


def test_a_run_without_evaluation(tmp_path: Path) -> None:
    done = train(tmp_path / "run", "--num-train", 16, "--eval-samples", 0)
    assert "model:" in done.out
    assert "report:" not in done.out
    assert lines(tmp_path / "run" / "evaluation.jsonl") == []
    assert (tmp_path / "run" / "model" / "config.json").exists()
