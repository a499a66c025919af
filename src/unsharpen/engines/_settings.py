"""A method's engine settings, written into a GRPOConfig; what contradicts them there is an error."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from trl import GRPOConfig
from trl.trainer.utils import get_config_model_id

from unsharpen.errors import EngineError
from unsharpen.methods import Method

FIELDS = {
    "learning_rate_scale": "learning_rate",
    "kl_coef": "beta",
    "loss": "loss_type",
    "clip_low": "epsilon",
    "clip_high": "epsilon_high",
    "ratio_level": "importance_sampling_level",
    "entropy_coef": "entropy_coef",
    "entropy_adaptive": "use_adaptive_entropy",
    "entropy_target": "entropy_target",
    "entropy_step": "entropy_coef_delta",
    "entropy_coef_max": "entropy_coef_max",
    "top_entropy_share": "top_entropy_quantile",
}
"""A method's engine settings -> fields of GRPOConfig."""

_WITHOUT_CLIP = {
    "cispo": "takes epsilon_high for the largest ratio itself",
    "sapo": "does not clip",
    "vespo": "does not clip",
}

OURS = frozenset({"base_share", "drop_uniform_groups", "guided_share"})
"""Settings that the trainer itself carries out, as TRL has no field for them."""


def with_config(
    args: tuple[Any, ...], kwargs: dict[str, Any], method: Method
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The trainer's arguments with the method's engine settings written into a copy of the GRPOConfig."""
    if not method.recipe.settings and not method.recipe.excludes:
        return args, kwargs
    _check_optimizer(args[8] if len(args) > 8 else kwargs.get("optimizers"), method)
    positional = len(args) > 2  # model, reward_funcs, args
    config = args[2] if positional else kwargs.get("args")
    if config is None:  # as TRL does
        model = args[0] if args else kwargs["model"]
        name = model if isinstance(model, str) else get_config_model_id(model.config)
        config = GRPOConfig(f"{name.split('/')[-1]}-GRPO")
    config = with_settings(config, method)
    if positional:
        return (*args[:2], config, *args[3:]), kwargs
    return args, {**kwargs, "args": config}


def with_settings(config: Any, method: Method) -> Any:
    """A copy of ``config`` (a GRPOConfig) with the method's engine settings; ``FIELDS`` says where each one goes.

    Raises:
        EngineError: a setting that this engine does not know; a field that the method sets, or must have for itself,
            has in ``config`` a value that is neither the default nor the method's; or a loss that has no such clip.
    """
    usual = {f.name: f.default for f in dataclasses.fields(config)}
    _check_excluded(config, method, usual)
    config = copy.copy(config)
    for name, value in method.recipe.settings.items():
        if name in OURS:
            continue
        if name not in FIELDS:
            raise EngineError(f"the TRL engine does not know the setting {name!r} of method {method.name!r}")
        field = FIELDS[name]
        before = getattr(config, field)
        if name == "learning_rate_scale":
            value = before * value
        elif before not in (usual[field], value):
            raise EngineError(
                f"method `{method.name}` sets GRPOConfig's {field} to {value}; found {before}",
                hint=f"leave {field} at its default, and change the method's coefficient: "
                f"`unsharpen methods {method.name}` lists them",
            )
        setattr(config, field, bool(value) if isinstance(usual[field], bool) else value)
    if {"clip_low", "clip_high"} & method.recipe.settings.keys():
        check_clip(config.loss_type, by=method.name)
    return config


def check_clip(loss_type: str, *, by: str) -> None:
    """Raise unless TRL's loss clips the ratio to [1 - epsilon, 1 + epsilon_high]."""
    if loss_type in _WITHOUT_CLIP:
        raise EngineError(
            f"method `{by}` counts on the clip of PPO; loss_type={loss_type!r} {_WITHOUT_CLIP[loss_type]}",
            hint="leave loss_type at its default, or take method='grpo' with it",
        )


def _check_optimizer(optimizers: Any, method: Method) -> None:
    scales = method.recipe.settings.get("learning_rate_scale", 1) != 1
    if scales and optimizers is not None and optimizers[0] is not None:
        raise EngineError(
            f"method `{method.name}` scales the learning rate of GRPOConfig; found an optimizer that has its own",
            hint="leave `optimizers` out, or scale the optimizer's own rate and take method='grpo'",
        )


def _check_excluded(config: Any, method: Method, usual: dict[str, Any]) -> None:
    for name in sorted(method.recipe.excludes):
        field = FIELDS[name]
        if (found := getattr(config, field)) != usual[field]:
            raise EngineError(
                f"method `{method.name}` has what {field} does in a form of its own; found {field}={found} as well",
                hint=f"leave {field} at its default, or take method='grpo' with it",
            )
