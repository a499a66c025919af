"""Cells: one run of one arm with one seed. A cell is its whole configuration."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from unsharpen.comparison.spec import Arm, Rate, Study
from unsharpen.errors import InputError, UnsharpenError
from unsharpen.training.config import RunConfig, base_weights, differences

TUNING, RESULTS = "tuning", "results"
WEIGHTS = "weights"
"""In a run's ``config.json``: what tells the base's weights from others at the same path; None where nothing does."""

_NOT_OF_THE_BASE = {
    *("method", "method_args", "seed", "trl", "eval_every", "eval_samples_during", "keep_samples", "max_minutes"),
}
_JUDGED = (
    *("model", "task", "answer_format", "problem_column", "answer_column", "eval_data", "eval_set", "num_eval"),
    "eval_samples",
)
_WITHOUT_A_SET = ("countdown", "math")  # tasks; any other's name is that of the set that judges its runs
_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "chat_template_kwargs", "max_completion_length"),
)
_OPTIONS = {"method_args": "--method-arg", "trl": "--set", "lora": "--lora", "problems": "--problems"}
_WITHOUT_OPTION = {"eval_samples_during", "keep_samples", "max_minutes"}


@dataclass(frozen=True, eq=False)
class Cell:
    """One run: where its record goes, and its configuration.

    Attributes:
        stage: ``tuning`` or ``results``.
        arm: the row of the table that it belongs to.
        name: its folder below that of the arm.
        config: everything that decides its outcome.
        args: the coefficients that the study names; the others are defaults.
        rate: the learning rate and its share of the budget.
    """

    stage: str
    arm: str
    name: str
    config: RunConfig
    args: Mapping[str, Any]
    rate: Rate

    @property
    def path(self) -> PurePosixPath:
        """Its folder, below that of the comparison."""
        return PurePosixPath(self.stage, self.arm, self.name)

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal configurations."""
        return fingerprint(plain(self.config))

    @cached_property
    def base_fingerprint(self) -> str:
        """Equal for cells that one evaluation of the base serves."""
        return base_fingerprint(plain(self.config))

    @cached_property
    def weights(self) -> str | None:
        """Which weights the base has, as when first asked."""
        return base_weights(self.config)

    @property
    def as_record(self) -> dict[str, Any]:
        """What its ``config.json`` will say of the base, among others."""
        return {**plain(self.config), WEIGHTS: self.weights}


def plain(config: RunConfig) -> dict[str, Any]:
    """The configuration as it reads from a ``config.json``."""
    return dict(json.loads(json.dumps(config.as_dict())))


def recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a ``config.json`` holds; settings younger than the record have their defaults."""
    known = {f.name: record[f.name] for f in fields(RunConfig) if f.name in record}
    try:
        return plain(RunConfig.from_dict(known))
    except (UnsharpenError, TypeError):  # of another version: no cell of this one
        return known


def fingerprint(values: Mapping[str, Any]) -> str:
    """A hash of plain data; whole numbers count the same with and without a point."""

    def normal(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: normal(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [normal(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return hashlib.sha256(json.dumps(normal(values), sort_keys=True).encode()).hexdigest()[:16]


def base_fingerprint(values: Mapping[str, Any]) -> str:
    """Equal for runs of which one evaluation of the base serves all; runs that are comparable may differ in it."""
    return fingerprint(_of_the_base(values))


def base_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line for each setting that keeps two records from being compared: of the base, the problems, the sampling."""
    return [*differences(_judged_by(recorded(old)), _judged_by(recorded(new))), *weight_differences(old, new)]


def weight_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A line where two records have one path of the base and are known to have other weights."""
    before, after = old.get(WEIGHTS), new.get(WEIGHTS)
    other = None not in (before, after) and before != after and old.get("model") == new.get("model")
    return [f"weights: {before} -> {after}"] if other else []


def _of_the_base(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in values.items() if k not in _NOT_OF_THE_BASE}, "sampling": _sampling(values)}


def _judged_by(values: Mapping[str, Any]) -> dict[str, Any]:
    """What decides about an evaluation of the base; training settings do where the problems come from its data."""
    found = {key: values.get(key) for key in _JUDGED}
    if values.get("eval_data") is None and values.get("task") in _WITHOUT_A_SET:
        names = ("problems",) if values.get("data") is None else ("data", "num_train")
        found |= {key: values.get(key) for key in names}
    return {**dict.fromkeys(("problems", "data", "num_train")), **found, "sampling": _sampling(values)}


def _sampling(values: Mapping[str, Any]) -> dict[str, Any]:
    trl = values.get("trl") or {}
    return {key: trl[key] for key in _SAMPLING if key in trl}


def result_cells(study: Study, chosen: Mapping[str, tuple[Mapping[str, Any], Rate]] | None = None) -> list[Cell]:
    """The test runs, seed by seed, so that a comparison that was stopped has all methods on some seeds.

    Args:
        study: what to compare.
        chosen: label -> coefficients and rate that the tuning chose; an arm that is missing has no test runs.
    """
    plan: list[tuple[int, Arm, str, Mapping[str, Any], Rate]] = []
    for arm in study.arms:
        if chosen is not None:
            settings = [(arm.label, *chosen[arm.label])] if arm.label in chosen else []
        else:
            many = len(arm.rates) > 1
            settings = [
                (f"{arm.label}_{rate.suffix}" if many else arm.label, arm.method_args, rate) for rate in arm.rates
            ]
        plan += [(seed, arm, *setting) for setting in settings for seed in arm.seeds]
    ordered = sorted(plan, key=lambda entry: entry[0])  # stable: methods stay in their order
    cells = [
        Cell(RESULTS, label, f"seed-{seed}", study.config(arm, args, rate, seed), args, rate)
        for seed, arm, label, args, rate in ordered
    ]
    return _distinct(cells)


def tuning_cells(study: Study, labels: list[str], rates: tuple[Rate, ...] | None = None) -> list[Cell]:
    """The tuning runs of some arms: candidates x rates.

    Args:
        study: with a tuning.
        labels: of which arms.
        rates: the rates, where they are chosen already; default: those that the study tries.
    """
    assert study.tuning is not None
    cells = []
    for arm in map(study.arm, labels):
        for args in arm.candidates:
            words = [f"{key}-{value}" for key, value in args.items()]
            for rate in rates or arm.tuned_rates or study.tuning.rates:
                name = "_".join([*words, *([rate.suffix] if rate.suffix else [])]) or "plain"
                config = study.config(arm, args, rate, study.tuning.seed, tuning=True)
                cells.append(Cell(TUNING, arm.label, name, config, args, rate))
    return _distinct(cells)


def _distinct(cells: list[Cell]) -> list[Cell]:
    seen: dict[str, Cell] = {}
    for cell in cells:
        for key in (cell.fingerprint, str(cell.path).lower()):  # some file systems take upper for lower case
            if key in seen:
                raise InputError(f"{seen[key]} and {cell} are the same run", hint="leave one of them out")
            seen[key] = cell
    return cells


def train_command(config: RunConfig) -> str:
    """The `unsharpen train` command that repeats the run, with what has no option as a remark."""
    usual, words, remark = RunConfig(method=config.method), ["unsharpen", "train"], []
    for f in fields(RunConfig):
        value = getattr(config, f.name)
        if f.name != "method" and value == getattr(usual, f.name):
            continue
        if f.name in _WITHOUT_OPTION:
            remark.append(f"{f.name}: {value}")
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                text = entry if isinstance(entry, str) else json.dumps(entry)
                words += [_OPTIONS[f.name], f"{key}={text}"]
        else:
            words += [f"--{f.name.replace('_', '-')}", str(value)]
    return shlex.join(words) + (f"  # and by --config: {', '.join(remark)}" if remark else "")
