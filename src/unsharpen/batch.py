"""The data that a method sees: P prompts with up to G completions each.

Shape legend, used in every docstring: ``P`` prompts, ``G`` completions per prompt (group size), ``N = P * G``
completions, ``T`` tokens, ``D`` dimensions of an embedding. Names with a shape suffix (``rewards_PG``) say their axes.
All log-probabilities are in nats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_array_api_obj

from unsharpen.errors import InputError, MissingFieldError

Array = Any
"""Any array of the Python array API standard: NumPy, PyTorch on any device, JAX, CuPy."""

_FLOATS = ("rewards", "logprobs", "entropies", "reference_logprobs", "embeddings")
_PER_PROMPT = ("num_solutions", "prompt_ids", "max_lengths")
_LOGPROB_SLACK = 1e-3  # a sum of float16 log-probabilities of certain tokens may end a little above 0


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupBatch:
    """P groups of up to G completions, validated once here so that no method has to.

    Entries where ``mask`` is False are padding: they may hold anything (NaN too), count in no statistic and get
    advantage 0. Inputs are never changed. Lists become NumPy arrays; half-precision floats become float32.

    Args:
        rewards: [P, G] environment rewards; any finite value.
        correct: [P, G] bool, whether the verifier accepts the completion. Never guessed from the reward: a format
            bonus makes "reward > 0" true for wrong answers.
        mask: [P, G] bool, True for real completions; None when all are.
        logprobs: [P, G] log-probability of the whole completion (summed over tokens, nats) under the policy that
            sampled it, at the sampling temperature.
        lengths: [P, G] completion tokens, at least 1.
        entropies: [P, G] mean token entropy of the completion (nats).
        answers: [P, G] integer ids; equal ids within a prompt are the same answer or solution. Negative ids mean that
            the completion has no readable answer, and all become -1. A method with a memory needs ids that mean the
            same in every batch.
        reference_logprobs: [P, G] like ``logprobs``, under the frozen reference (base) model.
        embeddings: [P, G, D] a vector per completion; of any length, methods compare directions.
        num_solutions: [P] number of distinct correct solutions that exist.
        prompt_ids: [P] integers that identify a prompt across batches.
        max_lengths: [P] tokens at which the engine cuts a completion, at least 1.

    Raises:
        InputError: wrong shape, dtype or value; the message names the field and the first bad row.

    Example:
        >>> batch = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]])
        >>> batch.rewards.shape, batch.num_correct.tolist()
        ((1, 2), [[1.0]])
    """

    rewards: Array
    correct: Array
    mask: Array = None
    logprobs: Array = None
    lengths: Array = None
    entropies: Array = None
    answers: Array = None
    reference_logprobs: Array = None
    embeddings: Array = None
    num_solutions: Array = None
    prompt_ids: Array = None
    max_lengths: Array = None

    def __post_init__(self) -> None:
        given = {f.name: _as_array(f.name, v) for f in fields(self) if (v := getattr(self, f.name)) is not None}
        if "rewards" not in given or "correct" not in given:
            raise InputError("GroupBatch needs `rewards` and `correct`, each of shape [P, G]")
        try:
            xp = array_namespace(*given.values())
        except TypeError as error:
            raise InputError(
                "all fields must come from one array library; found "
                + ", ".join(
                    f"`{name}` {type(array).__module__}.{type(array).__name__}" for name, array in given.items()
                ),
                hint="lists become NumPy arrays: convert them to the library of the others",
            ) from error
        rewards = given["rewards"]
        _check_shapes(given)
        for name in ("correct", "mask"):
            if name in given and not xp.isdtype(given[name].dtype, "bool"):
                raise InputError(
                    f"`{name}` must be boolean, found {given[name].dtype}",
                    hint="for example correct=rewards >= threshold" if name == "correct" else None,
                )
        mask = given.get("mask", xp.ones(rewards.shape, dtype=xp.bool, device=device(rewards)))
        given["mask"] = mask
        if not bool(xp.all(xp.any(mask, axis=1))):
            row = _first_row(xp, ~xp.any(mask, axis=1))
            raise InputError(f"every prompt needs at least 1 unmasked completion; row {row} has none")
        for name in _FLOATS:
            if name in given:
                given[name] = _clean_float(xp, name, given[name], mask)
        given["correct"] = given["correct"] & mask
        _check_values(xp, given, mask)
        if "answers" in given:
            given["answers"] = _clean_answers(xp, given["answers"], mask)
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def require(self, names: Iterable[str], *, by: str) -> None:
        """Raise :class:`MissingFieldError` unless every field in ``names`` is present."""
        missing = sorted(name for name in names if getattr(self, name) is None)
        if missing:
            raise MissingFieldError(
                f"`{by}` needs {', '.join(f'`{m}`' for m in missing)}; the batch does not carry "
                f"{'it' if len(missing) == 1 else 'them'}",
                hint=f"pass GroupBatch({', '.join(f'{m}=...' for m in missing)}), or choose a method without that need",
            )

    @property
    def xp(self) -> Any:
        """The array namespace of the fields."""
        return array_namespace(self.rewards)

    @property
    def num_completions(self) -> Array:
        """[P, 1] unmasked completions of each prompt, in the dtype of the rewards."""
        return self._count(self.mask)

    @property
    def num_correct(self) -> Array:
        """[P, 1] correct completions of each prompt, in the dtype of the rewards."""
        return self._count(self.correct)

    def _count(self, flags_PG: Array) -> Array:
        return self.xp.sum(self.xp.astype(flags_PG, self.rewards.dtype), axis=1, keepdims=True)


def without_gradient(value: Array) -> Array:
    """A PyTorch tensor detached from its graph; any other array as it is."""
    return value.detach() if getattr(value, "requires_grad", False) else value


def _as_array(name: str, value: Any) -> Array:
    if is_array_api_obj(value):
        return without_gradient(value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"`{name}` must be a rectangular array: {error}", hint="pad ragged groups and pass `mask`"
        ) from error
    if array.dtype == object:
        raise InputError(f"`{name}` must be numeric, found Python objects", hint="None is no value: pass `mask`")
    return array


def _check_shapes(given: dict[str, Array]) -> None:
    shape = tuple(given["rewards"].shape)
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"`rewards` must have shape [P, G] with P, G >= 1, found {shape}")
    for name, array in given.items():
        found = tuple(array.shape)
        if name == "embeddings":
            legend, good = (
                f"[P, G, D] = ({shape[0]}, {shape[1]}, D), D >= 1",
                len(found) == 3 and found[:2] == shape and found[2],
            )
        elif name in _PER_PROMPT:
            legend, good = f"[P] = {shape[:1]}", found == shape[:1]
        else:
            legend, good = f"[P, G] = {shape}", found == shape
        if not good:
            raise InputError(f"`{name}` must have shape {legend}, found {found}")


def _clean_float(xp: Any, name: str, array: Array, mask: Array) -> Array:
    """At least float32, finite where unmasked, 0 where masked."""
    if not xp.isdtype(array.dtype, "real floating"):
        if not xp.isdtype(array.dtype, ("integral", "bool")):
            raise InputError(f"`{name}` must be real numbers, found {array.dtype}")
        array = xp.astype(array, xp.float32 if name == "rewards" else xp.float64)
    elif xp.finfo(array.dtype).bits < 32:
        array = xp.astype(array, xp.float32)
    real = mask if array.ndim == 2 else mask[:, :, None]
    bad = real & ~xp.isfinite(array)
    if bool(xp.any(bad)):
        row, column, *_ = _first_entry(bad)
        found = "is not" if array.ndim == 3 else f"is {float(array[row, column])}"
        raise InputError(
            f"`{name}` must be finite; completion {column} of prompt {row} {found}",
            hint="score every completion with a number, or mark it as absent with `mask`",
        )
    return xp.where(real, array, xp.zeros_like(array))


def _clean_answers(xp: Any, answers: Array, mask: Array) -> Array:
    """Signed ids; -1 where there is no readable answer, and where masked."""
    if xp.isdtype(answers.dtype, "unsigned integer"):
        answers = xp.astype(answers, xp.int64)  # from 2^63 on ids wrap to negative ones
        _refuse(xp, mask & (answers < 0), "`answers` must be below 2^63", hint="hash answers to 63 bits")
    return xp.where(mask & (answers >= 0), answers, -xp.ones_like(answers))


def _check_values(xp: Any, given: dict[str, Array], mask: Array) -> None:
    for name in ("lengths", "answers", *_PER_PROMPT):
        if name in given and not xp.isdtype(given[name].dtype, "integral"):
            raise InputError(f"`{name}` must be integers, found {given[name].dtype}")
    if "lengths" in given:
        _refuse(xp, mask & (given["lengths"] < 1), "`lengths` must be at least 1 token")
    if "max_lengths" in given and not bool(xp.all(given["max_lengths"] >= 1)):
        row = _first_row(xp, given["max_lengths"] < 1)
        raise InputError(f"`max_lengths` must be at least 1 token; prompt {row} has {int(given['max_lengths'][row])}")
    if "entropies" in given:
        _refuse(xp, mask & (given["entropies"] < 0), "`entropies` must be at least 0 (mean over tokens, nats)")
    for name in ("logprobs", "reference_logprobs"):
        if name in given:
            _refuse(
                xp,
                mask & (given[name] > _LOGPROB_SLACK),
                f"`{name}` must be at most 0 (summed log-probabilities, nats)",
                hint="probabilities? take their logarithm; negative log-likelihoods? change the sign",
            )


def _refuse(xp: Any, bad: Array, requirement: str, hint: str | None = None) -> None:
    if bool(xp.any(bad)):
        row, column = _first_entry(bad)
        raise InputError(f"{requirement}; completion {column} of prompt {row} is not", hint=hint)


def _first_row(xp: Any, bad_P: Array) -> int:
    return int(xp.argmax(xp.astype(bad_P, xp.int32)))


def _first_entry(bad: Array) -> tuple[int, ...]:
    xp = array_namespace(bad)
    flat = _first_row(xp, xp.reshape(bad, (-1,)))
    return tuple(int(i) for i in np.unravel_index(flat, tuple(bad.shape)))
