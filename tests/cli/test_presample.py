"""``unsharpen data presample``, and a run of dph on what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.cli.command import lines, train, unsharpen

from unsharpen.tasks import CountDown
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path

TASK = CountDown(answer_format="bare")
OPTIONS = ("--num-train", "60", "--samples", "4", "--mastered", "0.75", "--seed", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("presampled") / "data"
    done = unsharpen("data", "presample", "--output", out, *OPTIONS, "--keep", "2")
    assert done.code == 0, done.err
    pool, explore = lines(out / "pool.jsonl"), lines(out / "explore.jsonl")
    assert done.out == (
        f"{len(pool)} completions in {out / 'pool.jsonl'}, {len(explore)} of 60 problems in {out / 'explore.jsonl'}\n"
    )
    return out


def test_the_pool_is_correct_and_the_problems_are_the_others(folder: Path) -> None:
    pool, explore = lines(folder / "pool.jsonl"), lines(folder / "explore.jsonl")
    masters = {row["prompt"] for row in pool}
    assert len(masters) + len(explore) == 60
    assert len(masters) < len(pool) <= 2 * len(masters)
    problems = {TASK.prompt(p): p for p in TASK.generate(60, seed=3, split="train", **TINY)}
    for row in pool:
        assert TASK.verify(problems[row["prompt"]], row["completion"]).correct
    assert not masters & {TASK.prompt(TASK.from_row(row)) for row in explore}
    record = json.loads((folder / "presample.json").read_text())
    assert record["temperature"] == 1.0
    assert record["pool"] == len(pool)


TINY = {"sizes": (4,), "numbers": (1, 10), "targets": (1, 60), "multiplicity": (2, None)}


def test_the_log_probs_are_the_models(folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    config = RunConfig()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_path(config)).eval(), load_tokenizer(config)
    for row in lines(folder / "pool.jsonl")[:5]:
        prompt, completion = row["prompt_ids"], row["completion_ids"]
        assert prompt == tokenizer(row["prompt"])["input_ids"]
        assert tokenizer.decode(completion, skip_special_tokens=True) == row["completion"]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits.float(), -1).gather(1, torch.tensor(completion)[:, None])[:, 0]
        assert row["logprobs"] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_run_of_dph_reads_both_files(folder: Path, tmp_path: Path) -> None:
    pool = f"pool={folder / 'pool.jsonl'}"
    train(
        tmp_path,
        "--method",
        "dph",
        "--method-arg",
        pool,
        "--method-arg",
        "coef=0.05",
        "--data",
        folder / "explore.jsonl",
    )
    losses = [row["pool_loss"] for row in lines(tmp_path / "metrics.jsonl") if "pool_loss" in row]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(0.0, abs=1e-4)
    assert losses[1] > losses[0]


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("--output", folder, *OPTIONS), "pool.jsonl exists"),
        (("--output", tmp_path / "a", "--num-train", "2", "--samples", "0"), "whole numbers of at least 1"),
        (("--output", tmp_path / "a", "--num-train", "2", "--mastered", "1.5"), "mastered in (0, 1]"),
        (("--output", tmp_path / "a", "--num-train", "3", "--samples", "64"), "no problem was solved in 1 of 64 tries"),
        (("--output", tmp_path / "a", "--num-train", "3", "--mastered", "0.0001"), "none is left to train on"),
        (("--output", tmp_path / "a", "--model", tmp_path), "can't load a tokenizer"),
    ):
        done = unsharpen("data", "presample", *arguments)
        assert (done.code, done.out) == (2, "")
        assert words in done.err
    assert not (tmp_path / "a").exists()
    done = unsharpen("train", "--method", "dph", "--output", tmp_path / "run")
    assert done.code == 2
    assert "hint: `unsharpen data presample` writes pool.jsonl" in done.err
