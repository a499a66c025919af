"""Methods by name: look one up in the catalogue, fill in its coefficients, get advantages."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from unsharpen.batch import Array, GroupBatch
from unsharpen.catalogue.recipe import Memory, Recipe
from unsharpen.catalogue.table import TABLE
from unsharpen.errors import InputError, UnknownNameError


@dataclass(frozen=True)
class Method:
    """A method with its coefficients filled in; made by :func:`get_method`.

    Attributes:
        name: the catalogue name.
        coefficients: every coefficient with its value.
        recipe: chain, engine settings, and what acts on tokens or in the loss.
        summary: one line.
        equation: plain text, in the notation of the documentation.
        paper: arXiv number or other source.
        notes: where the form comes from, how it deviates, and when to use it; may be empty.
        experimental: what could not be checked against a public source; empty when nothing is open.
    """

    name: str
    coefficients: Mapping[str, Any]
    recipe: Recipe
    summary: str
    equation: str
    paper: str
    notes: str = ""
    experimental: str = ""

    @property
    def requires(self) -> frozenset[str]:
        """Optional :class:`GroupBatch` fields that the method reads."""
        return self.recipe.transform.requires

    @property
    def least_completions(self) -> int:
        """The smallest group that the method can take."""
        return self.recipe.transform.least_completions

    @property
    def binary_rewards(self) -> bool:
        """Whether rewards must be exactly 0 and 1."""
        return self.recipe.transform.binary_rewards

    @property
    def beyond_advantages(self) -> dict[str, str]:
        """What the method needs an engine to do besides using its advantages, settings aside; part -> name.

        Empty for sequence-level methods. A carrier that knows advantages only must refuse the others, and name the
        part: ``token step`` (advantages per token), ``loss term``, ``pool term`` (a loss on other completions).
        """
        recipe = self.recipe
        parts = {
            "token step": recipe.token_transform,
            "loss term": recipe.loss_term,
            "pool term": recipe.pool_term,
        }
        return {part: value.name for part, value in parts.items() if value is not None}

    @property
    def memory(self) -> Memory | None:
        """What this method object carries from batch to batch, to be saved and restored; None for most methods."""
        return self.recipe.memory

    def advantages(self, batch: GroupBatch) -> Array:
        """Advantages [P, G] of ``batch``: finite, 0 where masked, in the dtype of the rewards.

        For a token-level method this is the mean over each completion's tokens; the engine asks for the rest. A method
        with a memory takes the batch in hand in once, however often it is asked about it.

        Raises:
            MissingFieldError: the batch lacks a field that the method requires.
        """
        batch.require(self.requires, by=self.name)
        advantages = self.recipe.transform(batch.rewards, batch)
        return batch.xp.astype(advantages, batch.rewards.dtype)


def get_method(name: str, **coefficients: Any) -> Method:
    """Look a method up by name and fill in its coefficients.

    Args:
        name: a name that :func:`list_methods` returns.
        **coefficients: override defaults, e.g. ``gamma_p=0.1``.

    Raises:
        UnknownNameError: no such method; close names are offered.
        InputError: unknown coefficient, or a value of the wrong type or range.

    Example:
        >>> batch = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]], logprobs=[[-4.0, -2.0]], lengths=[[4, 2]])
        >>> get_method("ds-grpo", gamma_p=0.5, gamma_n=0.0, eps=0.0, ddof=0).advantages(batch).tolist()
        [[1.5, -1.0]]
    """
    row = TABLE.get(name)
    if row is None:
        close = difflib.get_close_matches(str(name), TABLE, n=3)
        offer = f"did you mean {' or '.join(close)}? " if close else ""
        raise UnknownNameError(f"unknown method {name!r}", hint=f"{offer}`unsharpen methods` lists them all")
    values = default_coefficients(name)
    hints = get_type_hints(row.build)
    for key, value in coefficients.items():
        if key not in values:
            close = difflib.get_close_matches(key, values, n=2, cutoff=0.4)
            raise InputError(
                f"method {name!r} has no coefficient {key!r}; it has {', '.join(values) or 'none'}",
                hint=f"did you mean {' or '.join(close)}?" if close else None,
            )
        values[key] = _checked(name, key, value, hints[key])
    built = row.build(**values)
    recipe = built if isinstance(built, Recipe) else Recipe(built)
    notes = inspect.getdoc(row.build) or ""
    return Method(name, values, recipe, row.summary, row.equation, row.paper, notes, row.experimental)


def list_methods() -> list[str]:
    """All method names, in the order of the catalogue."""
    return list(TABLE)


def default_coefficients(name: str) -> dict[str, Any]:
    """The coefficients of a method with their defaults."""
    return {key: parameter.default for key, parameter in inspect.signature(TABLE[name].build).parameters.items()}


def _checked(method: str, key: str, value: Any, expected: Any) -> Any:
    """``value`` as ``expected`` (int, float, str or a Literal of strings); text from a command line is converted."""
    if get_origin(expected) is Literal:
        if value in get_args(expected):
            return value
        wanted = "one of " + ", ".join(map(repr, get_args(expected)))
    else:
        if expected is str:
            if isinstance(value, str):
                return value
            raise InputError(f"{method}: {key} must be text, found {value!r}")
        wanted = {int: "a whole number", float: "a finite number"}[expected]
        try:
            number = expected(value)
            if not isinstance(value, bool) and math.isfinite(number) and float(number) == float(value):
                return number
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(f"{method}: {key} must be {wanted}, found {value!r}")
