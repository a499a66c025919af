"""A run's settings, checked against the classes of the installed libraries; nothing is downloaded, trained or written.

The model and data sets of the hub need not be on this machine: what was not checked for want of them is said.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer
from trl import GRPOConfig

from unsharpen.engines.trl import with_settings
from unsharpen.evaluation.provenance import versions
from unsharpen.tasks import SETS
from unsharpen.tasks.hub import read_rows
from unsharpen.training.build import changed_fields, lora_config, require_enough
from unsharpen.training.config import RunConfig, model_path
from unsharpen.training.problems import load_problems
from unsharpen.training.trl_arguments import grpo_config

_HOUSEKEEPING = {
    "output_dir",
    "hub_token",
    "disable_tqdm",
    "logging_steps",
    "report_to",
    "dataloader_pin_memory",
    "save_total_limit",
}


def describe(config: RunConfig, output: Path) -> list[tuple[str, str]]:
    """What the settings come to, as (name, text) for the screen; the last line says what was not checked.

    Raises:
        UnsharpenError: a setting that the run would refuse before its first step, as far as that shows without the
            model and without data that is elsewhere.
    """
    method = config.resolve_method()
    arguments = with_settings(grpo_config(config, output), method)
    adapter = None if config.lora is None else lora_config(config.lora)
    unchecked = ["building the trainer (the model's layers, weights split over processes)", "memory and speed"]
    lines = [
        ("method", f"{method.name} {_pairs(method.coefficients)}".rstrip()),
        ("model", _model(config, unchecked)),
        ("data", _data(config, arguments, unchecked)),
        ("batch", _batch(arguments)),
        ("GRPOConfig", _pairs(_shown(config, arguments))),
    ]
    if adapter is not None:
        lines.append(("LoraConfig", _pairs({name: getattr(adapter, name) for name in config.lora or {}})))
    if arguments.use_vllm:
        unchecked.append("vLLM")
    found = versions("unsharpen", "trl", "transformers", "accelerate", "peft")
    return [
        *lines,
        ("checked with", ", ".join(f"{name} {version}" for name, version in found.items())),
        ("not checked", ", ".join(unchecked)),
    ]


def _shown(config: RunConfig, arguments: GRPOConfig) -> dict[str, Any]:
    """The fields that the user set, and what else differs from TRL's defaults."""
    values = arguments.to_dict()
    names = [*changed_fields(arguments), *(name for name in config.trl if name not in changed_fields(arguments))]
    return {
        name: values[name]
        for name in names
        if name not in _HOUSEKEEPING and (name in config.trl or isinstance(values[name], int | float | str))
    }


def _batch(arguments: GRPOConfig) -> str:
    """Completions per batch and per update; TRL counts them over all processes.

    Where a launcher started several and there is no GPU, accelerate leaves each on its own: then the launcher counts.
    """
    processes = max(arguments.world_size, int(os.environ.get("WORLD_SIZE", "1")))
    update = arguments.per_device_train_batch_size * processes * arguments.gradient_accumulation_steps
    batch, group = arguments.generation_batch_size, arguments.num_generations
    updates = arguments.num_iterations * batch / update
    return (
        f"{batch} completions ({batch // group} prompts x {group}), updates per batch: {updates:g} of {update}, "
        f"processes: {processes}"
    )


def _model(config: RunConfig, unchecked: list[str]) -> str:
    path = model_path(config)
    try:
        model = AutoConfig.from_pretrained(path, local_files_only=True)
        AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError):
        unchecked.append("the model, which is not on this machine")
        return f"{config.model} (not on this machine)"
    return f"{config.model} ({model.model_type})"


def _data(config: RunConfig, arguments: GRPOConfig, unchecked: list[str]) -> str:
    """What the problems are.

    Raises:
        DataError: a source is no file, no named set, and can't be a data set of the hub either.
    """
    sources = [source for source in (config.data, config.eval_data) if source is not None]
    for source in sources:
        if config.is_countdown or source not in SETS:
            read_rows(source, columns=())  # opens and downloads nothing before the first row is asked for
    missing = [source for source in sources if not Path(source).exists()]
    if missing or not config.is_countdown:
        unchecked.append("the problems" if not missing else f"the problems of {', '.join(missing)}")
        return ", ".join(sources)
    problems = load_problems(config, chat=False)
    require_enough(problems, arguments)
    return f"{len(problems.train)} problems for training, {len(problems.evaluation)} for evaluation"


def _pairs(values: Any) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())
