"""slime: ``--custom-advantage-function-path unsharpen.engines.slime.advantages`` replaces its estimator by a method.

Supported: slime 0.3.1 and its main branch of August 2026, with data, tensor and pipeline parallelism; not context
parallelism. slime deals the completions of a prompt out over its data-parallel processes, so one small gather a rollout
(a few numbers per completion) puts the groups together again. Samples with one ``rollout_id`` are one completion.

The options come from the file of ``--custom-config-path``:

.. code-block:: yaml

    unsharpen: {method: ds-grpo, gamma_p: 0.05, correct_threshold: 0.5, logprobs: old, rollout_reward: sum}

They are checked when slime calls the function for the first time, after the first rollout: it has no earlier hook.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from dataclasses import fields
from typing import Any, Literal, get_args

import numpy as np
import torch

from unsharpen.engines._options import Options, read_options, require_fields, require_groups
from unsharpen.engines._release import require_release
from unsharpen.engines._rollouts import Layout, group_batch, row_sums, token_advantages
from unsharpen.engines._warnings import FailureWatch
from unsharpen.errors import EngineError, InputError
from unsharpen.methods import get_method

SUPPORTED = "0.3"
"""Releases whose version begins so, as far as they hand over what is read here: 0.3.0 does not."""

EXAMPLE = "in the file of --custom-config-path: unsharpen: {method: ds-grpo, gamma_p: 0.05}"

_SETTINGS = {
    "learning_rate_scale": "--lr",
    "kl_coef": "--use-kl-loss --kl-loss-coef",
    "loss": "--calculate-per-token-loss",
    "clip_low": "--eps-clip",
    "clip_high": "--eps-clip-high",
    "entropy_coef": "--entropy-coef",
    "ratio_level": "--advantage-estimator gspo",
    "base_share": "the share, by `unsharpen merge` at the end,",
}
"""A method's engine settings -> what sets them in slime, which is parsed before our code runs."""

_ARGUMENTS = (
    *("context_parallel_size", "kl_coef", "kl_loss_coef", "n_samples_per_prompt", "normalize_advantages"),
    *("rewards_normalization", "use_kl_loss", "use_rollout_logprobs"),
)
_DATA = ("loss_masks", "rewards", "rollout_ids", "sample_indices")

RolloutReward = Literal["sum", "same"]
"""Whether the samples of a rollout share its reward out (``reward / K`` each, as slime's pages say), or each has it."""

_Settled = tuple[Options, "RolloutReward | None", FailureWatch]
_settled: dict[str, _Settled] = {}


def advantages(args: Any, rollout_data: dict[str, Any]) -> None:
    """Set ``rollout_data["advantages"]`` and ``["returns"]``: one tensor per sample, as slime's own estimators do.

    Args:
        args: slime's arguments, with ``unsharpen`` from the custom configuration.
        rollout_data: of this process: ``log_probs`` or ``rollout_log_probs``, ``loss_masks``, ``sample_indices``, raw
            rewards, and ``rollout_ids``.

    Raises:
        EngineError: a setting of slime that contradicts the method, or something that the method needs is missing.
    """
    _check_release(args, rollout_data)
    options, whose, watch = _settle(args)
    masks, logprobs = rollout_data["loss_masks"], _logprobs(args, rollout_data, options)
    lengths, mask = np.asarray([len(row) for row in masks]), _flat(masks) > 0
    columns = {"rewards": _raw_rewards(args, rollout_data), "lengths": row_sums(mask, mask, lengths).astype(np.int64)}
    columns["logprobs"] = row_sums(_flat(logprobs), mask, lengths)
    if "reference_logprobs" in options.method.requires:
        columns["reference_logprobs"] = row_sums(_flat(_reference(rollout_data, options)), mask, lengths)
    whole, mine = _gather({**columns, **_places(args, rollout_data)})
    groups, rollouts = whole.pop("groups").tolist(), whole.pop("rollouts").tolist()
    layout = Layout(groups, completions=rollouts, least=options.method.least_completions)
    whole["rewards"] = _of_rollouts(whole["rewards"], layout, whose)
    correct = whole["rewards"] >= options.correct_threshold
    batch = group_batch(layout, {**whole, "correct": correct})
    shaped = options.method.advantages(batch)
    watch(batch, shaped, get_method("grpo").advantages(batch))
    transform, per_row = options.method.recipe.token_transform, layout.spread(shaped)[mine]
    values = np.repeat(per_row, lengths)
    if transform is not None:
        if layout.has_parts:
            raise EngineError(f"method `{options.method.name}` works on tokens; found a rollout of several samples")
        values = token_advantages(
            transform, np.arange(len(lengths)), per_row, correct[mine], _flat(logprobs), mask, lengths
        )
    rows = torch.from_numpy(values).split(lengths.tolist())
    rollout_data["advantages"] = [row.to(like.device) for row, like in zip(rows, logprobs, strict=True)]
    rollout_data["returns"] = list(rollout_data["advantages"])


def _check_release(args: Any, rollout_data: dict[str, Any]) -> None:
    """Refuse a slime that hands over something else.

    Its main branch bears the number of the last release, and a checkout on the path has none: the number refuses other
    releases, and the names refuse a branch that has moved on (and 0.3.0, which says ``group_ids`` for ``rollout_ids``).
    """
    hint = "https://github.com/THUDM/slime at v0.3.1, or another version of unsharpen"
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # run from a checkout
        require_release("slime", importlib.metadata.version("slime"), SUPPORTED, hint=hint)
    missing = [f"args.{name}" for name in _ARGUMENTS if not hasattr(args, name)]
    missing += [f"rollout_data[{name!r}]" for name in _DATA if name not in rollout_data]
    if missing:
        raise EngineError(f"unsharpen does not know this slime: it hands over no {', '.join(missing)}", hint=hint)


def _settle(args: Any) -> _Settled:
    """The options, checked; read once for each set of them, so that warnings come once."""
    section = getattr(args, "unsharpen", None)
    key = json.dumps(section, sort_keys=True, default=repr)
    if key not in _settled:
        section = dict(section) if isinstance(section, dict) else section
        whose = section.pop("rollout_reward", None) if section else None
        if whose not in (None, *get_args(RolloutReward)):
            raise EngineError(f"unsharpen.rollout_reward must be sum or same; found {whose!r}")
        options = read_options(section, example=EXAMPLE)
        _check(args, options)
        kl_coef = float(args.kl_loss_coef) if args.use_kl_loss else 0.0
        _settled[key] = options, whose, FailureWatch(options.method, kl_coef=kl_coef, speaks=_speaks())
    _check(args, _settled[key][0])
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
        "--normalize-advantages": args.normalize_advantages,
        "--kl-coef": args.kl_coef != 0,
        "--context-parallel-size": args.context_parallel_size > 1,
    }
    usual = {field.name: field.default for field in fields(Options) if field.name.endswith("_key")}
    for key in (key for key, default in usual.items() if getattr(options, key) != default):
        raise EngineError(f"slime hands on the reward alone; found unsharpen.{key}", hint="correct_threshold decides")
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
    """Group and rollout of each sample; slime numbers the rollouts of a prompt one after the other."""
    indices = rollout_data["sample_indices"]
    if any(index is None for index in indices):
        raise InputError("unsharpen tells prompts apart by Sample.index; found a sample without one")
    indices = np.asarray([int(index) for index in indices])
    rollouts = np.asarray([int(rollout) for rollout in rollout_data["rollout_ids"]])
    return {"groups": indices // args.n_samples_per_prompt, "rollouts": rollouts}


def _of_rollouts(rewards: Any, layout: Layout, whose: RolloutReward | None) -> Any:
    """[N] the reward of each sample's rollout; slime has several habits, and from the numbers they can't be told apart.

    Raises:
        EngineError: a rollout of several samples, and the options don't say whose reward its samples have; or they are
            to be the same and are not.
    """
    if not layout.has_parts:
        return rewards
    if whose is None:
        raise EngineError(
            "a rollout has several samples, and unsharpen needs to know what their rewards are",
            hint="unsharpen.rollout_reward: `sum` if they add up to the rollout's (as with reward / K for each), "
            "`same` if each has all of it",
        )
    if whose == "sum":
        return layout.spread(layout.total(rewards))
    whole = layout.spread(layout.last(rewards))
    if np.any(different := whole != layout.spread(layout.mask) * rewards):
        row = int(np.flatnonzero(different)[0])
        raise EngineError(
            "with rollout_reward=same the samples of a rollout need one reward; "
            f"found {rewards[row]} beside {whole[row]}"
        )
    return whole


def _speaks() -> bool:
    """Whether this is the first of the processes that the function runs in, all of a pipeline's last stage."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return True
    from megatron.core import mpu

    first: bool = mpu.get_data_parallel_rank() == 0 and mpu.get_tensor_model_parallel_rank() == 0
    return first


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
