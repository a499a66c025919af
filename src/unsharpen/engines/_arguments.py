"""What a method asks of a GRPOConfig: all that can be told of it before there is a model, data or a trainer."""

from __future__ import annotations

from typing import Any

from unsharpen.engines._fields import SUPPLIED
from unsharpen.engines._options import require_groups
from unsharpen.engines._settings import check_clip
from unsharpen.errors import EngineError
from unsharpen.methods import Method


def require_arguments(method: Method, settings: Any, *, embed: bool) -> None:
    """Refuse settings with which the method can't be what it says.

    Args:
        method: with its coefficients.
        settings: a GRPOConfig with the method's engine settings, or a trainer, which has its fields as attributes.
        embed: whether the trainer is given a way to embed texts.

    Raises:
        EngineError: names the setting.
    """
    if unknown := method.requires - SUPPLIED:
        raise EngineError(
            f"method `{method.name}` needs {', '.join(sorted(unknown))}, which the TRL engine does not supply"
        )
    require_groups(method, settings.num_generations, option="num_generations")
    if "embeddings" in method.requires and not embed:
        raise EngineError(
            f"method `{method.name}` needs embeddings of the completions; found no `embed`",
            hint="embed=..., a callable that takes a list of texts and returns an array [n, D]",
        )
    _require_distributions(method, settings)
    _require_loss(method, settings)
    _require_reference(method, settings)
    _require_logprobs(method, settings)
    if settings.scale_rewards != "group" or settings.multi_objective_aggregation != "sum_then_normalize":
        raise EngineError(
            "the method decides how rewards become advantages; found "
            f"scale_rewards={settings.scale_rewards!r}, "
            f"multi_objective_aggregation={settings.multi_objective_aggregation!r}",
            hint="leave both at their defaults; scale_rewards='none' is method='dr-grpo'",
        )


def require_whole_model(method: Method, *, adapter: bool, sharded: bool = False) -> None:
    """Refuse a share of the base in the final model where the model's own weights are not to be had.

    Args:
        method: with its coefficients.
        adapter: whether only an adapter is trained.
        sharded: whether the weights are split over processes.
    """
    share = float(method.recipe.settings.get("base_share", 0.0))
    if not share or not (adapter or sharded):
        return
    merge = f"`unsharpen merge BASE MODEL --delta {share:g} --output DIR`"
    why = "the weights are split over processes" if sharded else "only an adapter is trained"
    instead = f"afterwards {merge}" if sharded else f"put it into its model, and then {merge}"
    raise EngineError(
        f"method `{method.name}` mixes the base model into the final one, but {why}",
        hint=f"base_share=0, and {instead}",
    )


def _require_distributions(method: Method, settings: Any) -> None:
    """The distribution that each token was drawn from is known to plain ``generate`` alone."""
    term = method.recipe.loss_term
    entropies = "entropies" in method.requires
    if not entropies and (term is None or "old_mean_logprobs" not in term.requires):
        return
    ways = ("use_vllm", "use_transformers_continuous_batching", "rollout_func", "tools")
    if found := next((name for name in ways if getattr(settings, name, None)), None):
        what = "the entropies" if entropies else "the mean log-probs"
        raise EngineError(
            f"method `{method.name}` needs {what} of the sampling distribution; they are not to be had with {found}",
            hint="sample with plain `generate`, or choose a method without that need",
        )


def _require_loss(method: Method, settings: Any) -> None:
    step, term = method.recipe.token_transform, method.recipe.loss_term
    if step is not None and step.stage == "sampling" and step.requires:
        raise EngineError(
            f"the token step of method `{method.name}` needs {', '.join(sorted(step.requires))} at sampling, which the "
            "TRL engine does not supply"
        )
    if term is None:
        return
    if "reference_logprobs" in term.requires and settings.beta == 0.0:
        raise EngineError(
            f"method `{method.name}` needs a reference model, but beta is 0",
            hint="set GRPOConfig(beta=...) above 0, so that TRL keeps a reference model",
        )
    if "clip_low" in term.requires:
        check_clip(settings.loss_type, by=method.name)
        if settings.importance_sampling_level != "token":
            raise EngineError(
                f"method `{method.name}` works on the ratio of each token; found importance_sampling_level="
                f"{settings.importance_sampling_level!r}",
                hint="leave importance_sampling_level at 'token'",
            )


def _require_reference(method: Method, settings: Any) -> None:
    if "reference_logprobs" not in method.requires:
        return
    if settings.beta == 0.0:
        raise EngineError(
            f"method `{method.name}` with these coefficients needs reference_logprobs, but beta is 0",
            hint="give the method's coefficient beta a value above 0"
            if "kl_coef" in method.recipe.settings
            else "set GRPOConfig(beta=...) above 0, so that TRL keeps a reference model",
        )
    if settings.mask_truncated_completions:
        raise EngineError(
            f"method `{method.name}` with these coefficients needs reference_logprobs, which completions that "
            "mask_truncated_completions masks don't have",
            hint="mask_truncated_completions=False (the default)",
        )


def _require_logprobs(method: Method, settings: Any) -> None:
    if "logprobs" not in method.requires:
        return
    if settings.use_transformers_continuous_batching:
        raise EngineError(
            f"method `{method.name}` needs sampling log-probs; continuous batching does not return them",
            hint="use_transformers_continuous_batching=False, or use_vllm=True",
        )
    if settings.use_vllm and not settings.vllm_importance_sampling_correction:
        raise EngineError(
            f"method `{method.name}` needs sampling log-probs; vLLM may leave holes in them, which only its importance "
            "sampling correction can fill",
            hint="vllm_importance_sampling_correction=True (the default)",
        )
