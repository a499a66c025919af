"""Validation at the door, and log-space sums over a class of completions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unsharpen.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_SUM_SLACK = 1e-6  # probabilities that were stored in float32 sum to 1 only so closely


def checked(log_probs: ArrayLike, correct: ArrayLike, *, name: str = "log_base") -> tuple[Floats, Bools]:
    """Normalised log-probabilities [..., n] in float64 and flags of the same shape, or an InputError."""
    logs = distribution(log_probs, name=name)
    flags = np.asarray(correct)
    if flags.dtype != np.bool_:
        raise InputError(f"`correct` must be boolean, found {flags.dtype}", hint="for example [True, True, False]")
    try:
        logs, flags = np.broadcast_arrays(logs, flags)
    except ValueError:
        raise InputError(
            f"`{name}` and `correct` must have one entry per completion; found shapes {logs.shape} and {flags.shape}"
        ) from None
    for kind, members in (("correct", flags), ("wrong", ~flags)):
        empty = ~members.any(axis=-1)
        if empty.any():
            raise InputError(
                f"need at least 1 {kind} completion; {_row(empty)} has none",
                hint="with one class alone there is nothing to trade: Pass@1 is 0 or 1 whatever the policy",
            )
    return logs, flags


def distribution(log_probs: ArrayLike, *, name: str) -> Floats:
    """Log-probabilities [..., n], finite, renormalised over the last axis."""
    try:
        logs = np.asarray(log_probs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"`{name}` must be a rectangular array of numbers: {error}") from error
    if logs.ndim == 0 or logs.shape[-1] < 2 or logs.size == 0:
        raise InputError(f"`{name}` must have shape [..., n] with n >= 2 completions, found {logs.shape}")
    if not np.isfinite(logs).all():
        found = logs[~np.isfinite(logs)][0]
        raise InputError(
            f"`{name}` must be finite log-probabilities; found {found}",
            hint="every completion needs a probability above 0: leave out those that the base can't produce"
            if found == -math.inf
            else None,
        )
    with np.errstate(over="ignore"):
        total = log_sum(logs, keepdims=True)
        off = ~(np.abs(np.expm1(total)) <= _SUM_SLACK)
    if off.any():
        raise InputError(
            f"probabilities in `{name}` must sum to 1; {_row(off[..., 0])} sums to {float(np.exp(total[off][0])):.6g}",
            hint="pass logarithms (nats) of normalised probabilities: np.log(p / p.sum())",
        )
    return np.asarray(logs - total)


def number(name: str, value: Any, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """``value`` as a finite float with ``value > above`` and ``value >= least``."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not (math.isfinite(found) and found > above and found >= least):
        limit = (
            f" and above {above:g}" if above > -math.inf else f" and at least {least:g}" if least > -math.inf else ""
        )
        raise InputError(f"{name} must be finite{limit}, found {value!r}")
    return found


def whole(name: str, value: Any, *, least: int = 1) -> int:
    """``value`` as an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, found {value!r}")
    return int(value)


def choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(map(repr, choices))}; found {value!r}")


def finite(values: Floats, *, what: str, hint: str) -> Floats:
    """``values``, or an InputError where a number overflowed."""
    if not np.isfinite(values).all():
        raise InputError(f"{what} overflows: found {values[~np.isfinite(values)][0]}", hint=hint)
    return values


def log_sum(logs: Floats, where: Bools | None = None, *, keepdims: bool = False) -> Any:
    """Log-sum-exp over the last axis, of the entries in ``where`` (never empty)."""
    if where is not None:
        logs = np.where(where, logs, -np.inf)
    peak = logs.max(axis=-1, keepdims=True)
    total = peak + np.log(np.exp(logs - peak).sum(axis=-1, keepdims=True))
    return total if keepdims else total[..., 0]


def mean(log_weights: Floats, values: Floats) -> Any:
    """Expectation over the last axis; where the weight is -inf the value may be, too."""
    return (np.exp(log_weights) * np.where(np.isneginf(log_weights), 0.0, values)).sum(axis=-1)


def _row(bad: Any) -> str:
    return "the distribution" if bad.ndim == 0 else f"row {int(np.flatnonzero(bad.reshape(-1))[0])}"
