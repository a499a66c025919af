"""A real server on the loopback address: `transformers serve` with the shipped model."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.command import lines, unsharpen

from unsharpen.evaluation.models import find_model
from unsharpen.tasks import CountDown

MODEL = find_model("countdown-tiny").path
SAMPLING = json.dumps({"do_sample": True, "eos_token_id": 1, "pad_token_id": 0})
PATIENCE = 400.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "transformers.cli.transformers", "serve", MODEL, f"--port={port}", "--host=127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, *command, "--device=cpu"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"},
    )
    try:
        wait_until_healthy(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def wait_until_healthy(process: subprocess.Popen[str], address: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            pytest.fail(f"transformers serve ended: {process.communicate()[0][-2000:]}")
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"transformers serve was not healthy within {PATIENCE:g} s")


@pytest.mark.timeout(900)
def test_a_real_server(url: str, tmp_path: Path) -> None:
    """It ignores n and log-probs, refuses unknown fields, and decodes greedily unless told otherwise."""
    common = ["--base-url", url, "--answer-format=bare", "--limit=3", "--max-new-tokens=24", "--concurrency=1"]
    sampling = f"generation_config={json.dumps(SAMPLING)}"
    done = unsharpen("eval", MODEL, "-n", 6, *common, "--output", tmp_path / "a", "--request", sampling)
    assert done.code == 0, done.err
    assert "Pass@6" in done.out
    assert not done.err
    rows = lines(tmp_path / "a" / "samples.jsonl")
    assert len(rows) == 18
    task = CountDown(answer_format="bare")
    problems = {p["problem_id"]: p for p in lines(tmp_path / "a" / "problems.jsonl")}
    for row in rows:
        nums, target = row["problem_id"].split("=")
        problem = task.problem([int(n) for n in nums.split(",")], int(target))
        assert problems[row["problem_id"]]["answer"] == target
        assert row["correct"] == task.verify(problem, row["completion"]).correct
        assert row["finish_reason"] in ("stop", "length")
        assert row["num_tokens"] is not None
        assert row["logprob"] is None
    assert len({(row["problem_id"], row["completion"]) for row in rows}) > 3

    again = unsharpen("eval", MODEL, "-n", 6, *common, "--output", tmp_path / "b", "--request", sampling)
    assert again.code == 0, again.err
    assert sorted(map(str, lines(tmp_path / "b" / "samples.jsonl"))) == sorted(map(str, rows)), "it honours seeds"

    greedy = unsharpen("eval", MODEL, "-n", 2, *common, "--output", tmp_path / "c")
    assert greedy.code == 0, greedy.err
    assert "all samples of a problem are the same" in greedy.err

    wrong = unsharpen("eval", "another-model", "-n", 2, *common, "--output", tmp_path / "d")
    assert wrong.code == 2
    assert "refuses: HTTP 400" in wrong.err
    assert "pinned to" in wrong.err

    several = unsharpen(
        *("eval", MODEL, "-n", 2, *common, "--output", tmp_path / "e", "--samples-per-request=2", "--attempts=1"),
    )
    assert several.code == 2
    assert "1 choices instead of 2" in several.err
    assert "--samples-per-request 1" in several.err

    unknown = unsharpen("eval", MODEL, "-n", 2, *common, "--output", tmp_path / "f", "--top-k=5")
    assert unknown.code == 2
    assert "HTTP 422" in unknown.err
    assert "top_k" in unknown.err
