"""verl's real configuration with small values, and a Ray of our own that leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile

# Before anything imports the libraries that read them; Ray's processes inherit them. Ray writes a token to the home.
_scratch = tempfile.mkdtemp(prefix="uns-")  # short: Ray puts sockets into it, whose paths may have 107 characters
os.environ.update(
    {
        "HOME": _scratch,
        "HF_HOME": _scratch,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # off, Ray keeps to the loopback address on Linux too
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # 15 otherwise, which starves them on a busy machine
        "TOKENIZERS_PARALLELISM": "false",
        "VERL_ENGINE_DEVICE": "cuda",
        "VERL_USE_EXTERNAL_MODULES": "cpu_shims",
        "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
)

from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import pytest  # noqa: E402
from processes import still_running  # noqa: E402
from settings import Overrides, words  # noqa: E402

import unsharpen  # noqa: E402
from unsharpen.engines.verl_reward import verl_row  # noqa: E402
from unsharpen.tasks import CountDown  # noqa: E402
from unsharpen.tasks.hub import write_rows  # noqa: E402


@pytest.fixture
def compose() -> Callable[..., Any]:
    """The configuration of verl as its command makes it."""
    from hydra import compose, initialize_config_module

    def make(overrides: Overrides | None = None) -> Any:
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose("ppo_trainer", overrides=words({"+unsharpen.method": "ds-grpo", **(overrides or {})}))

    return make


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model with a chat template that adds nothing to the prompt."""
    path = tmp_path_factory.mktemp("model") / "countdown-tiny"
    shutil.copytree(Path(unsharpen.__file__).parent / "assets" / "countdown-tiny", path)
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    (path / "chat_template.jinja").write_text(template, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 problems that the shipped model solves in one try of three."""
    task = CountDown(answer_format="bare")
    ranges: Any = {"sizes": (4,), "numbers": (1, 10), "targets": (1, 60), "multiplicity": (2, None)}
    problems = task.generate(16, seed=5, split="train", **ranges)
    path = tmp_path_factory.mktemp("data") / "train.parquet"
    write_rows(path, [verl_row(task, p, split="train", index=i) for i, p in enumerate(problems)])
    return path


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """Where Ray keeps its session; after the tests no process may name it."""
    yield Path(_scratch)
    left = still_running(_scratch, patience=60)
    shutil.rmtree(_scratch, ignore_errors=True)
    assert not left, f"Ray left processes behind, which had to be ended: {left}"
