"""Run folders: config.json, metrics.jsonl and evaluation.jsonl, read and checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import DataError, InputError
from unsharpen.metrics import pass_at_k

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_ACRONYMS = {"grpo", "ds", "dapo", "rloo", "kl", "ppo", "ucb", "lr"}
_PER_PROBLEM = ("num_correct", "distinct_correct", "effective_solutions", "multiplicity")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One evaluation on held-out problems; every array has one entry per problem.

    `effective_solutions` is NaN below two correct samples, also where an older file has 1 for one sample;
    `multiplicity` (the number of solutions that the problem has) is None when the task can't enumerate it. `settings`
    holds the other keys of the record.
    """

    step: int
    num_samples: int
    num_correct: Integers
    distinct_correct: Floats
    effective_solutions: Floats
    multiplicity: Integers | None
    settings: Mapping[str, Any]

    @property
    def num_problems(self) -> int:
        return self.num_correct.size

    def pass_at(self, k: int) -> Floats:
        """Unbiased Pass@k of each problem [problems]."""
        return np.asarray(pass_at_k(self.num_samples, self.num_correct, k))

    def same_problems(self, other: Evaluation) -> bool:
        """As many problems, with the same multiplicities where both are known; then rows may be paired."""
        a, b = self.multiplicity, other.multiplicity
        return self.num_problems == other.num_problems and (a is None or b is None or np.array_equal(a, b))


@dataclass(frozen=True, eq=False)
class Run:
    """What a run folder says. `notes` lists what was repaired while reading."""

    path: Path
    config: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    evaluations: tuple[Evaluation, ...]
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name to show: config["label"], or the method with its acronyms in capitals."""
        if self.config.get("label"):
            return str(self.config["label"])
        words = str(self.config.get("method", self.path.name)).split("-")
        return "-".join(word.upper() if word in _ACRONYMS else word for word in words)

    @property
    def final(self) -> Evaluation:
        """The last evaluation, with the most samples if there are several at that step."""
        return self.evaluations[-1]

    @cached_property
    def base(self) -> Evaluation:
        """The evaluation before training (step 0) that fits `final` best."""
        before = [e for e in self.evaluations if e.step == 0]
        return max(before, key=lambda e: (e.num_problems == self.final.num_problems, e.num_samples))


def load_run(path: str | Path) -> Run:
    """Read a run folder.

    A torn last line of a .jsonl file, as an interrupted run leaves it, is dropped and noted in `Run.notes`.
    Of several records for one step (a resumed run) the last counts; its metrics are merged.

    Args:
        path: folder with config.json, evaluation.jsonl and, once a step was made, metrics.jsonl.

    Returns:
        Run, evaluations sorted by step, then by number of samples.

    Raises:
        DataError: a missing or malformed file, a malformed record (with its line), no evaluation at step 0.
    """
    folder = Path(path)
    missing = [name for name in ("config.json", "evaluation.jsonl") if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"a run folder holds config.json and evaluation.jsonl; {folder} lacks {' and '.join(missing)}",
            hint="pass the --output folder of `unsharpen train`",
        )
    config = _parse(_read(folder / "config.json"), f"{folder / 'config.json'}")
    notes: list[str] = []
    records = _read_lines(folder / "evaluation.jsonl", notes)
    evaluations = {}
    for line, record in records:
        evaluation = parse_evaluation(record, f"{folder / 'evaluation.jsonl'}, line {line}")
        evaluations[evaluation.step, evaluation.num_samples, evaluation.num_problems] = evaluation
    if not any(e.step == 0 for e in evaluations.values()):
        raise DataError(
            f"{folder / 'evaluation.jsonl'} must hold an evaluation of the base model (step 0); "
            f"found {len(evaluations)} evaluations, none at step 0"
        )
    steps: dict[Any, dict[str, Any]] = {}
    if (folder / "metrics.jsonl").is_file():  # a run that stopped before its first step has none
        for _, record in _read_lines(folder / "metrics.jsonl", notes):
            steps.setdefault(record.get("step"), {}).update(record)
    ordered = sorted(evaluations.values(), key=lambda e: (e.step, e.num_samples))
    return Run(folder, config, tuple(steps.values()), tuple(ordered), tuple(notes))


def labels(runs: Sequence[Run]) -> list[str]:
    """One label per run; where two coincide, the seed or the folder name is added."""
    names = [run.label for run in runs]
    for detail in (lambda r: f"seed {r.config.get('seed')}", lambda r: r.path.name, lambda r: str(r.path)):
        many = Counter(names)
        extended = [
            f"{run.label} ({detail(run)})" if many[name] > 1 else name for run, name in zip(runs, names, strict=True)
        ]
        names = extended if len(set(extended)) > len(set(names)) else names
    return names


def base_models(runs: Sequence[Run]) -> dict[str, Evaluation]:
    """The base evaluations to show, by label: one for each distinct starting model."""
    first: dict[str, Evaluation] = {}
    for run in runs:
        first.setdefault(str(run.config.get("model", "")), run.base)
    return {(f"base ({model})" if len(first) > 1 else "base"): e for model, e in first.items()}


def parse_evaluation(record: Mapping[str, Any], where: str) -> Evaluation:
    """One line of an ``evaluation.jsonl``; raises DataError, which names ``where``, on a malformed one."""
    lacking = [key for key in ("step", "num_samples", "num_correct") if key not in record]
    if lacking:
        raise DataError(f"an evaluation needs step, num_samples and num_correct; {where} lacks {lacking}")
    try:
        columns = {
            key: np.asarray(record[key], dtype=np.float64) for key in _PER_PROBLEM if record.get(key) is not None
        }
        shape = (int(record.get("num_problems", len(record["num_correct"]))),)
        for key, column in columns.items():
            if column.shape != shape or not shape[0]:
                raise DataError(f"{key} must hold one number per problem {shape}; found {column.shape}")
        if np.isnan(columns.get("multiplicity", np.zeros(1))).any():
            raise DataError("multiplicity must be known for every problem; found null")
        nothing = np.full(shape, np.nan)
        evaluation = Evaluation(
            step=int(record["step"]),
            num_samples=int(record["num_samples"]),
            num_correct=np.asarray(record["num_correct"]),
            distinct_correct=columns.get("distinct_correct", nothing),
            effective_solutions=np.where(
                np.asarray(record["num_correct"]) >= 2, columns.get("effective_solutions", nothing), np.nan
            ),
            multiplicity=columns["multiplicity"].astype(np.int64) if "multiplicity" in columns else None,
            settings={k: v for k, v in record.items() if k not in _PER_PROBLEM and k != "step"},
        )
        evaluation.pass_at(1)  # checks the counts
    except (InputError, TypeError, ValueError) as error:
        raise DataError(f"{where}: {error.message if isinstance(error, InputError) else error}") from error
    return evaluation


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a readable UTF-8 file: {error}") from error


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DataError(f"{where} must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{where} must be a JSON object; found {type(value).__name__}")
    return value


def _read_lines(path: Path, notes: list[str]) -> list[tuple[int, dict[str, Any]]]:
    """The records with their line numbers; a torn last line is dropped and noted."""
    lines = [(i, line) for i, line in enumerate(_read(path).split("\n"), 1) if line.strip()]
    records = []
    for i, line in lines:
        try:
            records.append((i, _parse(line, f"{path}, line {i}")))
        except DataError:
            if i != lines[-1][0]:
                raise
            notes.append(f"{path.name}: the torn last line ({i}) was dropped")
    return records
