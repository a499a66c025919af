"""The small files beside the samples: what was asked (``problems.jsonl``) and how (``settings.json``)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation.identity import COMMIT

SAMPLES: Final = "samples.jsonl"
PROBLEMS: Final = "problems.jsonl"
SETTINGS: Final = "settings.json"
WEIGHTS: Final = "weights"
"""Of the settings, which weights the model had: see `unsharpen.evaluation.identity`. Unknown in older folders."""

_MAY_DIFFER: Final = frozenset(
    {"num_samples", "label", "base_url", "batch_size", "versions", "source_revision", "command", "started"}
    | {"reasoning_apart"}
)
"""Settings in which a resumed run may differ: they do not change which samples are drawn. More samples may be asked
for, not fewer."""


def claim(folder: Path, settings: Mapping[str, Any], problems: Sequence[Mapping[str, Any]]) -> None:
    """Write the settings and problems of a new evaluation, or compare them with those that the folder holds.

    The caller holds the store's lock. With more samples per problem than before, the new number is noted; so are
    weights that were unknown, as those of what is sampled from now on. The rest stays.

    Raises:
        InputError: the folder holds an evaluation with other settings or problems, or with more samples.
        DataError: its settings can't be read, or it has samples and no settings.
    """
    problems_text = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in problems)
    digest = hashlib.sha256(problems_text.encode("utf-8", "backslashreplace")).hexdigest()
    wanted = json.loads(json.dumps({**settings, "num_problems": len(problems), "problems_sha256": digest}))
    before = read_settings(folder)
    if before is None:
        if (folder / SAMPLES).exists() and (folder / SAMPLES).stat().st_size:
            raise DataError(f"{folder} has {SAMPLES} and no {SETTINGS}", hint="choose another --output")
        _write(folder / PROBLEMS, problems_text)
        _write(folder / SETTINGS, json.dumps(wanted, indent=2) + "\n")
        return
    changed = differences(before, wanted)
    if changed:
        raise InputError(
            f"{folder} holds another evaluation; it differs in " + "; ".join(changed),
            hint="choose another --output, or give that evaluation's own settings" + _if_commits(before, wanted),
        )
    if before["num_samples"] > wanted["num_samples"]:
        raise InputError(
            f"{folder} holds an evaluation with {before['num_samples']} samples per problem; "
            f"asked for are {wanted['num_samples']}",
            hint="ask for at least as many, or choose another --output",
        )
    now = {**before, "num_samples": wanted["num_samples"]}
    if wanted.get(WEIGHTS) is not None:  # those there are equal or unknown
        now[WEIGHTS] = wanted[WEIGHTS]
    if now != before:
        _write(folder / SETTINGS, json.dumps(now, indent=2) + "\n")


def note(folder: Path, **values: Any) -> None:
    """Add to the settings what shows only once there are samples; the caller holds the store's lock."""
    settings = read_settings(folder) or {}
    if any(settings.get(name) != value for name, value in values.items()):
        _write(folder / SETTINGS, json.dumps({**settings, **values}, indent=2) + "\n")


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One phrase per setting that decides about the samples and is not the same."""
    names = [name for name in {**before, **after} if name not in _MAY_DIFFER and name != WEIGHTS]
    found = [f"{n}: {before.get(n)!r} there, {after.get(n)!r} here" for n in names if before.get(n) != after.get(n)]
    if _other_weights(before, after) and before.get("model") == after.get("model"):
        found.append(
            f"the weights of {after.get('model')!r}, which have changed since: "
            f"{before[WEIGHTS]} there, {after[WEIGHTS]} here"
        )
    return found


def _other_weights(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the weights are known, both, and not the same."""
    known = before.get(WEIGHTS), after.get(WEIGHTS)
    return None not in known and known[0] != known[1]


def _if_commits(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A way out where a new commit of the hub need not mean new weights."""
    if not (_other_weights(before, after) and str(after[WEIGHTS]).startswith(COMMIT)):
        return ""
    return f"; if that commit changed no file of the model, put it into {SETTINGS}"


def read_settings(folder: Path) -> dict[str, Any] | None:
    """The settings of an evaluation; None where there are none."""
    path = folder / SETTINGS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    if not isinstance(values, dict) or type(values.get("num_samples")) is not int:
        raise DataError(f"{path} must hold an object with num_samples, a whole number")
    return values


def read_problems(folder: Path) -> list[dict[str, Any]]:
    """The problems of an evaluation, in order; none where the file is missing.

    Raises:
        DataError: a line is no object with a problem_id, or one comes twice.
    """
    path = folder / PROBLEMS
    problems: dict[str, dict[str, Any]] = {}
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
        for number, line in enumerate(filter(None, lines), 1):
            problem = json.loads(line.decode())
            if not isinstance(problem, dict) or not isinstance(problem.get("problem_id"), str):
                raise DataError(f"{path}, line {number}: expected an object with a problem_id")
            if problem["problem_id"] in problems:
                raise DataError(f"{path}, line {number}: problem {problem['problem_id']!r} is there already")
            problems[problem["problem_id"]] = problem
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} can't be read: {error}") from error
    return list(problems.values())


def _write(path: Path, text: str) -> None:
    """Write a neighbour, sync, and rename it: a crash leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
