"""Pass@1 against Pass@k along the levers: what a method is worth where another has the same Pass@1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from unsharpen.comparison.curves import Curve, Curves, Floats, drawn_interval, lowest
from unsharpen.comparison.levers import AVERAGE, BASE, FOLDER
from unsharpen.comparison.results import Results
from unsharpen.comparison.store import scored
from unsharpen.comparison.summary import LOWEST, SEEDS, many, shown_ks
from unsharpen.errors import DataError
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports import Evaluation
from unsharpen.reports.runs import parse_evaluation
from unsharpen.reports.tables import Table, TableRow, Value
from unsharpen.training.folder import read_jsonl


@dataclass(frozen=True, eq=False)
class Line:
    """An arm, or the base, with a share of the base in its weights: its evaluations by temperature, one per seed.

    Of the mean of ``averaged`` seeds' weights there is one.
    """

    arm: str
    base_share: float
    own: float  # the temperature of the runs
    evaluations: dict[float, list[Evaluation]]
    averaged: int = 0

    @property
    def label(self) -> str:
        """The name in tables."""
        mean = f", mean of {self.averaged} seeds" if self.averaged else ""
        return self.arm + mean + (f" + {self.base_share:g} base" if self.base_share else "")

    @property
    def temperatures(self) -> list[float]:
        return sorted(self.evaluations, reverse=True)


def load_lines(root: Path, results: Results) -> list[Line]:
    """The base and the arms, as far as they were evaluated beyond their runs; nothing where no lever was pulled.

    A line holds the seeds that have all of its temperatures. Evaluations of models that were trained again don't
    count.

    Raises:
        DataError: a malformed line, or one about other problems.
    """
    folder, untrained = root / FOLDER, {scored(run.path, 0) for arm in results.finished for run in arm.runs.values()}
    found = _lines(BASE, [(results.base, _rows(folder / f"{BASE}.jsonl", untrained, results))])
    for arm in results.finished:
        marks = {seed: scored(run.path) for seed, run in arm.runs.items()}
        own = [
            (final, _rows(folder / arm.label / f"seed-{seed}.jsonl", {marks[seed]}, results))
            for seed, final in zip(arm.seeds, arm.finals(), strict=True)
        ]
        found += _lines(arm.label, own)
        means = _rows(folder / arm.label / f"{AVERAGE}.jsonl", set(marks.values()), results)
        found += _lines(arm.label, [(own[0][0], means)], averaged=True)
    return [line for line in found if len(line.evaluations) > 1 or line.base_share or line.averaged]


_Row = tuple[float, float, int, Evaluation]  # share of the base, temperature, number of models, what it scored


def _lines(arm: str, models: Sequence[tuple[Evaluation, list[_Row]]], *, averaged: bool = False) -> list[Line]:
    """One line for each share of the base; ``models`` has the run's own evaluation and the others of each seed."""
    own = float(models[0][0].settings.get("temperature", 1.0))
    shares = {row[0] for _, rows in models for row in rows} | (set() if averaged else {0.0})
    found = []
    for share in sorted(shares):
        seeds: list[dict[float, Evaluation]] = [
            ({own: final} if share == 0 and not averaged else {}) | {row[1]: row[3] for row in rows if row[0] == share}
            for final, rows in models
        ]
        most = max(seeds, key=len)
        whole = [seed for seed in seeds if seed.keys() == most.keys()]
        num = max((row[2] for _, rows in models for row in rows), default=0) if averaged else 0
        found.append(Line(arm, share, own, {t: [seed[t] for seed in whole] for t in most}, num))
    return found


def _rows(path: Path, marks: set[str], results: Results) -> list[_Row]:
    """The evaluations in a file whose models all carry one of the marks."""
    found = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            if not set(row["run"].split("+")) <= marks:
                continue
            place = (float(row["base_share"]), float(row["temperature"]), int(row["num_models"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}, must be an evaluation with run, base_share, temperature and num_models; "
                f"found {error!r}",
                hint="delete the file; the comparison makes it again",
            ) from error
        evaluation = parse_evaluation({**row, "step": 0}, f"{path}, line {number}")
        if not evaluation.same_problems(results.base):
            raise DataError(f"{path} must be about the problems of the comparison", hint="delete it")
        found.append((*place, evaluation))
    return found


def front_tables(lines: Sequence[Line], results: Results, curves: Curves) -> list[Table]:
    """Levels at every point; and Pass@k at the Pass@1 of the reference and of the best-tuned one."""
    return [_equal_table(lines, results, curves), _levels_table(lines, results, curves)] if lines else []


def _levels_table(lines: Sequence[Line], results: Results, curves: Curves) -> Table:
    points = []
    for line in lines:
        for temperature in line.temperatures:
            evaluations = line.evaluations[temperature]
            values: dict[str, Value] = {"temperature": f"{temperature:g}", SEEDS: str(len(evaluations))}
            curve = curves.over(evaluations)
            values |= {
                f"Pass@{k}": drawn_interval(curve.value[k - 1], curve.drawn[:, k - 1]) for k in shown_ks(results)
            }
            below = lowest(curve.value - curves.base.value, curve.drawn - curves.base.drawn)
            points.append(TableRow(line.label, {**values, f"{LOWEST} − base": below}))
    caption = (
        "The models as they are, sampled at other temperatures, and with a share of the base in their weights. "
        f"{LOWEST} − base: of the differences to the base at its own temperature, over k = 1 to {results.num_samples}, "
        "its interval simultaneous over k."
    )
    return Table("levers", "Levers that need no training", caption, points)


def _equal_table(lines: Sequence[Line], results: Results, curves: Curves) -> Table:
    k, rows = many(results), []
    theirs = {}
    for label in (results.reference, results.best_reference):
        if label is not None:
            line = next((line for line in lines if line.label == label), None)  # the same seeds as the others' lines
            theirs[label] = curves.over(line.evaluations[line.own]) if line else curves.of(results.arm(label))
    for line in lines:
        matched: dict[str, Value] = {}
        for label, other in theirs.items():
            ours = pass_at_equal(line, other, k, curves)
            matched[f"Pass@{k} at {label}'s Pass@1"] = drawn_interval(*ours) if ours else _reach(line, curves)
            matched[f"− {label}"] = None
            if ours and line.label != label:
                matched[f"− {label}"] = drawn_interval(ours[0] - other.value[k - 1], ours[1] - other.drawn[:, k - 1])
        rows.append(TableRow(line.label, matched))
    where = " and ".join(f"{label} {other.value[0]:.3f}" for label, other in theirs.items())
    caption = (
        f"Interpolated between temperatures, at the Pass@1 of {where}; for lines that do not have it, the Pass@1 that "
        "they have. In a resample in which it lies beyond a line's end, the end counts."
    )
    return Table("equal", f"Pass@{k} at equal Pass@1", caption, rows)


def _reach(line: Line, curves: Curves) -> str:
    found = [curves.over(evaluations).value[0] for evaluations in line.evaluations.values()]
    return f"Pass@1 {format_number(min(found), 3)} to {format_number(max(found), 3)}"


def pass_at_equal(line: Line, other: Curve, k: int, curves: Curves) -> tuple[float, Floats] | None:
    """Pass@k of the line where its Pass@1 is the other's: the value, and under each resample [R].

    Linear in Pass@1 between neighbouring temperatures, the hotter pair where there are several; None where the other's
    Pass@1 lies beyond the line's ends (in a resample that falls beyond them the end counts).
    """
    found = [curves.over(line.evaluations[temperature]) for temperature in line.temperatures]
    x, y = (np.asarray([curve.value[j - 1] for curve in found]) for j in (1, k))
    if not x.min() <= other.value[0] <= x.max():
        return None
    drawn = [np.stack([curve.drawn[:, j - 1] for curve in found]) for j in (1, k)]  # [temperatures, R]
    return _along(other.value[0], x, y), np.asarray(
        [_along(*at) for at in zip(other.drawn[:, 0], drawn[0].T, drawn[1].T, strict=True)]
    )


def _along(at: float, x: Floats, y: Floats) -> float:
    """Where x is ``at`` for the first time along the line, y; the nearest point's where x never is."""
    for i, (left, right) in enumerate(pairwise(x)):
        if min(left, right) <= at <= max(left, right):
            share = 0.0 if left == right else (at - left) / (right - left)
            return float(y[i] + share * (y[i + 1] - y[i]))
    return float(y[np.abs(x - at).argmin()])
