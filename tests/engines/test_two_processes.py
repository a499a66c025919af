"""Two gloo processes must produce the advantages, metrics and weights of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WORKER = Path(__file__).with_name("two_process_worker.py")


def run(output: Path, processes: int, method: str) -> dict[str, Any]:
    output.mkdir()
    launcher = (
        [sys.executable]
        if processes == 1
        else [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    )
    command = [*launcher, str(WORKER), str(output), str(12 // processes), method]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads((output / "result.json").read_text())
    return result


@pytest.mark.parametrize("method", ["ds-grpo-centered", "ds-grpo-token", "ucb-mean", "diversity-po"])
def test_two_processes_equal_one(tmp_path: Path, method: str) -> None:
    one, two = run(tmp_path / "one", 1, method), run(tmp_path / "two", 2, method)
    assert len(one["batches"]) == len(two["batches"]) == 3
    for a, b in zip(one["batches"], two["batches"], strict=True):
        assert a["solutions"] == b["solutions"]
        assert np.allclose(a["advantages"], b["advantages"], rtol=0, atol=1e-6)  # [N], or [N, T] for tokens
    assert np.abs(one["batches"][0]["advantages"]).max() > 0.1
    for a, b in zip(one["logs"], two["logs"], strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    assert one["memory"] == two["memory"]
    assert (one["memory"] is not None) == (method == "ucb-mean")
    assert one["weights"] == pytest.approx(two["weights"], abs=1e-4)
