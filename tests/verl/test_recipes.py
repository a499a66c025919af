"""Every recipe for verl against its real configuration and its configuration classes; nothing is trained."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.utils.config import omega_conf_to_dataclass, validate_config

from unsharpen.engines._verl_config import prepare

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
TABLE = [line.split() for line in (RECIPES / "models.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
MODELS = {(task, size): model for task, size, model, *_ in TABLE}
FILES = sorted((RECIPES / "verl").glob("*.txt"))


def overrides(task: str, size: str, *words: str, recipes: Path = RECIPES, **environment: str) -> list[str]:
    """What the script gives to Hydra."""
    env = {"PATH": os.environ["PATH"], "DRY_RUN": "1", **environment}
    command = ["bash", str(recipes / "verl" / "run.sh"), task, size, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    printed = shlex.split(done.stdout)
    assert printed[:3] == ["python", "-m", "verl.trainer.main_ppo"]
    return printed[3:]


def check(words: list[str]) -> Any:
    """Verl's configuration as its command makes it, through our checks, verl's own, and its classes."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=words)
    options = prepare(config)
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    for section in ("actor", "rollout"):
        omega_conf_to_dataclass(config.actor_rollout_ref[section])
    assert options.method.name == "ds-grpo"
    return config


@pytest.mark.parametrize("nodes", ["1", "2"])
@pytest.mark.parametrize(("task", "size"), MODELS)
def test_recipes(task: str, size: str, nodes: str) -> None:
    shared = {"DATA": "/shared/data", "OUTPUT": "/shared/out"}
    config = check(overrides(task, size, NODES=nodes, **shared))
    assert config.data.train_files == "/shared/data/train.parquet"
    assert config.data.val_files.startswith("/shared/data/")
    assert config.trainer.default_local_dir == "/shared/out"
    actor = config.actor_rollout_ref
    assert actor.model.path == MODELS[task, size]
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node) == (int(nodes), 8)
    assert config.data.train_batch_size / actor.actor.ppo_mini_batch_size == 4
    assert config.data.max_prompt_length + config.data.max_response_length <= 4096
    assert actor.actor.ppo_max_token_len_per_gpu >= 4096


def test_paths_are_whole_and_on_several_nodes_given() -> None:
    config = check(overrides("math", "7b"))
    assert config.data.val_files == str(Path.cwd() / "test.parquet")
    assert config.trainer.default_local_dir == str(Path.cwd() / "checkpoints" / "unsharpen" / "math-7b")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        overrides("math", "7b", NODES="2", DATA="/shared/data")
    assert "OUTPUT: a folder for the checkpoints, on a file system that all nodes share" in caught.value.stderr


def test_options_of_the_caller_win() -> None:
    config = check(overrides("math", "7b", "trainer.save_freq=7", LR="3e-7", MODEL="some/model"))
    assert config.trainer.save_freq == 7
    assert (config.actor_rollout_ref.actor.optim.lr, config.actor_rollout_ref.model.path) == (3e-7, "some/model")


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_a_misspelt_option_is_found(tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(RECIPES, tmp_path / "recipes"))
    path = copy / "verl" / name
    *before, last = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*before, last.replace("=", "x=", 1)]), "utf-8")
    stem = path.stem
    task, size = (stem, "7b") if (stem, "7b") in MODELS else ("math", stem if stem != "common" else "7b")
    with pytest.raises(ConfigCompositionException, match="Could not override"):
        check(overrides(task, size, recipes=copy))
