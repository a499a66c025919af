"""What MODEL on the command line stands for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

TINY_MODEL: Final = "countdown-tiny"
"""The name of the model that ships with the package."""


@dataclass(frozen=True)
class Model:
    """A model to evaluate.

    Attributes:
        name: as it was given; what results show.
        path: what a backend loads.
        tiny: whether it is the shipped model, or was trained from it: other prompts and other generated problems.
        problems: how generated problems look, where its training said so.
        answer_format: where its answers are, where its training said so.
    """

    name: str
    path: str
    tiny: bool = False
    problems: Mapping[str, Any] = field(default_factory=dict)
    answer_format: str | None = None


def find_model(name: str) -> Model:
    """The model of a name: the shipped one, the folder of a training run or of its model, another folder, a hub id."""
    if name == TINY_MODEL:
        return Model(name, str(files("unsharpen") / "assets" / TINY_MODEL), tiny=True)
    folder = Path(name)
    for run, model in ((folder, folder / "model"), (folder.parent, folder)):
        config = _run_config(run) if model.is_dir() else None
        if config is not None:
            problems = config.get("problems")
            return Model(
                name,
                str(model),
                tiny=config.get("model") == TINY_MODEL,
                problems=problems if isinstance(problems, dict) else {},
                answer_format=config.get("answer_format"),
            )
    return Model(name, name)


def _run_config(run: Path) -> dict[str, Any] | None:
    """The settings of a training run; None where the folder holds none."""
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) and {"method", "task", "model"} <= config.keys() else None


def default_length(model: Model, task: str) -> int:
    """The longest completion where none is given: as in training for CountDown, room to reason for other tasks."""
    if task != "countdown":
        return 4096
    return 24 if model.tiny else 1024
