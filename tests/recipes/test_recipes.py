"""Every recipe against the classes that would read it: TRL's, accelerate's, peft's; nothing is trained or downloaded.

A new file or line under recipes/ is checked without a word here. Those for verl are checked in tests/verl.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env
from benchmarks import scaling_model
from tests.cli.command import Outcome, unsharpen
from trl import GRPOConfig

from unsharpen.training.config import load_yaml

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
CASES = scaling_model.recipes()
ACCELERATE = sorted((RECIPES / "accelerate").glob("*.yaml"))
SCRIPTS = sorted(RECIPES.rglob("*.sh"))
LORA = ["--config", "recipes/trl/lora.yaml"]
TWO_NODES = {"NODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node0"}
VARIANTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "one node": ({}, []),
    "two nodes": (TWO_NODES, []),
    "zero3 and a server": ({"SHARDING": "zero3", "SAMPLER": "server", "GPUS": "4"}, []),
    "zero3 on two nodes": ({"SHARDING": "zero3", **TWO_NODES}, []),
    "lora": ({"SHARDING": "ddp", "LR": "1e-5"}, LORA),
    "lora on one GPU": ({"GPUS": "1", "SAMPLER": "generate"}, LORA),
}
"""Environment and options of the launcher for TRL."""


def script(name: str, *arguments: str, recipes: Path = RECIPES, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(recipes.relative_to(recipes.parent) / name), *arguments]
    env = {"PATH": os.environ["PATH"], "DRY_RUN": "1", **environment}
    return subprocess.run(command, cwd=recipes.parent, env=env, capture_output=True, text=True, timeout=60, check=False)


def words(name: str, *arguments: str, **options: Any) -> list[str]:
    done = script(name, *arguments, **options)
    assert done.returncode == 0, done.stderr
    return shlex.split(done.stdout)


def dry_run(arguments: list[str], *, processes: int, monkeypatch: pytest.MonkeyPatch, root: Path = ROOT) -> Outcome:
    """`unsharpen train ... --dry-run` as it would go on so many processes, with data of the hub."""
    monkeypatch.chdir(root)
    data = ("--data", "nobody/problems", "--eval-data", "nobody/others")  # the recipes' files are the user's to make
    with mock.patch.object(GRPOConfig, "world_size", processes):
        return unsharpen(*arguments, *data, "--dry-run")


def launch_arguments(command: list[str]) -> Any:
    """What accelerate makes of a launch command; raises on options and keys that it does not know."""
    assert command[:2] == ["accelerate", "launch"]
    parser = launch_command_parser()
    options = parser.parse_args(command[2:])
    config = load_config_from_file(options.config_file)
    known = vars(options).keys()
    for section in (config.fsdp_config, config.deepspeed_config):
        assert not (unknown := section.keys() - known), f"accelerate has no option {sorted(unknown)}"
    return _validate_launch_command(options)[0]


def check_plugin(options: Any, path: Path) -> None:
    """The environment that the launcher hands to its processes, read by the plug-in that they build from it."""
    wanted = yaml.safe_load(path.read_text("utf-8"))
    options.main_process_port = 0
    options.deepspeed_fields_from_accelerate_config = ",".join(wanted.get("deepspeed_config", {}))  # as launch does
    make = prepare_multi_gpu_env if not options.use_deepspeed else lambda given: prepare_deepspeed_cmd_env(given)[1]
    with mock.patch.dict(os.environ, make(options), clear=True):
        assert os.environ["ACCELERATE_MIXED_PRECISION"] == "bf16"
        if options.use_fsdp:
            plugin = FullyShardedDataParallelPlugin()
            assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
            assert not plugin.activation_checkpointing
            assert str(plugin.state_dict_type).endswith(wanted["fsdp_config"]["fsdp_state_dict_type"])
        elif options.use_deepspeed:
            found = DeepSpeedPlugin().deepspeed_config["zero_optimization"]
            assert found["stage"] == wanted["deepspeed_config"]["zero_stage"] == 3
            assert found["stage3_gather_16bit_weights_on_model_save"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=60)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("task", "size"), CASES)
def test_recipes_for_trl(task: str, size: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, options = VARIANTS[variant]
    command = words("trl/launch.sh", task, size, *options, **environment)
    processes = int(environment.get("GPUS", 8)) * int(environment.get("NODES", 1))
    if processes > 1:
        monkeypatch.chdir(ROOT)
        launch = launch_arguments(command)
        assert (launch.module, launch.training_script, launch.num_processes) == (True, "unsharpen", processes)
        arguments = launch.training_script_args
    else:
        assert command[:3] == ["python", "-m", "unsharpen"]
        arguments = command[3:]
    done = dry_run(arguments, processes=processes, monkeypatch=monkeypatch)
    assert done.code == 0, done.err
    batch = f"1024 completions (128 prompts x 8), updates per batch: 4 of 256, processes: {processes}"
    assert batch in done.out
    assert ("LoraConfig" in done.out) == bool(options)
    assert "not checked" in done.out


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda p: p.stem)
def test_files_for_accelerate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = launch_arguments(words("trl/launch.sh", *CASES[0], SHARDING=path.stem))
    check_plugin(options, path)


def test_every_sampler_and_sharding_is_a_file() -> None:
    used = {env.get("SHARDING", "fsdp2") for env, _ in VARIANTS.values()}
    assert used == {path.stem for path in ACCELERATE}
    samplers = {env.get("SAMPLER", "colocate") for env, _ in VARIANTS.values()} - {"generate"}
    tasks = {task for task, _ in CASES}
    assert {path.stem for path in (RECIPES / "trl").glob("*.yaml")} == samplers | tasks | {"lora"}


def test_the_server() -> None:
    from trl.scripts.vllm_serve import make_parser

    command = words("trl/serve.sh", "math", "7b")
    assert command[:2] == ["trl", "vllm-serve"]
    (found,) = make_parser().parse_args_into_dataclasses(command[2:])
    assert (found.model, found.tensor_parallel_size, found.max_model_len) == ("Qwen/Qwen2.5-Math-7B", 2, 4096)
    port = load_yaml(RECIPES / "trl" / "server.yaml")["trl"]["vllm_server_port"]
    assert found.port == port


# --- what is wrong is found ------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECIPES, tmp_path / "recipes"))


def misspell(path: Path) -> str:
    """Put a letter into the last key of a YAML file; returns the key as it is now."""
    text = path.read_text("utf-8")
    key = re.findall(r"(?:^|[{ ])(\w+): ", text, flags=re.MULTILINE)[-1]
    head, _, tail = text.rpartition(f"{key}: ")
    path.write_text(f"{head}{key}x: {tail}", "utf-8")
    return f"{key}x"


@pytest.mark.parametrize("name", [path.name for path in sorted((RECIPES / "trl").glob("*.yaml"))])
def test_a_misspelt_option_for_trl_is_found(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = misspell(copy / "trl" / name)
    task = name.removesuffix(".yaml") if name.startswith(("countdown", "math")) else "math"
    environment = {"SAMPLER": "server"} if name == "server.yaml" else {}
    options = LORA if name == "lora.yaml" else []
    command = words("trl/launch.sh", task, "7b", *options, recipes=copy, **environment)
    arguments = command[command.index("unsharpen") + 1 :]
    done = dry_run(arguments, processes=8, monkeypatch=monkeypatch, root=copy.parent)
    assert done.code == 2, done.out
    assert wrong in done.err


@pytest.mark.parametrize("name", [path.name for path in ACCELERATE])
def test_a_misspelt_option_for_accelerate_is_found(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = misspell(copy / "accelerate" / name)
    command = words("trl/launch.sh", "math", "7b", recipes=copy, SHARDING=name.removesuffix(".yaml"))
    monkeypatch.chdir(copy.parent)
    with pytest.raises((AssertionError, ValueError), match=wrong):
        launch_arguments(command)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("math", "9b"), {}, "no recipe 'math 9b'; there are:"),
        (("math",), {}, "recipes/trl/launch.sh TASK SIZE"),
        (("math", "7b"), {"GPUS": "6"}, "MICRO x GPUS x NODES = 24 does not divide it"),
        (("math", "7b"), {"NODES": "2"}, "the number of this node"),
    ],
)
def test_the_launcher_says_what_is_missing(
    arguments: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    done = script("trl/launch.sh", *arguments, **environment)
    assert done.returncode != 0
    assert message in done.stderr


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_table_of_the_page_is_the_paper_models() -> None:
    assert scaling_model.table() in (RECIPES / "README.md").read_text("utf-8")


def test_recipes_fit_the_gpus_that_they_name() -> None:
    places = [(task, size, engine, 8) for task, size in CASES for engine in ("trl", "verl")]
    for place in places:
        found = scaling_model.estimate(*place)
        assert max(found.training, found.sampling) < 0.85 * scaling_model.H100.memory, place


def test_the_paper_model_and_the_recipes_mean_the_same_run() -> None:
    trl = {task: load_yaml(RECIPES / "trl" / f"{task}.yaml") for task, _ in CASES}
    common, sizes = overrides("common"), {size: overrides(size) for _, size in CASES}
    for task, config in trl.items():
        verl, fields = common | overrides(task), config["trl"]
        prompts, group = int(verl["data.train_batch_size"]), int(verl["actor_rollout_ref.rollout.n"])
        assert (prompts, group) == (scaling_model.PROMPTS, scaling_model.GROUP)
        assert (fields["generation_batch_size"], fields["num_generations"]) == (prompts * group, group)
        longest = int(verl["data.max_response_length"])
        assert longest == fields["max_completion_length"] == scaling_model.COMPLETION[task]
        assert float(verl["actor_rollout_ref.rollout.temperature"]) == fields["temperature"]
        batches = int(verl["trainer.total_training_steps"])
        assert batches == fields["max_steps"] / 4 == scaling_model.BATCHES[task]
        clip = "actor_rollout_ref.actor.clip_ratio"
        assert (float(verl[f"{clip}_low"]), float(verl[f"{clip}_high"])) == (fields["epsilon"], fields["epsilon_high"])
        assert config["method"] == verl["+unsharpen.method"]
        gammas = {name: float(verl[f"+unsharpen.{name}"]) for name in ("gamma_p", "gamma_n")}
        assert config["method_args"] == gammas
    for size, verl in sizes.items():
        assert int(verl["actor_rollout_ref.actor.ppo_max_token_len_per_gpu"]) == scaling_model.PACKED[size]
        share = float(verl["actor_rollout_ref.rollout.gpu_memory_utilization"])
        assert share == scaling_model.SAMPLER_SHARE["verl"]
    colocated = load_yaml(RECIPES / "trl" / "colocate.yaml")["trl"]
    assert colocated["vllm_gpu_memory_utilization"] == scaling_model.SAMPLER_SHARE["trl"]
    assert f"MICRO:-{scaling_model.MICRO}" in (RECIPES / "trl" / "launch.sh").read_text("utf-8")


def overrides(name: str) -> dict[str, str]:
    lines = (RECIPES / "verl" / f"{name}.txt").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
