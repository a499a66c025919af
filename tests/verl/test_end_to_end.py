"""``python -m verl.trainer.main_ppo`` on a CPU with our trainer; then rewards and advantages from what it wrote."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import of_session, still_running
from settings import words

from unsharpen.engines.verl_reward import compute_score

STEPS, GAMMA_P = 3, 0.1


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, scratch: Path, model: Path, data: Path) -> dict[str, Any]:
    """The output of one run, its dumps, and what Ray left."""
    folder = tmp_path_factory.mktemp("run")
    overrides = {
        "+unsharpen.method": "ds-grpo-sum",
        "+unsharpen.gamma_p": GAMMA_P,
        "data.train_files": data,
        "data.val_files": data,
        "actor_rollout_ref.model.path": model,
        "trainer.total_training_steps": STEPS,
        "trainer.save_freq": STEPS,
        "trainer.test_freq": STEPS,
        "trainer.default_local_dir": folder / "checkpoints",
        "trainer.rollout_data_dir": folder / "rollouts",
        "hydra.run.dir": folder / "hydra",
        "+ray_kwargs.ray_init._temp_dir": scratch / "r",
    }
    dump = folder / "advantages.jsonl"
    environment = {**os.environ, "DUMP_ADVANTAGES": str(dump), "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [sys.executable, "-m", "verl.trainer.main_ppo", *words(overrides)],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=1700)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output[-6000:]
    return {"folder": folder, "output": output, "puts": lines(dump), "session": str(scratch / "r")}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rewards_are_those_of_the_texts(run: dict[str, Any]) -> None:
    right = 0
    for step in range(1, STEPS + 1):
        rows = lines(run["folder"] / "rollouts" / f"{step}.jsonl")
        assert len(rows) == 16
        queued = run["puts"][2 * step - 1]
        scores = dict(zip(queued["keys"], map(sum, queued["rm_scores"]), strict=True))
        for row in rows:
            found = compute_score("countdown", row["output"], row["gts"], {"answer_format": "bare"})
            assert row["score"] == scores[row["uid"]] == found["score"]
            right += found["score"] == 1
    assert 0 < right < 16 * STEPS


def test_advantages_are_verls_and_then_the_methods(run: dict[str, Any]) -> None:
    assert len(run["puts"]) == 2 * STEPS  # in each step verl's own, then ours
    largest = {"verl": 0.0, "unsharpen": 0.0}
    for i, put in enumerate(run["puts"]):
        ours = i % 2 == 1
        groups: dict[str, list[int]] = {}
        for row, key in enumerate(put["keys"]):
            groups.setdefault(key.rsplit("_", 2)[0], []).append(row)
        assert [len(members) for members in groups.values()] == [4] * 4
        for members in groups.values():
            scores = [sum(put["rm_scores"][row]) for row in members]
            mean = sum(scores) / 4
            std = math.sqrt(sum((s - mean) ** 2 for s in scores) / 3)
            for row, score in zip(members, scores, strict=True):
                expected = (score - mean) / (std + (1e-4 if ours else 1e-6))
                own = zip(put["old_log_probs"][row], put["response_mask"][row], strict=True)
                if ours and score == 1:
                    expected -= GAMMA_P * sum(logprob for logprob, mask in own if mask)
                for found, mask in zip(put["advantages"][row], put["response_mask"][row], strict=True):
                    name = "unsharpen" if ours else "verl"
                    largest[name] = max(largest[name], abs(found - expected * mask))
    print(f"largest difference from a recomputation: {largest}")
    assert max(largest.values()) <= 2e-6


def test_metrics_are_logged_and_the_weights_move(run: dict[str, Any]) -> None:
    for name in ("pass@1", "pass@4", "distinct_correct", "uniform_groups", "sampling_logprob"):
        assert len(re.findall(rf"unsharpen/{re.escape(name)}:[-\d.]", run["output"])) == STEPS, name
    # nan in a step in which GRPO's own advantages are all 0
    assert len(re.findall(r"unsharpen/shaping_ratio:(?:nan|[\d.])", run["output"])) == STEPS
    (validated,) = re.findall(r"val-core/countdown/acc/mean@1:(?:np\.float64\()?([\d.]+)", run["output"])
    assert 0 <= float(validated) <= 1
    norms = [float(x) for x in re.findall(r"actor/grad_norm:(?:np\.float64\()?([\d.e+-]+)", run["output"])]
    assert len(norms) == STEPS
    assert max(norms) > 0
    assert (run["folder"] / "checkpoints" / "latest_checkpointed_iteration.txt").read_text() == str(STEPS)


def test_no_process_of_ray_is_left(run: dict[str, Any]) -> None:
    assert still_running(run["session"], patience=60) == []
    assert of_session(run["session"]) == []
