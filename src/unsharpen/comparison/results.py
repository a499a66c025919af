"""The records of a comparison, read: one row per arm, with its runs by seed and its failures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.comparison.cells import RESULTS, TUNING, base_differences, recorded
from unsharpen.comparison.store import is_finished, read_object
from unsharpen.comparison.study import read_study_record
from unsharpen.errors import DataError, InputError
from unsharpen.reports import Evaluation, Run, load_run

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ArmResult:
    """One row: the runs of an arm by seed, and why others are missing.

    Attributes:
        label: the name in tables.
        runs: seed -> run.
        failures: (seed or setting, reason) of each cell that failed.
        num_planned: how many runs the study wants; 0 where there is no study.
    """

    label: str
    runs: Mapping[int, Run]
    failures: Sequence[tuple[str, str]] = ()
    num_planned: int = 0

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.runs)

    @property
    def first(self) -> Run:
        """The run to read the settings from."""
        return next(iter(self.runs.values()))

    @property
    def method(self) -> str:
        return str(self.first.config.get("method", self.label))

    def finals(self, seeds: Sequence[int] | None = None) -> list[Evaluation]:
        """The last evaluation of each run, in the order of ``seeds``."""
        return [self.runs[seed].final for seed in (self.seeds if seeds is None else seeds)]

    def pass_at(self, k: int, seeds: Sequence[int] | None = None) -> Floats:
        """[seeds, problems]."""
        return np.stack([e.pass_at(k) for e in self.finals(seeds)])

    @property
    def seconds_per_step(self) -> float:
        """10 % quantile over the steps of all runs, as other work slows many of them; NaN where it was not logged."""
        times = [row["step_time"] for run in self.runs.values() for row in run.metrics if "step_time" in row]
        return float(np.quantile(times, 0.1)) if times else float("nan")


@dataclass(frozen=True, eq=False)
class Results:
    """A comparison as its records tell it.

    Attributes:
        arms: in the order of the study; those without a finished run are here too, with their failures if any.
        base: the evaluation of the model that all started from.
        reference: label of the arm that the others are compared with.
        best_reference: label of the best-tuned plain variant of it; None where there is only one.
        how_best: how that one was found.
        rule: how settings were chosen, in words; None where they were not.
        notes: what was left out, and why.
    """

    arms: Sequence[ArmResult]
    base: Evaluation
    reference: str
    best_reference: str | None = None
    how_best: str = ""
    rule: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    def arm(self, label: str) -> ArmResult:
        """The arm of that label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def finished(self) -> list[ArmResult]:
        """The arms with at least one run."""
        return [arm for arm in self.arms if arm.runs]

    @property
    def num_samples(self) -> int:
        """The largest k that all evaluations have samples for."""
        return min(self.base.num_samples, *(e.num_samples for arm in self.finished for e in arm.finals()))


PLAIN = ("grpo", "grpo-low-lr")
"""Methods that are GRPO at one rate or another: the best of them is the best-tuned GRPO."""


def load_results(root: Path) -> Results:
    """Read every record below ``root/results``, and every failure.

    Raises:
        InputError: there is no finished run.
        DataError: a record is malformed, or runs were evaluated on different problems.
    """
    record = read_study_record(root)
    runs: dict[str, dict[int, Run]] = {}
    notes: list[str] = []
    for path in sorted((root / RESULTS).glob("*/*/config.json")):
        run = load_run(path.parent)
        notes += run.notes
        _check_whole(run)
        seed = run.config.get("seed")
        mine = runs.setdefault(path.parent.parent.name, {})
        if type(seed) is not int or seed in mine:
            raise DataError(f"{path} must hold a seed that no other run of {path.parent.parent.name} has, found {seed}")
        mine[seed] = run
    if not runs:
        raise InputError(f"{root} holds no finished run", hint="a comparison keeps them in results/<method>/seed-<n>/")
    failures = _failures(root, runs)
    planned = _planned(record)
    there = sorted({*runs, *failures})
    order = [label for name in planned for label in ([x for x in there if _belongs(x, name)] or [name])]
    arms = [
        ArmResult(
            label,
            dict(sorted(runs.get(label, {}).items())),
            tuple(failures.get(label, ())),
            next((num for name, num in planned.items() if _belongs(label, name)), 0),
        )
        for label in dict.fromkeys([*order, *there])
    ]
    finished = [arm for arm in arms if arm.runs]
    base = _check_problems(finished)
    reference = _reference(record.get("reference"), finished)
    if not _belongs(reference, wanted := str(record.get("reference", reference))):
        notes.append(f"{wanted}, the reference, has no finished run; {reference} stands in for it")
    best, how = _best_reference(record.get("best_reference"), reference, finished)
    return Results(arms, base, reference, best, how, record.get("rule"), notes)


def _planned(record: Mapping[str, Any]) -> dict[str, int]:
    """Label -> number of runs, in the order of the study."""
    try:
        labels = [str(label) for label in record.get("arms") or []]
        seeds = {str(arm["label"]): len(arm["seeds"]) for arm in (record.get("study") or {}).get("arms", [])}
    except (TypeError, KeyError, AttributeError) as error:
        raise DataError(f"study.json must list its arms: {error!r}", hint="the next start writes it anew") from error
    return {label: seeds.get(label, 0) for label in labels}


def _check_whole(run: Run) -> None:
    if not is_finished(run.path, recorded(run.config)):
        raise DataError(
            f"{run.path / 'evaluation.jsonl'} must end with the evaluation of the finished run, and does not",
            hint="move that folder away; the comparison makes the run again",
        )
    if any(type(row.get("step")) is not int for row in run.metrics):
        raise DataError(f"{run.path / 'metrics.jsonl'} must hold a whole number `step` in every line")


def _belongs(label: str, name: str) -> bool:
    """An arm with several rates has several rows: its name, then the rate."""
    return label == name or label.startswith(f"{name}_lr-")


def _failures(root: Path, runs: Mapping[str, Mapping[int, Run]]) -> dict[str, list[tuple[str, str]]]:
    """Label -> failures. Those of the tuning count where no test run has come of it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for stage in (RESULTS, TUNING):
        for path in sorted((root / "failures" / stage).glob("*/*.json")):
            label, name = path.parent.name, path.stem
            if stage == TUNING and (label in runs or label in found):
                continue
            found.setdefault(label, []).append((name, str(read_object(path).get("reason"))))
    return found


def _check_problems(arms: Sequence[ArmResult]) -> Evaluation:
    """The base evaluation with the most samples; all rows must be about the same problems, base model and sampling."""
    base = max((run.base for arm in arms for run in arm.runs.values()), key=lambda e: e.num_samples)
    first = arms[0].first
    for arm in arms:
        for seed, run in arm.runs.items():
            if changed := base_differences(first.config, run.config):
                raise DataError(
                    f"all runs of a comparison need one base model, one set of problems and one way to sample; "
                    f"{arm.label} with seed {seed} differs from {arms[0].label} in {'; '.join(changed)}",
                    hint="keep different comparisons in different folders",
                )
            if not (run.final.same_problems(base) and run.base.same_problems(base)):
                raise DataError(
                    f"all runs must be evaluated on the same problems; {arm.label} with seed {seed} is not",
                    hint="keep comparisons on different problems in different folders",
                )
    return base


def _reference(wanted: str | None, arms: Sequence[ArmResult]) -> str:
    labels = [arm.label for arm in arms]
    for arm in arms:
        if wanted is not None and _belongs(arm.label, wanted):
            return arm.label
    return next((arm.label for arm in arms if arm.method == "grpo"), labels[0])


def _best_reference(wanted: str | None, reference: str, arms: Sequence[ArmResult]) -> tuple[str | None, str]:
    """The strongest plain variant of the reference, in its favour: the highest Pass@1 on the test problems."""
    if wanted is not None and wanted in [arm.label for arm in arms]:
        return (None, "") if wanted == reference else (wanted, "the best GRPO, named by the study")
    plain = [arm for arm in arms if arm.method in PLAIN or arm.label == reference]
    best = max(plain, key=lambda arm: float(arm.pass_at(1).mean()))
    if best.label == reference:
        return None, ""
    return best.label, f"the best GRPO: highest Pass@1 of {', '.join(arm.label for arm in plain)} on the test problems"


def dynamics(arm: ArmResult, column: str, window: int = 20) -> tuple[Floats, Floats]:
    """(steps, mean over seeds of the moving average of a training metric); empty where it was not logged."""
    curves = []
    for run in arm.runs.values():
        rows = {int(row["step"]): float(row[column]) for row in run.metrics if row.get(column) is not None}
        curves.append(rows)
    shared = sorted(set.intersection(*(set(rows) for rows in curves))) if curves else []
    if not shared:
        return np.empty(0), np.empty(0)
    values = np.mean([[rows[step] for step in shared] for rows in curves], axis=0)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return np.asarray(shared, dtype=np.float64), (sums[ends] - sums[starts]) / (ends - starts)
