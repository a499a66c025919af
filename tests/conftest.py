"""Settings of every test: no network, no home directory, no display, deterministic property tests."""

from __future__ import annotations

import os
import socket
import tempfile

# Before any test imports the libraries that read them; subprocesses inherit them.
_scratch = tempfile.mkdtemp(prefix="unsharpen-tests-")
os.environ.update(
    {
        "OMP_NUM_THREADS": "1",  # sums in one order, and no fight for cores between tests and their subprocesses
        "HF_HOME": _scratch,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRACKIO_DIR": os.path.join(_scratch, "trackio"),
        "MPLCONFIGDIR": os.path.join(_scratch, "matplotlib"),
        "MPLBACKEND": "Agg",
        "TOKENIZERS_PARALLELISM": "false",
    }
)

import shutil  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402

from unsharpen.tasks import CountDown  # noqa: E402
from unsharpen.tasks.hub import write_rows  # noqa: E402

# Hypothesis draws constants of the modules that happen to be loaded, so how much a test filters varies with the tests
# before it; and machines are slow at times. Neither says anything about the code.
_CALM = [hypothesis.HealthCheck.filter_too_much, hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile(
    "default", deadline=None, derandomize=True, database=None, suppress_health_check=_CALM
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("default")

collect_ignore = ["verl"]  # needs an environment of its own: `make test-verl`

_real_connect = socket.socket.connect


def _local_connect(self: socket.socket, address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else None  # a path: a socket of this machine
    if host is None or host in {"localhost", "::1", ""} or str(host).startswith("127."):
        return _real_connect(self, address)
    raise RuntimeError(f"tests use no network; found a connection to {address!r}")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _local_connect)


@pytest.fixture(autouse=True, scope="session")
def _remove_scratch() -> Iterator[None]:
    yield
    shutil.rmtree(_scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 small problems; reading them is quicker than generating the default ones."""
    task = CountDown()
    path = tmp_path_factory.mktemp("data") / "problems.jsonl"
    write_rows(path, [task.to_row(p) for p in task.generate(40, seed=7, sizes=(3,), numbers=(1, 10))])
    return path
