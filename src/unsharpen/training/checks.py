"""What is refused before a model is loaded: values that no trainer can take, and settings that fight the method."""

from __future__ import annotations

import math
import operator
import re
from typing import Any

from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from trl import GRPOConfig

from unsharpen.engines._arguments import require_arguments, require_whole_model
from unsharpen.engines._pool import Pool
from unsharpen.engines._settings import FIELDS, with_settings
from unsharpen.errors import InputError
from unsharpen.methods import Method
from unsharpen.training.config import RunConfig
from unsharpen.training.problems import no_solution_counts

_NUMERIC: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "None": (type(None),),
}
_LEAST = {
    **dict.fromkeys(("learning_rate", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm"), 0),
    **dict.fromkeys(("warmup_steps", "logging_steps", "top_k", "min_p", "beta", "epsilon", "epsilon_high"), 0),
    **dict.fromkeys(("per_device_train_batch_size", "gradient_accumulation_steps", "max_completion_length"), 1),
    **dict.fromkeys(("num_iterations", "num_generations", "steps_per_generation", "generation_batch_size"), 1),
}
_ABOVE = dict.fromkeys(("num_train_epochs", "temperature", "top_p", "repetition_penalty"), 0)
_MOST = dict.fromkeys(("top_p", "min_p"), 1)
_BELOW = dict.fromkeys(("adam_beta1", "adam_beta2"), 1)
_LIMITS = (
    ("at least", operator.ge, _LEAST),
    ("a number above", operator.gt, _ABOVE),
    ("at most", operator.le, _MOST),
    ("a number below", operator.lt, _BELOW),
)
_MAY_BE_INFINITE = {
    *("max_grad_norm", "delta", "vllm_importance_sampling_clip_max", "vllm_importance_sampling_cap"),
}
"""Upper bounds: without one the norm of the gradient, or a ratio, is logged and not clipped."""
_UNCERTAIN = {"azure_ml", "flyte"}
"""Trackers of which the library does not say whether they are installed."""


def check_value(key: str, value: Any, annotation: Any) -> None:
    """Refuse what is no number, no flag or out of range; TRL would fail in the middle of the run, or not at all."""
    wanted = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    words = set(re.findall(r"\w+", wanted))
    if words <= _NUMERIC.keys() and type(value) not in {t for word in words for t in _NUMERIC[word]}:
        raise InputError(f"--set {key} needs {wanted}, found {value!r}")
    unbounded = value == math.inf and key in _MAY_BE_INFINITE
    if isinstance(value, float) and not math.isfinite(value) and not unbounded:
        raise InputError(f"--set {key} needs a finite number, found {value!r}")
    if value is None and key != "max_completion_length":  # of the others that may be None it is the default
        return
    for relation, holds, limits in _LIMITS:
        if key in limits and (value is None or not holds(value, limits[key])):
            raise InputError(f"--set {key} needs {relation} {limits[key]}, found {value!r}")


def check_trackers(arguments: GRPOConfig) -> None:
    """Refuse trackers that the library does not know, or that are not installed."""
    available = {*get_available_reporting_integrations(), *_UNCERTAIN}
    for name in arguments.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise InputError(
                f"report_to must be none, all, or of {', '.join(sorted(INTEGRATION_TO_CALLBACK))}; found {name!r}"
            )
        if name not in available:
            raise InputError(
                f"report_to={name} needs the tracker {name}, which is not installed",
                hint=f"install it, or take one that is: {', '.join(sorted(available - _UNCERTAIN)) or 'none'}",
            )


def check_method(config: RunConfig, method: Method, arguments: GRPOConfig) -> None:
    """Refuse settings that contradict the method, or that lack what it needs.

    Raises:
        UnsharpenError: names the setting.
    """
    recipe = method.recipe
    if method.binary_rewards and config.format_bonus:
        raise InputError(
            f"method `{method.name}` is defined for rewards that are exactly 0 or 1; found format_bonus "
            f"{config.format_bonus:g}",
            hint="leave --format-bonus out, or choose another method",
        )
    if recipe.pool_term is not None and not recipe.pool:
        raise InputError(
            f"method `{method.name}` needs completions that the base model sampled; found no pool",
            hint="`unsharpen data presample` writes pool.jsonl: --method-arg pool=pool.jsonl",
        )
    if recipe.pool:
        Pool(recipe.pool, temperature=arguments.temperature)  # whatever is wrong with it shows before a model is loaded
    for setting in (*recipe.settings, *sorted(recipe.excludes)):
        field = FIELDS.get(setting)
        if field in config.trl and setting != "learning_rate_scale":
            raise InputError(
                f"`{field}` belongs to the method {config.method}, not to --set",
                hint=f"`unsharpen methods {config.method}` shows the coefficient to use with --method-arg",
            )
    if recipe.settings.get("guided_share"):
        raise InputError(
            f"method `{method.name}` with guided above 0 needs reference solutions; the problems of a run have none",
            hint="guided=0, or DiverseGRPOTrainer with a column `reference_solution` in its data",
        )
    if "num_solutions" in method.requires and not config.is_countdown:
        raise no_solution_counts(config.task)
    require_arguments(method, with_settings(arguments, method), embed=False)
    require_whole_model(method, adapter=config.lora is not None)
