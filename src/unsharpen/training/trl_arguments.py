"""From a run's configuration to a ``trl.GRPOConfig``: our defaults, then the user's ``--set``."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from pathlib import Path
from typing import Any

import torch
from trl import GRPOConfig

from unsharpen.engines._options import require_groups
from unsharpen.engines._pool import Pool
from unsharpen.engines.trl import FIELDS
from unsharpen.errors import InputError
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

_NUMERIC: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "None": (type(None),),
}
_LEAST = {
    "learning_rate": 0,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "max_completion_length": 1,
    "num_iterations": 1,
}


def grpo_config(config: RunConfig, output: Path) -> GRPOConfig:
    """The trainer's arguments.

    Raises:
        InputError: an unknown field (close names are offered), a field that has an option of its own, or values that
            TRL refuses (group size 1, batch sizes that don't divide, ...).
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
        _check_value(key, value, fields[key].type)
    values: dict[str, Any] = {
        **(_TINY if config.is_tiny else _ANY),
        "logging_steps": 1,
        "save_steps": config.eval_every or 100,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **({} if torch.cuda.is_available() else {"bf16": False}),
        **config.trl,
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
    method = config.resolve_method()
    require_groups(method, arguments.num_generations, option="num_generations")
    if method.binary_rewards and config.format_bonus:
        raise InputError(
            f"method `{method.name}` is defined for rewards that are exactly 0 or 1; found format_bonus "
            f"{config.format_bonus:g}",
            hint="leave --format-bonus out, or choose another method",
        )
    if method.recipe.pool_term is not None and not method.recipe.pool:
        raise InputError(
            f"method `{method.name}` needs completions that the base model sampled; found no pool",
            hint="`unsharpen data presample` writes pool.jsonl: --method-arg pool=pool.jsonl",
        )
    recipe = method.recipe
    if recipe.pool:
        Pool(recipe.pool, temperature=arguments.temperature)  # whatever is wrong with it shows before a model is loaded
    for setting in (*recipe.settings, *sorted(recipe.excludes)):
        field = FIELDS.get(setting)
        if field in config.trl and setting != "learning_rate_scale":
            raise InputError(
                f"`{field}` belongs to the method {config.method}, not to --set",
                hint=f"`unsharpen methods {config.method}` shows the coefficient to use with --method-arg",
            )
    return arguments


def generation_period(arguments: GRPOConfig) -> int:
    """Optimiser steps that share one batch of completions; a run resumes exactly only at a multiple of it."""
    passes = int(arguments.steps_per_generation * arguments.num_iterations)
    accumulation = int(arguments.gradient_accumulation_steps)
    return math.lcm(passes, accumulation) // accumulation


def _check_value(key: str, value: Any, annotation: Any) -> None:
    """Refuse what is no number, no flag or too small; TRL would fail only in the middle of the run."""
    wanted = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    words = set(re.findall(r"\w+", wanted))
    if words <= _NUMERIC.keys() and type(value) not in {t for word in words for t in _NUMERIC[word]}:
        raise InputError(f"--set {key} needs {wanted}, found {value!r}")
    if key in _LEAST and (value is None or value < _LEAST[key]):
        raise InputError(f"--set {key} needs at least {_LEAST[key]}, found {value!r}")
