"""A method's engine settings in verl's own fields, and the losses of the catalogue that verl has itself.

Works on the tree that Hydra makes (attributes, items and ``get``) and imports nothing of verl.
"""

from __future__ import annotations

from typing import Any

from unsharpen.errors import EngineError
from unsharpen.methods import Method

ACTOR = "actor_rollout_ref.actor"

DEFAULTS: dict[str, float | str | bool | None] = {
    "use_kl_loss": False,
    "kl_loss_coef": 0.001,
    "clip_ratio_low": 0.2,
    "clip_ratio_high": 0.2,
    "entropy_coeff": 0,
    "loss_agg_mode": "token-mean",
    "loss_scale_factor": None,
    "policy_loss.loss_mode": "vanilla",
    "policy_loss.clip_cov_ratio": 0.0002,
    "policy_loss.clip_cov_lb": 1.0,
    "policy_loss.clip_cov_ub": 5.0,
    "policy_loss.kl_cov_ratio": 0.0002,
    "policy_loss.ppo_kl_coef": 0.1,
}
"""Fields of verl's actor that a method may set -> verl's default, by which a user's own choice is told."""

AVERAGES = {"grpo": "seq-mean-token-mean", "dapo": "token-mean", "dr_grpo": "seq-mean-token-sum-norm"}
"""How the loss of tokens is averaged: our word -> verl's ``loss_agg_mode``."""

NATIVE_LOSSES = {
    "drop_covariant_tokens": (
        "clip_cov",
        {"share": "clip_cov_ratio", "lower": "clip_cov_lb", "upper": "clip_cov_ub"},
    ),
    "tether_covariant_tokens": ("kl_cov", {"share": "kl_cov_ratio", "coef": "ppo_kl_coef"}),
}
"""A token step or loss term of the catalogue -> verl's loss that does the same, and where its coefficients go."""


def apply_settings(config: Any, method: Method) -> None:
    """Write what the method sets into the configuration.

    The learning rate is scaled; any other field must have verl's default or already the method's value.

    Raises:
        EngineError: a setting for which verl has no option, one that the user has to switch on because it changes the
            cost, or a field with a value of the user's own; names the override.
    """
    actor, settings = config.actor_rollout_ref.actor, method.recipe.settings
    if "entropy_coef" in method.recipe.excludes and actor.get("entropy_coeff", 0) != 0:
        raise EngineError(
            f"method `{method.name}` has an entropy term of its own; found {ACTOR}.entropy_coeff={actor.entropy_coeff}",
            hint=f"{ACTOR}.entropy_coeff=0",
        )
    if settings.get("drop_uniform_groups") and not (config.algorithm.get("filter_groups") or {}).get("enable"):
        raise EngineError(
            f"method `{method.name}` leaves uniform groups out, which verl does by sampling others in their place; "
            "found algorithm.filter_groups.enable=False",
            hint="algorithm.filter_groups.enable=True, which samples more; or +unsharpen.drop_uniform=off",
        )
    fields = fields_of(method, max_response_length=config.data.max_response_length)
    for name, value in fields.items():
        section, _, field = name.rpartition(".")
        place = actor[section] if section else actor
        found = place.get(field)
        if found not in (DEFAULTS[name], value):
            raise EngineError(
                f"method `{method.name}` sets {ACTOR}.{name}={value}; found {found}",
                hint=f"leave {ACTOR}.{name} out, and change the method's coefficient: "
                f"`unsharpen methods {method.name}` lists them",
            )
        place[field] = value
    actor.optim.lr = actor.optim.lr * settings.get("learning_rate_scale", 1)


def fields_of(method: Method, *, max_response_length: int) -> dict[str, Any]:
    """Fields of verl's actor -> what the method sets them to; the learning rate and group filtering aside.

    Raises:
        EngineError: verl has no such setting, or refuses a coefficient.
    """
    fields: dict[str, Any] = {}
    for name, value in method.recipe.settings.items():
        match name, value:
            case "learning_rate_scale" | "drop_uniform_groups", _:
                pass
            case "kl_coef", _:
                fields |= {"use_kl_loss": True, "kl_loss_coef": value}
            case "clip_low" | "clip_high", _:
                fields[name.replace("clip", "clip_ratio")] = value
            case "entropy_coef", _:
                fields["entropy_coeff"] = value
            case "ratio_level", "sequence":
                fields["policy_loss.loss_mode"] = "gspo"
            case "loss", "grpo" | "dapo" | "dr_grpo":
                fields["loss_agg_mode"] = AVERAGES[value]
                if value == "dr_grpo":
                    fields["loss_scale_factor"] = max_response_length
            case "base_share", _:
                raise EngineError(
                    f"method `{method.name}` mixes the base model into the final one, which verl does not do",
                    hint="set +unsharpen.base_share=0, and afterwards, with the checkpoint in Hugging Face format "
                    "(python -m verl.model_merger merge --backend fsdp --local_dir .../actor --target_dir MODEL): "
                    f"unsharpen merge BASE MODEL --delta {value} --output DIR",
                )
            case _:
                raise EngineError(
                    f"method `{method.name}` asks for {name}={value}, for which verl has no option",
                    hint="choose another method, or TRL, which carries them all",
                )
    for part in native_parts(method):
        mode, names = NATIVE_LOSSES[part]
        if method.coefficients["share"] == 0:
            raise EngineError(
                f"method `{method.name}` with share=0 is plain GRPO, and verl's {mode} needs a share above 0",
                hint="+unsharpen.method=grpo",
            )
        fields["policy_loss.loss_mode"] = mode
        fields |= {f"policy_loss.{name}": method.coefficients[ours] for ours, name in names.items()}
    return fields


def native_parts(method: Method) -> list[str]:
    """What of the method acts in the loss and is left to a loss of verl's own."""
    return [part for part in method.beyond_advantages.values() if part in NATIVE_LOSSES]
