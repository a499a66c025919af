"""Which reward means *correct*, and rewards that are not numbers."""

from __future__ import annotations

import functools
import math
import numbers
import reprlib
import warnings
from collections.abc import Callable
from typing import Any

import torch
from accelerate.utils import gather
from trl.trainer.utils import is_async_callable

from unsharpen.errors import EngineError, InputError, UnsharpenWarning

Correctness = Callable[[torch.Tensor, Any, Any, Any, Any], torch.Tensor]
"""(rewards table [N, functions], inputs, prompts, completions, completion ids) -> [N] bool, for the global batch."""


Choice = str | list[str] | Callable[..., list[Any]] | None
"""What a user may give as ``correctness``."""

_EARLY = 10  # steps, after which ending a run would lose something


def resolve_correctness(correctness: Choice, trainer: Any, *, threshold: float) -> Correctness:
    """Turn the trainer's ``correctness`` argument into a function of the batch.

    Raises:
        EngineError: a threshold that is no finite number, several reward functions and no choice, a name that none or
            several of them have, or an async callable. From the function of the batch, in the first steps: a
            completion that a reward function scored, and that what decides left out. (Later on that is a warning, and
            the completion counts as wrong: a row that can't be judged should not end a long run.)
    """
    if isinstance(threshold, bool) or not isinstance(threshold, numbers.Real) or not math.isfinite(threshold):
        raise EngineError(f"`correct_threshold` must be a finite number; found {threshold!r}")
    if callable(correctness):
        if is_async_callable(correctness):
            raise EngineError(
                "`correctness` must be a plain callable; found an async one",
                hint="let an async reward function decide, and name it: correctness='its_name'",
            )
        return functools.partial(_by_callable, correctness, threshold, trainer)
    columns = _columns(correctness, trainer.reward_func_names)
    return functools.partial(_by_columns, columns, threshold, trainer)


def _columns(correctness: str | list[str] | None, names: list[str]) -> list[int]:
    """Where the rewards that decide stand among all."""
    if correctness is None and len(names) == 1:
        return [0]
    chosen = [correctness] if isinstance(correctness, str) else correctness
    if not isinstance(chosen, list | tuple) or not chosen or not all(name in names for name in chosen):
        found = "no `correctness`" if correctness is None else f"correctness={correctness!r}"
        raise EngineError(
            f"which reward decides that a completion is correct? found {found} and the reward functions "
            f"{', '.join(names)}",
            hint=f"for example correctness={names[0]!r}, or a callable",
        )
    if twice := next((name for name in chosen if names.count(name) > 1), None):
        raise EngineError(
            f"correctness={correctness!r} must name one reward function each; found {names.count(twice)} of the name "
            f"{twice!r}",
            hint="give each function a `__name__` of its own, or set `correctness` to a callable",
        )
    return [names.index(name) for name in chosen]


def _by_columns(columns: list[int], threshold: float, trainer: Any, table: torch.Tensor, *_: Any) -> torch.Tensor:
    rewards = table[:, columns]
    least = torch.where(rewards.isnan(), math.inf, rewards).amin(dim=1)
    judged = torch.where(rewards.isnan().all(dim=1), math.nan, least)
    by = " and ".join(trainer.reward_func_names[column] for column in columns)
    return _decide(judged, threshold, table, trainer, by=by)


def _decide(judged_N: torch.Tensor, threshold: float, table: torch.Tensor, trainer: Any, *, by: str) -> Any:
    """[N] bool; NaN, for "not judged", is False."""
    undecided = judged_N.isnan() & ~table.isnan().all(dim=1)
    if bool(undecided.any()):
        scores = zip(trainer.reward_func_names, table[undecided].T, strict=True)
        scored = " and ".join(name for name, column in scores if not column.isnan().all())
        found = f"{by} returned None for {int(undecided.sum())} completions of this batch that {scored} scored"
        if trainer.state.global_step < _EARLY:
            raise EngineError(
                f"what decides that a completion is correct must judge every completion that is scored; {found}",
                hint="where each function is for the rows of its own task, correctness=['one', 'other'] with the names "
                "of all that judge; else leave such rows out of the data, or set `correctness` to a callable that "
                "returns True or False for each",
            )
        if trainer.accelerator.is_main_process:
            warnings.warn(f"{found}; they count as wrong", UnsharpenWarning, stacklevel=2)
    return torch.nan_to_num(judged_N, nan=-math.inf) >= threshold


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
    returned = judge(prompts=prompts, completions=completions, completion_ids=completion_ids, **arguments)
    verdicts = _numbers(returned, "`correctness`")
    if len(verdicts) != len(prompts):
        raise InputError(
            f"`correctness` must return {len(prompts)} verdicts, one per completion; found {len(verdicts)}"
        )
    local = torch.tensor([math.nan if v is None else float(v) for v in verdicts], device=table.device)
    decided: torch.Tensor = _decide(gather(local), threshold, table, trainer, by="`correctness`")
    return decided


def _ignore(*_: Any) -> None:
    pass


def _numbers(values: Any, function: str) -> list[Any]:
    """What a function returned, an iterator perhaps, as a list of numbers and None."""
    try:
        iterator = iter(values)
    except TypeError as error:
        raise InputError(
            f"{function} must return a number or None for each completion; found {reprlib.repr(values)}"
        ) from error
    found = list(iterator)
    for row, value in enumerate(found):
        try:
            is_nan = value is not None and math.isnan(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise InputError(
                f"{function} must return a number or None for each completion; found {reprlib.repr(value)} for "
                f"completion {row} of this batch"
            ) from error
        if is_nan:
            raise InputError(
                f"{function} returned NaN for completion {row} of this batch",
                hint="return a number, or None where the function does not apply",
            )
    return found


def require_numbers(reward: Any) -> Any:
    """Wrap a reward function so that NaN and what is no number are errors. None means "not for this row", as in TRL."""
    if isinstance(reward, torch.nn.Module) or not callable(reward):
        return reward
    name = getattr(reward, "__name__", type(reward).__name__)

    def checked(values: Any) -> list[Any]:
        return _numbers(values, f"reward function {name!r}")

    if is_async_callable(reward):

        @functools.wraps(reward)
        async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
            return checked(await reward(*args, **kwargs))

        return wrapped_async

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checked(reward(*args, **kwargs))

    return functools.update_wrapper(wrapped, reward)
