"""What a user sets where a configuration file steers the engine: a method, its coefficients, and a few options."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from unsharpen.errors import EngineError, InputError
from unsharpen.methods import Method, get_method

Logprobs = Literal["old", "rollout"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The section ``unsharpen`` of an engine's configuration. Every other key in it is a coefficient of the method.

    Attributes:
        method: with its coefficients.
        correct_threshold: a completion is correct when its raw score, or what ``correct_key`` names, is at least this.
        correct_key: what the reward function returns beside the score and decides instead of it, such as ``acc``.
        logprobs: ``old`` are those of the trainer at the rollout's temperature, ``rollout`` those of the sampler
            itself; None lets the engine choose.
        answer_key: what the reward function returns beside the score and tells answers apart, right and wrong ones.
        solution_key: the same for correct solutions; for the metrics alone.
    """

    method: Method
    correct_threshold: float = 0.5
    correct_key: str | None = None
    logprobs: Logprobs | None = None
    answer_key: str = "answer"
    solution_key: str = "solution"


NAMES = frozenset(field.name for field in fields(Options))


def read_options(section: Any, *, example: str) -> Options:
    """The options of a section; anything that it does not name keeps its default.

    Args:
        section: a mapping with at least ``method``, or None.
        example: how the engine's users name a method, for the hint.

    Raises:
        EngineError: there is no section or no method in it, or an option has a wrong value.
        UnknownNameError: no such method.
        InputError: a key that is neither an option nor a coefficient of the method, or a coefficient out of range.
    """
    if not isinstance(section, Mapping) or not section.get("method"):
        found = "no `unsharpen` section" if section is None else f"unsharpen={section!r}"
        raise EngineError(
            f"unsharpen's engine needs the name of a method; found {found}", hint=f"for example {example}"
        )
    given = {str(key): value for key, value in section.items()}
    options = {key: given.pop(key) for key in NAMES & given.keys()}
    try:
        method = get_method(options.pop("method"), **given)
    except InputError as error:
        raise InputError(
            f"unsharpen: {error.message}", hint=f"options beside coefficients: {', '.join(sorted(NAMES))}"
        ) from error
    threshold = options.get("correct_threshold", 0.5)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        raise EngineError(f"unsharpen.correct_threshold must be a number; found {threshold!r}")
    if options.get("logprobs") not in (None, *get_args(Logprobs)):
        raise EngineError(
            f"unsharpen.logprobs must be one of {', '.join(get_args(Logprobs))}; found {options['logprobs']!r}"
        )
    return Options(method=method, **options)


def require_groups(method: Method, group_size: int, *, option: str) -> None:
    """Refuse too small groups before the first rollout; ``option`` is what the engine's users set their size with."""
    least = max(2, method.least_completions)
    if group_size < least:
        raise EngineError(
            f"method `{method.name}` compares the completions of a prompt and needs at least {least} of them; found "
            f"{option}={group_size}",
            hint=f"{option}={max(8, least)}, for example" + (", or a smaller k of the method" if least > 2 else ""),
        )


def require_fields(
    method: Method, supplied: Mapping[str, str | None], *, engine: str, native: Collection[str] = ()
) -> None:
    """Refuse a method before the first rollout if the engine can't fill a field that it needs, or carry all of it.

    Args:
        method: with its coefficients.
        supplied: field -> None where it is supplied, else how to have it supplied. Fields that it lacks never are.
        engine: its name.
        native: what of the method acts in the loss and the engine does itself.

    Raises:
        EngineError: names the first such field, or a part of the method that acts in the loss.
    """
    step = method.recipe.token_transform
    rollout = step is not None and step.stage == "sampling" and not step.requires
    for part, what in method.beyond_advantages.items():
        if what not in native and (part != "token step" or not rollout):
            raise EngineError(
                f"method `{method.name}` has a {part} ({what}), which {engine} does not carry",
                hint="choose another method, or TRL, which carries them all",
            )
    for name in sorted(method.requires):
        if name not in supplied or supplied[name] is not None:
            raise EngineError(
                f"method `{method.name}` with these coefficients needs {name}, which {engine} does not supply"
                + (" as it is set up" if name in supplied else ""),
                hint=supplied.get(name) or "choose another method, or another engine",
            )
