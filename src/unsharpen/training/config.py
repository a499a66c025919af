"""The configuration of a run: what the command line, a YAML file and the defaults come to."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from unsharpen.errors import InputError
from unsharpen.evaluation.identity import identify_weights
from unsharpen.methods import Method, get_method
from unsharpen.tasks import CountDown, task_names
from unsharpen.tasks.countdown.task import AnswerFormat
from unsharpen.tasks.math.task import MathAnswerFormat

TINY_MODEL = "countdown-tiny"
"""The name of the model that ships with the package."""

TINY_COEFFICIENTS: dict[str, dict[str, Any]] = {
    "ds-grpo": {"gamma_p": 1.0, "gamma_n": 0.0},
    "ds-grpo-token": {"gamma_p": 1.0, "gamma_n": 0.0},
    "ds-grpo-reward": {"gamma_p": 0.1, "gamma_n": 0.0, "length": "sum"},
}
"""Defaults on the shipped model: completions of nine tokens want others than long text does. Chosen on validation
problems by runs/countdown/grid.py; forms that are not here have the same default in the catalogue."""

_NONE = type(None)
_TYPES: dict[tuple[type, ...], tuple[str, ...]] = {
    (str,): ("method", "task", "model", "eval_set"),
    (str, _NONE): ("data", "eval_data", "problem_column", "answer_column", "answer_format"),
    (int,): ("num_eval", "eval_samples", "eval_every", "eval_samples_during", "seed"),
    (int, _NONE): ("num_train",),
    (float, int, _NONE): ("format_bonus", "max_minutes"),
    (bool,): ("keep_samples",),
    (Mapping,): ("method_args", "problems", "trl"),
    (Mapping, _NONE): ("lora",),
}
_TYPE_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Mapping: "a mapping of names to values",
}
_FOR_MATHS = ("problem_column", "answer_column", "format_bonus")
_LEAST = {"num_train": 1, "num_eval": 1, "eval_samples": 0, "eval_samples_during": 1, "eval_every": 0, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides the outcome of a run. Equal configurations may share a folder; others may not.

    Attributes:
        method: a catalogue name.
        method_args: its coefficients, where they differ from the defaults: the catalogue's, or for the shipped model
            ``TINY_COEFFICIENTS``.
        task: a name that :func:`unsharpen.tasks.get_task` knows: "countdown", "math" or a named set of maths problems,
            which then is what the run is judged by.
        answer_format: where the task looks for the answer; None chooses by the model.
        model: ``"countdown-tiny"``, a path, or a hub id.
        data: training problems, a file or a hub id; None generates them, for CountDown only.
        eval_data: problems for evaluation; None takes the named set of the task if it is one, else some away from
            ``data``, or generates them.
        problem_column: of ``data``, in maths; and of ``eval_data`` where it has it. None finds it.
        answer_column: likewise.
        format_bonus: in maths, what a completion with a complete answer is paid on top; None pays nothing.
        problems: how generated problems look: sizes, numbers, targets, multiplicity, as in
            :func:`unsharpen.tasks.countdown.generate`.
        num_train: how many problems to generate, or to read at most from ``data``.
        num_eval: problems in an evaluation.
        eval_set: "test", or "validation" for choosing coefficients (other problems than the test's).
        eval_samples: completions per problem before and after training; 0 is no evaluation at all, then
            ``eval_every`` must be 0 too.
        eval_every: steps between the small evaluations during training; 0 is none.
        eval_samples_during: completions per problem in those.
        keep_samples: write the completions of the evaluations to ``samples/``.
        seed: of the generated training problems, their order, the sampling and LoRA's initial weights.
        max_minutes: end the run after so many minutes in optimiser steps, evaluations not counted; None is no limit.
        lora: ``peft.LoraConfig`` fields; None trains all weights.
        trl: fields of ``trl.GRPOConfig``.
    """

    method: str = "ds-grpo-centered"
    method_args: Mapping[str, Any] = field(default_factory=dict)
    task: str = "countdown"
    answer_format: AnswerFormat | MathAnswerFormat | None = None
    model: str = TINY_MODEL
    data: str | None = None
    eval_data: str | None = None
    problem_column: str | None = None
    answer_column: str | None = None
    format_bonus: float | None = None
    problems: Mapping[str, Any] = field(default_factory=dict)
    num_train: int | None = None
    num_eval: int = 128
    eval_set: str = "test"
    eval_samples: int = 128
    eval_every: int = 50
    eval_samples_during: int = 64
    keep_samples: bool = True
    seed: int = 0
    max_minutes: float | None = None
    lora: Mapping[str, Any] | None = None
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_types()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, found {value}")
        steps = self.trl.get("max_steps", -1)
        if isinstance(steps, int) and steps < 1 and steps != -1:
            raise InputError(f"max_steps must be at least 1, or -1 to count in num_train_epochs; found {steps}")
        if self.max_minutes is not None and not 0 < self.max_minutes < math.inf:
            raise InputError(f"max_minutes must be a number above 0, found {self.max_minutes}")
        if not self.eval_samples and self.eval_every:
            raise InputError(
                f"eval_samples=0 is no evaluation at all; found eval_every={self.eval_every}", hint="--eval-every 0"
            )
        if self.seed >= 2**32:
            raise InputError(f"seed must be below 2**32, found {self.seed}")
        if self.task not in task_names():
            close = difflib.get_close_matches(self.task, task_names(), n=1)
            raise InputError(
                f"task must be one of {', '.join(task_names())}, found {self.task!r}",
                hint=f"did you mean {close[0]}?" if close else None,
            )
        self._check_countdown() if self.is_countdown else self._check_maths()
        formats = get_args(AnswerFormat if self.is_countdown else MathAnswerFormat)
        if self.answer_format not in (None, *formats):
            raise InputError(f"answer_format must be one of {formats}, found {self.answer_format!r}")
        if self.eval_set not in ("test", "validation"):
            raise InputError(f"eval_set must be 'test' or 'validation', found {self.eval_set!r}")
        self.resolve_method()

    def _check_countdown(self) -> None:
        for name in _FOR_MATHS:
            if getattr(self, name) is not None:
                raise InputError(
                    f"{name} is for maths; the task is {self.task}", hint="--task math, or leave the setting out"
                )

    def _check_maths(self) -> None:
        if self.is_tiny:
            raise InputError(
                f"the task {self.task} needs a model that reads text; {TINY_MODEL} knows CountDown only",
                hint="--model: a path or hub id",
            )
        if self.data is None:
            raise InputError(
                f"the task {self.task} needs training problems; found no data",
                hint="--data: a JSONL, Parquet or CSV file, or a data set of the hub",
            )
        if self.problems:
            raise InputError(f"problems says how generated CountDown problems look; the task is {self.task}")
        if self.format_bonus is not None and not 0 <= self.format_bonus < 1:
            raise InputError(f"format_bonus must be at least 0 and below 1, found {self.format_bonus}")

    def _check_types(self) -> None:
        """A YAML file may hold anything."""
        for types, names in _TYPES.items():
            for name in names:
                value = getattr(self, name)
                good = isinstance(value, types) and not (isinstance(value, bool) and bool not in types)
                if not good or (isinstance(value, Mapping) and not all(isinstance(key, str) for key in value)):
                    wanted = "a number" if float in types else _TYPE_WORDS[types[0]]
                    raise InputError(f"{name} must be {wanted}, found {value!r}")

    @property
    def is_countdown(self) -> bool:
        """Whether the problems are CountDown's, and not maths."""
        return self.task == CountDown.name

    @property
    def is_tiny(self) -> bool:
        """Whether the run trains the shipped model."""
        return self.model == TINY_MODEL

    def resolve_method(self) -> Method:
        """The method with its coefficients; raises on an unknown name or a bad coefficient."""
        usual = TINY_COEFFICIENTS.get(self.method, {}) if self.is_tiny else {}
        return get_method(self.method, **{**usual, **self.method_args})

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; the method's coefficients are written out in full."""
        return {**dataclasses.asdict(self), "method_args": dict(self.resolve_method().coefficients)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The configuration that ``values`` hold; unknown keys are an error that says where they belong."""
        names = [f.name for f in dataclasses.fields(cls)]
        if unknown := [key for key in values if key not in names]:
            raise InputError(
                f"a run has no setting {', '.join(map(repr, unknown))}; it has {', '.join(names)}",
                hint=_where_to([str(key) for key in unknown], names),
            )
        return cls(**values)


def _where_to(unknown: list[str], names: list[str]) -> str | None:
    """A hint for keys that a run has not: TRL's fields have a place of their own, others may be misspelt."""
    of_trl = [key for key in unknown if key in _trl_fields()]
    hints = [f"{', '.join(of_trl)}: under `trl:`"] if of_trl else []
    for key in unknown:
        close = difflib.get_close_matches(key, names, n=2)
        if close and key not in of_trl:
            hints.append(f"{key}: did you mean {' or '.join(close)}?")
    return "; ".join(hints) or None


def _trl_fields() -> set[str]:
    """The fields of ``trl.GRPOConfig``; none where TRL is not installed."""
    try:
        from trl import GRPOConfig
    except ImportError:
        return set()
    return {f.name for f in dataclasses.fields(GRPOConfig)}


def load_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file."""
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 reads 3e-5 as text, for want of a point, and lets the last of two equal keys win."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [(key.tag, key.value) for key, _ in node.value if isinstance(key.value, str)]
            if repeated := [value for tag, value in keys if keys.count((tag, value)) > 1]:
                raise yaml.MarkedYAMLError(problem=f"the key {repeated[0]!r} comes twice", problem_mark=node.start_mark)
            return super().construct_mapping(node, deep)

    number = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        values = Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise InputError(f"can't read the configuration {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a mapping of settings, found {type(values).__name__}")
    return values


def parse_pairs(pairs: list[str] | None, *, option: str) -> dict[str, Any]:
    """``["a=1", "b=x"]`` as ``{"a": 1, "b": "x"}``; values are read as JSON where they are JSON, else as text."""
    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise InputError(f"{option} takes name=value, found {pair!r}")
        values[key.strip()] = _parse_value(text.strip())
    return values


def _parse_value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # 3e-5, 1., .5: numbers that JSON has no word for
    except ValueError:
        return text


def model_path(config: RunConfig) -> str:
    """The path or hub id to load."""
    if config.model == TINY_MODEL:
        return str(files("unsharpen") / "assets" / TINY_MODEL)
    return config.model


def base_weights(config: RunConfig) -> str | None:
    """What tells the weights of the model from others at the same path, if anything does."""
    return identify_weights(model_path(config))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each setting in which two runs differ."""
    return [f"{key}: {old.get(key)!r} -> {value!r}" for key, value in new.items() if old.get(key) != value]
