"""One update of verl's FSDP2 engine: what our advantages do to the log-probs of the completions."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def updated(model: Path, method: str) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "RAY_LOCAL_WORLD_SIZE": "1"}
    environment = {**os.environ, **alone, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "PYTHONWARNINGS": "ignore"}
    worker = Path(__file__).with_name("engine_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(model), method],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


@pytest.mark.parametrize("method", ["ds-grpo-sum"])
def test_the_update_follows_the_advantages(model: Path, method: str) -> None:
    result = updated(model, method)
    assert "FSDP" in result["engine"]
    advantages, moved = np.asarray(result["moved"]).T
    assert (moved != 0).all()
    assert (advantages * moved).sum() > 0  # to first order this is the squared gradient, in Adam's metric
    assert np.corrcoef(advantages, moved)[0, 1] > 0.3
