"""What of verl's configuration a method changes, needs or contradicts; settled before verl builds anything.

Works on the tree that Hydra makes (attributes, items and ``get``) and imports nothing of verl.
"""

from __future__ import annotations

from typing import Any

from unsharpen.engines._options import Options, read_options, require_fields, require_groups
from unsharpen.engines._verl_settings import apply_settings, native_parts
from unsharpen.errors import EngineError

MODES = {f"unsharpen_{mode}": mode for mode in ("sync", "colocate_async", "separate_async")}
"""Our trainer modes -> those of verl that they extend."""

EXAMPLE = "+unsharpen.method=ds-grpo +unsharpen.gamma_p=0.05"


def prepare(config: Any) -> Options:
    """Check the configuration, write the method's settings into it, and put verl's own trainer mode in its place.

    verl compares ``trainer_mode`` with its own names in many places, so ours must be gone when its code runs.

    Raises:
        EngineError: the configuration contradicts the method or can't supply what it needs; names the option.
    """
    options = read_options(_section(config), example=EXAMPLE)
    mode = MODES[config.trainer.v1.trainer_mode]
    _check_algorithm(config)
    require_groups(options.method, int(config.actor_rollout_ref.rollout.n), option="actor_rollout_ref.rollout.n")
    options = _with_logprobs(options, config, mode)
    apply_settings(config, options.method)  # before the fields: a KL term brings a reference model
    require_fields(options.method, _supplied(config), engine="verl", native=native_parts(options.method))
    config.trainer.v1.trainer_mode = mode
    return options


def _section(config: Any) -> Any:
    section = config.get("unsharpen")
    return dict(section.items()) if hasattr(section, "items") else section


def _check_algorithm(config: Any) -> None:
    algorithm = config.algorithm
    wrong = {
        "algorithm.adv_estimator": (algorithm.adv_estimator, "grpo", "the method takes the estimator's place"),
        "algorithm.norm_adv_by_std_in_grpo": (
            bool(algorithm.get("norm_adv_by_std_in_grpo", True)),
            True,
            "the method decides about scaling; without it, use +unsharpen.method=dr-grpo",
        ),
        "algorithm.use_kl_in_reward": (
            bool(algorithm.get("use_kl_in_reward", False)),
            False,
            "a KL term belongs into the loss: actor_rollout_ref.actor.use_kl_loss=True",
        ),
    }
    for option, (found, needed, why) in wrong.items():
        if found != needed:
            raise EngineError(f"unsharpen needs {option}={needed}; found {found}", hint=f"{option}={needed}; {why}")
    if config.critic.get("enable"):
        raise EngineError("unsharpen has no use for a critic; found critic.enable=True", hint="critic.enable=False")


def _with_logprobs(options: Options, config: Any, mode: str) -> Options:
    """Unless the user chose: ``old`` in sync mode, else ``rollout``; and check that they will be there."""
    chosen = options.logprobs or ("old" if mode == "sync" else "rollout")
    returned = bool(config.actor_rollout_ref.rollout.get("calculate_log_probs", False))
    if chosen == "rollout" and "logprobs" in options.method.requires and not returned:
        raise EngineError(
            f"method `{options.method.name}` needs the sampler's log-probs (unsharpen.logprobs=rollout, the default in "
            "asynchronous modes); found actor_rollout_ref.rollout.calculate_log_probs=False",
            hint="actor_rollout_ref.rollout.calculate_log_probs=True; or +unsharpen.logprobs=old, the trainer's",
        )
    return Options(**{**vars(options), "logprobs": chosen})


def _supplied(config: Any) -> dict[str, str | None]:
    """Field -> None, or what to set so that it is there."""
    correction = config.algorithm.get("rollout_correction") or {}
    bypass = bool(correction.get("bypass_mode", False))
    use_kl_loss = bool(config.actor_rollout_ref.actor.use_kl_loss)
    return {
        **dict.fromkeys(("lengths", "logprobs", "answers", "num_solutions", "prompt_ids", "max_lengths")),
        "entropies": "algorithm.rollout_correction.bypass_mode=False; verl then computes them" if bypass else None,
        "reference_logprobs": None
        if use_kl_loss
        else "actor_rollout_ref.actor.use_kl_loss=True keeps a reference model",
    }
