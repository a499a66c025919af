from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unsharpen.tasks import CountDown
from unsharpen.tasks.hub import write_rows


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 small problems; reading them is quicker than generating the default ones."""
    task = CountDown()
    path = tmp_path_factory.mktemp("data") / "problems.jsonl"
    write_rows(path, [task.to_row(p) for p in task.generate(40, seed=7, sizes=(3,), numbers=(1, 10))])
    return path
