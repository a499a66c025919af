"""slime: ``--custom-advantage-function-path unsharpen.engines.slime.advantages`` replaces its estimator by a method.

Supported: slime 0.3.1 and its main branch of August 2026, with data, tensor and pipeline parallelism; not context
parallelism. slime deals the completions of a prompt out over its data-parallel processes, so one small gather a rollout
(a few numbers per completion) puts the groups together again.

The options come from the file of ``--custom-config-path``:

.. code-block:: yaml

    unsharpen: {method: ds-grpo, gamma_p: 0.05, correct_threshold: 0.5}

They are checked when slime calls the function for the first time, after the first rollout: it has no earlier hook.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from unsharpen.engines._options import Options, read_options, require_fields, require_groups
from unsharpen.engines._rollouts import Layout, group_batch, row_sums, token_advantages
from unsharpen.engines._warnings import FailureWatch
from unsharpen.errors import EngineError, InputError
from unsharpen.methods import get_method

EXAMPLE = "in the file of --custom-config-path: unsharpen: {method: ds-grpo, gamma_p: 0.05}"

_SETTINGS = {
    "learning_rate_scale": "--lr",
    "kl_coef": "--use-kl-loss --kl-loss-coef",
    "loss": "--calculate-per-token-loss",
    "base_share": "the share, by `unsharpen merge` at the end,",
}
"""A method's engine settings -> what sets them in slime, which is parsed before our code runs."""

_settled: dict[str, tuple[Options, FailureWatch]] = {}


def advantages(args: Any, rollout_data: dict[str, Any]) -> None:
    """Set ``rollout_data["advantages"]`` and ``["returns"]``: one tensor per sample, as slime's own estimators do.

    Args:
        args: slime's arguments, with ``unsharpen`` from the custom configuration.
        rollout_data: of this process: ``log_probs`` or ``rollout_log_probs``, ``loss_masks``, ``sample_indices``, raw
            rewards, and where a rollout is several samples, ``rollout_ids``.

    Raises:
        EngineError: a setting of slime that contradicts the method, or something that the method needs is missing.
    """
    options, watch = _settle(args)
    masks, logprobs = rollout_data["loss_masks"], _logprobs(args, rollout_data, options)
    lengths, mask = np.asarray([len(row) for row in masks]), _flat(masks) > 0
    columns = {"rewards": _raw_rewards(args, rollout_data), "lengths": row_sums(mask, mask, lengths).astype(np.int64)}
    columns["logprobs"] = row_sums(_flat(logprobs), mask, lengths)
    if "reference_logprobs" in options.method.requires:
        columns["reference_logprobs"] = row_sums(_flat(_reference(rollout_data, options)), mask, lengths)
    whole, mine = _gather({**columns, **_places(args, rollout_data)})
    correct = whole["rewards"] >= options.correct_threshold
    layout = Layout(whole.pop("groups").tolist(), completions=whole.pop("rollouts").tolist(), parts=whole.pop("parts"))
    batch = group_batch(layout, {**whole, "correct": correct})
    shaped = options.method.advantages(batch)
    watch(batch, shaped, get_method("grpo").advantages(batch))
    transform, per_row = options.method.recipe.token_transform, layout.spread(shaped)[mine]
    values = np.repeat(per_row, lengths)
    if transform is not None:
        if layout.mask.sum() < len(correct):
            raise EngineError(f"method `{options.method.name}` works on tokens; found a rollout of several samples")
        values = token_advantages(
            transform, np.arange(len(lengths)), per_row, correct[mine], _flat(logprobs), mask, lengths
        )
    rows = torch.from_numpy(values).split(lengths.tolist())
    rollout_data["advantages"] = [row.to(like.device) for row, like in zip(rows, logprobs, strict=True)]
    rollout_data["returns"] = list(rollout_data["advantages"])


def _settle(args: Any) -> tuple[Options, FailureWatch]:
    """The options, checked; read once for each set of them, so that warnings come once."""
    section = getattr(args, "unsharpen", None)
    key = json.dumps(section, sort_keys=True, default=repr)
    options = _settled[key][0] if key in _settled else read_options(section, example=EXAMPLE)
    _check(args, options)
    if key not in _settled:
        kl_coef = float(args.kl_loss_coef) if getattr(args, "use_kl_loss", False) else 0.0
        _settled[key] = options, FailureWatch(options.method, kl_coef=kl_coef)
    return _settled[key]


def _check(args: Any, options: Options) -> None:
    method = options.method
    require_groups(method, int(args.n_samples_per_prompt), option="--n-samples-per-prompt")
    require_fields(method, dict.fromkeys(("lengths", "logprobs", "reference_logprobs")), engine="slime")
    for name, value in method.recipe.settings.items():
        raise EngineError(
            f"method `{method.name}` sets {name}={value}, which has to be set before slime starts",
            hint=f"take the method that it adds to (grpo), and set {_SETTINGS.get(name, name)} yourself",
        )
    wrong = {
        "--normalize-advantages": getattr(args, "normalize_advantages", False),
        "--kl-coef": getattr(args, "kl_coef", 0) != 0,
        "--context-parallel-size": getattr(args, "context_parallel_size", 1) > 1,
    }
    if options.correct_key is not None:
        raise EngineError("slime hands on the reward alone; found unsharpen.correct_key", hint="use correct_threshold")
    for flag in (flag for flag, found in wrong.items() if found):
        raise EngineError(f"unsharpen does not work with slime's {flag}", hint=f"leave {flag} out")


def _logprobs(args: Any, rollout_data: dict[str, Any], options: Options) -> list[torch.Tensor]:
    """One tensor per sample: the trainer's, unless slime left them out or is told to use the sampler's."""
    chosen = options.logprobs
    if chosen is None:
        chosen = "old" if rollout_data.get("log_probs") and not args.use_rollout_logprobs else "rollout"
    name = {"old": "log_probs", "rollout": "rollout_log_probs"}[chosen]
    found: list[torch.Tensor] | None = rollout_data.get(name)
    if not found:
        raise EngineError(
            f"unsharpen needs log-probs; slime's rollout_data has no {name!r}, found {', '.join(sorted(rollout_data))}",
            hint="slime leaves out the trainer's when it makes one step per rollout; `rollout` are the sampler's",
        )
    return found


def _reference(rollout_data: dict[str, Any], options: Options) -> list[torch.Tensor]:
    found: list[torch.Tensor] | None = rollout_data.get("ref_log_probs")
    if not found:
        raise EngineError(
            f"method `{options.method.name}` needs reference_logprobs; slime's rollout_data has no 'ref_log_probs'",
            hint="--ref-load and --use-kl-loss",
        )
    return found


def _raw_rewards(args: Any, rollout_data: dict[str, Any]) -> Any:
    """[n] before slime's own group normalisation, which would hide what is correct."""
    rewards = rollout_data.get("local_raw_reward")
    if rewards is None and not args.rewards_normalization:
        rewards = rollout_data["rewards"]
    if rewards is None:
        raise EngineError(
            "unsharpen needs raw rewards; this slime hands on normalised ones",
            hint="--disable-rewards-normalization",
        )
    return np.asarray([float(reward) for reward in rewards])


def _places(args: Any, rollout_data: dict[str, Any]) -> dict[str, Any]:
    """Group, rollout and place within it of each sample; slime numbers the samples of a prompt one after the other."""
    indices = rollout_data["sample_indices"]
    if any(index is None for index in indices):
        raise InputError("unsharpen tells prompts apart by Sample.index; found a sample without one")
    indices = np.asarray([int(index) for index in indices])
    rollouts = rollout_data.get("rollout_ids")
    rollouts = indices if rollouts is None else np.asarray([int(rollout) for rollout in rollouts])
    return {"groups": indices // args.n_samples_per_prompt, "rollouts": rollouts, "parts": indices}


def _gather(columns: dict[str, Any]) -> tuple[dict[str, Any], slice]:
    """The columns of all data-parallel processes end to end, and where those of this one are."""
    count = len(columns["rewards"])
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return columns, slice(0, count)
    from megatron.core import mpu

    group = mpu.get_data_parallel_group_gloo(with_context_parallel=False)
    parts: list[Any] = [None] * torch.distributed.get_world_size(group)
    torch.distributed.all_gather_object(parts, columns, group=group)
    start = sum(len(part["rewards"]) for part in parts[: torch.distributed.get_rank(group)])
    return {name: np.concatenate([part[name] for part in parts]) for name in columns}, slice(start, start + count)


def _flat(rows: list[Any]) -> Any:
    return torch.cat([torch.as_tensor(row).reshape(-1) for row in rows]).detach().float().cpu().numpy()
