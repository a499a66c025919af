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

import unsharpen  # noqa: E402
from unsharpen.engines.verl_reward import verl_row  # noqa: E402
from unsharpen.tasks import CountDown  # noqa: E402
from unsharpen.tasks.hub import write_rows  # noqa: E402

SMALL = {
    "trainer.v1.trainer_mode": "unsharpen_sync",
    "algorithm.adv_estimator": "grpo",
    "data.train_batch_size": 4,
    "data.max_prompt_length": 32,
    "data.max_response_length": 16,
    "data.dataloader_num_workers": 0,
    "data.shuffle": False,
    "actor_rollout_ref.model.use_remove_padding": False,
    "actor_rollout_ref.model.enable_gradient_checkpointing": False,
    "+actor_rollout_ref.model.override_config.attn_implementation": "sdpa",
    "actor_rollout_ref.actor.strategy": "fsdp2",
    "actor_rollout_ref.actor.ppo_mini_batch_size": 4,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 8,
    "actor_rollout_ref.actor.use_torch_compile": False,
    "actor_rollout_ref.actor.fsdp_config.dtype": "float32",
    "actor_rollout_ref.actor.fsdp_config.use_torch_compile": False,
    "+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype": "fp32",
    "actor_rollout_ref.actor.optim.lr": 1e-3,
    "actor_rollout_ref.rollout.name": "generate",
    "actor_rollout_ref.rollout.n": 4,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 1,
    "actor_rollout_ref.rollout.dtype": "float32",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 8,
    "actor_rollout_ref.rollout.agent.num_workers": 1,
    "reward.num_workers": 1,
    "reward.custom_reward_function.path": "pkg://unsharpen.engines.verl_reward",
    "trainer.n_gpus_per_node": 1,
    "trainer.device": "cpu",
    "trainer.logger": "[console]",
    "trainer.val_before_train": False,
    "trainer.test_freq": -1,
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    "ray_kwargs.ray_init.num_cpus": 8,
    "+ray_kwargs.ray_init.num_gpus": 1,
    "+ray_kwargs.ray_init.include_dashboard": False,
    "+ray_kwargs.ray_init._temp_dir": f"{_scratch}/r",
}

Overrides = dict[str, Any]


def words(overrides: Overrides) -> list[str]:
    """Hydra's words for overrides; later ones of the same name win."""
    return [f"{name}={value}" for name, value in {**SMALL, **overrides}.items() if value is not None]


@pytest.fixture
def compose() -> Callable[..., Any]:
    """Verl's own configuration, as its command makes it."""
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
