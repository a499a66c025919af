"""Which reward means *correct*, and rewards that are not numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import gather
from trl.trainer.utils import is_async_callable

from unsharpen.errors import EngineError, InputError

Correctness = Callable[[torch.Tensor, Any, Any, Any, Any], torch.Tensor]
"""(rewards table [N, functions], inputs, prompts, completions, completion ids) -> [N] bool, for the global batch."""


def resolve_correctness(
    correctness: str | Callable[..., list[Any]] | None, trainer: Any, *, threshold: float
) -> Correctness:
    """Turn the trainer's ``correctness`` argument into a function of the batch.

    Raises:
        EngineError: several reward functions and no choice, a name that none of them has, or an async callable.
    """
    reward_names: list[str] = trainer.reward_func_names
    if callable(correctness):
        if is_async_callable(correctness):
            raise EngineError(
                "`correctness` must be a plain callable; found an async one",
                hint="let an async reward function decide, and name it: correctness='its_name'",
            )
        return functools.partial(_by_callable, correctness, threshold, trainer)
    if correctness is None and len(reward_names) == 1:
        correctness = reward_names[0]
    if correctness not in reward_names:
        found = "no `correctness`" if correctness is None else f"correctness={correctness!r}"
        raise EngineError(
            f"which reward decides that a completion is correct? found {found} and the reward functions "
            f"{', '.join(reward_names)}",
            hint=f"for example correctness={reward_names[0]!r}, or a callable",
        )
    column = reward_names.index(correctness)
    return lambda table, *_: torch.nan_to_num(table[:, column], nan=-math.inf) >= threshold


def _by_callable(
    judge: Callable[..., list[Any]],
    threshold: float,
    trainer: Any,
    table: torch.Tensor,
    inputs: Any,
    prompts: Any,
    completions: Any,
    completion_ids: Any,
) -> torch.Tensor:
    reserved = {"prompt", "completion", "completion_ids"}
    arguments: dict[str, Any] = {key: [row[key] for row in inputs] for key in inputs[0] if key not in reserved}
    arguments |= {"trainer_state": trainer.state, "log_extra": _ignore, "log_metric": _ignore}  # the rewards log alone
    if trainer.environments is not None:
        arguments["environments"] = trainer.environments
    verdicts = judge(prompts=prompts, completions=completions, completion_ids=completion_ids, **arguments)
    if len(verdicts) != len(prompts):
        raise InputError(
            f"`correctness` must return {len(prompts)} verdicts, one per completion; found {len(verdicts)}"
        )
    local = torch.tensor([-math.inf if v is None else float(v) for v in verdicts], device=table.device) >= threshold
    gathered: torch.Tensor = gather(local)
    return gathered


def _ignore(*_: Any) -> None:
    pass


def reject_nan(reward: Any) -> Any:
    """Wrap a reward function so that NaN is an error. None still means "not for this row", as in TRL."""
    if isinstance(reward, torch.nn.Module) or not callable(reward):
        return reward
    name = getattr(reward, "__name__", type(reward).__name__)

    def checked(values: Any) -> Any:
        for row, value in enumerate(values):
            if value is not None and math.isnan(value):
                raise InputError(
                    f"reward function {name!r} returned NaN for completion {row} of this batch",
                    hint="return a number, or None where the function does not apply",
                )
        return values

    if is_async_callable(reward):

        @functools.wraps(reward)
        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
            return checked(await reward(*args, **kwargs))

        return wrapped_async

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checked(reward(*args, **kwargs))

    return functools.update_wrapper(wrapped, reward)
