"""Pass@1 against Pass@k along the levers: what a method is worth where another has the same Pass@1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unsharpen.comparison.curves import Curve, Curves, Floats
from unsharpen.comparison.levers import AVERAGE, BASE, FOLDER
from unsharpen.comparison.results import Results
from unsharpen.comparison.summary import SEEDS, many, shown_ks
from unsharpen.comparison.tables import Table, TableRow, Value
from unsharpen.errors import DataError
from unsharpen.metrics import Interval
from unsharpen.reports import Evaluation
from unsharpen.reports.runs import parse_evaluation
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

    Raises:
        DataError: a malformed line, or one about other problems.
    """
    found = [_line(BASE, 0.0, [results.base], [root / FOLDER / f"{BASE}.jsonl"], results)]
    for arm in results.finished:
        paths = [root / FOLDER / arm.label / f"seed-{seed}.jsonl" for seed in arm.seeds]
        shares = sorted({0.0, *(row["base_share"] for path in paths for row in _rows(path))})
        found += [_line(arm.label, share, arm.finals(), paths, results) for share in shares]
        mean = root / FOLDER / arm.label / f"{AVERAGE}.jsonl"
        shares = sorted({row["base_share"] for row in _rows(mean)})
        found += [_line(arm.label, share, arm.finals()[:1], [mean], results, averaged=True) for share in shares]
    return [line for line in found if len(line.evaluations) > 1 or line.base_share or line.averaged]


def _line(
    arm: str,
    share: float,
    finals: Sequence[Evaluation],
    paths: Sequence[Path],
    results: Results,
    *,
    averaged: bool = False,
) -> Line:
    """Of each temperature, the evaluations of the runs that have it."""
    seeds = 0
    own = float(finals[0].settings.get("temperature", 1.0))
    evaluations: dict[float, list[Evaluation]] = {}
    for final, path in zip(finals, paths, strict=True):
        if share == 0 and not averaged:
            evaluations.setdefault(own, []).append(final)
        for row in _rows(path):
            if row["base_share"] == share:
                evaluation = parse_evaluation({**row, "step": final.step}, str(path))
                if not evaluation.same_problems(results.base):
                    raise DataError(f"{path} must be about the problems of the comparison", hint="delete it")
                evaluations.setdefault(float(row["temperature"]), []).append(evaluation)
                seeds = int(row["num_models"]) if averaged else 0
    return Line(arm, share, own, evaluations, seeds)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = read_jsonl(path)
    if not all(isinstance(row, dict) and {"base_share", "temperature", "num_models"} <= row.keys() for row in rows):
        raise DataError(f"{path} must hold evaluations with base_share, temperature and num_models", hint="delete it")
    return rows


def front_tables(lines: Sequence[Line], results: Results, curves: Curves) -> list[Table]:
    """Levels at every point; and Pass@k at the Pass@1 of the reference and of the best-tuned one."""
    if not lines:
        return []
    points = []
    for line in lines:
        for temperature in line.temperatures:
            evaluations = line.evaluations[temperature]
            values: dict[str, Value] = {"temperature": f"{temperature:g}", SEEDS: str(len(evaluations))}
            curve = curves.over(evaluations)
            values |= {f"Pass@{k}": _interval(curve.value[k - 1], curve.drawn[:, k - 1]) for k in shown_ks(results)}
            points.append(TableRow(line.label, values))
    caption = "The models as they are, sampled at other temperatures, and with a share of the base in their weights."
    levels = Table("levers", "Levers that need no training", caption, points)
    k, rows = many(results), []
    opponents = [results.arm(label) for label in (results.reference, results.best_reference) if label is not None]
    for line in lines:
        matched: dict[str, Value] = {}
        for opponent in opponents:
            theirs = curves.of(opponent)
            ours = pass_at_equal(line, theirs, k, curves)
            matched[f"Pass@{k} at {opponent.label}'s Pass@1"] = ours and _interval(*ours)
            matched[f"− {opponent.label}"] = None
            if ours and line.label != opponent.label:
                difference = (ours[0] - theirs.value[k - 1], ours[1] - theirs.drawn[:, k - 1])
                matched[f"− {opponent.label}"] = _interval(*difference)
        rows.append(TableRow(line.label, matched))
    where = " and ".join(f"{arm.label} {curves.of(arm).value[0]:.3f}" for arm in opponents)
    caption = f"Interpolated between temperatures; no value where none reaches that Pass@1 ({where})."
    return [Table("equal", f"Pass@{k} at equal Pass@1", caption, rows), levels]


def pass_at_equal(line: Line, other: Curve, k: int, curves: Curves) -> tuple[float, Floats] | None:
    """Pass@k of the line where its Pass@1 is the other's: the value, and under each resample [R].

    Linear in Pass@1 between neighbouring temperatures; None where the other's Pass@1 lies beyond the line's ends (in a
    resample that falls beyond them the end counts).
    """
    found = [curves.over(line.evaluations[temperature]) for temperature in line.temperatures]
    x, y = (np.asarray([curve.value[j - 1] for curve in found]) for j in (1, k))
    if not x.min() <= other.value[0] <= x.max():
        return None
    drawn = [np.stack([curve.drawn[:, j - 1] for curve in found]) for j in (1, k)]  # [temperatures, R]
    return _interpolate(other.value[0], x, y), np.asarray(
        [_interpolate(*at) for at in zip(other.drawn[:, 0], drawn[0].T, drawn[1].T, strict=True)]
    )


def _interpolate(at: float, x: Floats, y: Floats) -> float:
    order = np.argsort(x)
    return float(np.interp(at, x[order], y[order]))


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))
