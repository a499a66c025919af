"""Checks of what a YAML file or the command line holds; each message names the place."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from unsharpen.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")


def mapping(value: Any, where: str, allowed: Iterable[str] | None = None) -> dict[str, Any]:
    """``value`` as a dict with text keys, all of them among ``allowed``; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{where} must be a mapping of names to values, found {value!r}")
    names = list(value if allowed is None else allowed)
    for key in value:
        if key not in names:
            close = difflib.get_close_matches(key, names, n=2)
            raise InputError(
                f"{where} has no key {key!r}; it has {', '.join(names)}",
                hint=f"did you mean {' or '.join(close)}?" if close else None,
            )
    return dict(value)


def name(value: Any, where: str) -> str:
    """``value`` if it can be the name of a folder on every system."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InputError(f"{where} must be a name of letters, digits and . _ + -, found {value!r}")
    return value


def whole(value: Any, where: str, *, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``."""
    if type(value) is not int or value < least:
        raise InputError(f"{where} must be a whole number of at least {least}, found {value!r}")
    return value


def positive(value: Any, where: str) -> float:
    """``value`` if it is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InputError(f"{where} must be a number above 0, found {value!r}")
    return float(value)


def listed(value: Any, where: str) -> list[Any]:
    """``value`` if it is a list that holds something."""
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{where} must be a list with at least one entry, found {value!r}")
    return list(value)
