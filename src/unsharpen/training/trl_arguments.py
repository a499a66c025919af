"""From a run's configuration to a ``trl.GRPOConfig``: our defaults, then the user's ``--set``."""

from __future__ import annotations

import dataclasses
import difflib
import math
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from unsharpen.errors import InputError
from unsharpen.training.checks import check_method, check_trackers, check_value
from unsharpen.training.config import RunConfig

_OURS = {"output_dir": "--output", "seed": "--seed", "data_seed": "--seed"}

_TINY = {
    "learning_rate": 3e-4,
    "lr_scheduler_type": "constant",
    "max_steps": 200,
    "per_device_train_batch_size": 128,
    "gradient_accumulation_steps": 4,
    "num_generations": 16,
    "max_completion_length": 24,
    "gradient_checkpointing": False,
    "bf16": False,
}
"""For the shipped model: 32 prompts x 16 completions a step."""

_ANY = {
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant",
    "max_steps": 300,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 8,
    "num_generations": 8,
    "max_completion_length": 1024,
}
"""For any other model: group size and learning rate of the published runs."""

_LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")

_NONE_IS_A_WORD = ("report_to", "scale_rewards")
"""Fields with a value of that name; --set reads it as nothing."""


def grpo_config(config: RunConfig, output: Path) -> GRPOConfig:
    """The trainer's arguments.

    Raises:
        InputError: an unknown field (close names are offered), a field that has an option of its own, or values that
            TRL refuses (group size 1, batch sizes that don't divide, ...) or that no run can take.
        EngineError: the method needs other settings.
    """
    fields = {f.name: f for f in dataclasses.fields(GRPOConfig) if f.init}
    for key, value in config.trl.items():
        if key in _OURS:
            raise InputError(f"`{key}` is set by {_OURS[key]}, not by --set")
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=3)
            raise InputError(
                f"GRPOConfig has no field {key!r}", hint=f"did you mean {' or '.join(close)}?" if close else None
            )
        check_value(key, value, fields[key].type)
    values: dict[str, Any] = {
        **_defaults(config),
        "logging_steps": 1,
        "save_steps": config.eval_every or 100,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **({} if torch.cuda.is_available() else {"bf16": False}),
        **config.trl,
        **{key: "none" for key in _NONE_IS_A_WORD if key in config.trl and config.trl[key] is None},
        "output_dir": str(output),
        "seed": config.seed,
    }
    try:
        arguments = GRPOConfig(**values)
    except (ValueError, TypeError) as error:
        raise InputError(f"TRL refuses these settings: {error}") from error
    if arguments.loss_type not in _LOSSES:
        raise InputError(f"loss_type must be one of {', '.join(_LOSSES)}; found {arguments.loss_type!r}")
    if arguments.save_steps < 1:
        raise InputError(f"save_steps must be a number of steps, found {arguments.save_steps}")
    period = generation_period(arguments)
    arguments.save_steps = -(-int(arguments.save_steps) // period) * period
    check_trackers(arguments)
    check_method(config, config.resolve_method(), arguments)
    return arguments


def _defaults(config: RunConfig) -> dict[str, Any]:
    """Ours, but for those that would make a setting of the user's void."""
    values = dict(_TINY if config.is_tiny else _ANY)
    if "num_train_epochs" in config.trl:
        values["max_steps"] = -1  # TRL's word for counting in epochs
    if config.trl.get("warmup_steps"):
        values["lr_scheduler_type"] = "constant_with_warmup"
    return values


def generation_period(arguments: GRPOConfig) -> int:
    """Optimiser steps that share one batch of completions; a run resumes exactly only at a multiple of it."""
    passes = int(arguments.steps_per_generation * arguments.num_iterations)
    accumulation = int(arguments.gradient_accumulation_steps)
    return math.lcm(passes, accumulation) // accumulation
