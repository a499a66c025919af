"""Runs beside their base model, as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsharpen.metrics import Band, Crossover, Interval, bootstrap_mean, crossover, multiplicity_bands
from unsharpen.reports.runs import Evaluation, Integers, Run, base_models, labels
from unsharpen.reports.tables import Table, TableRow, Value

KS = (1, 8, 64, 128)
DISTINCT, EFFECTIVE, CATCH_UP = "distinct solutions", "effective solutions", "base catches up at k"


def summary_table(runs: Sequence[Run]) -> Table:
    """The base model and every run: Pass@k, diversity of the correct completions, crossover.

    Pass@k and distinct solutions are means over all problems; effective solutions is the mean over the
    problems with two correct completions or more. Intervals: 95 % bootstrap over problems. The crossover compares each
    run with its own base evaluation.

    Args:
        runs: loaded runs; base models that several runs share are shown once, from the first of them.

    Returns:
        A table whose rows have the same columns each, base first.
    """
    named = _named(runs)
    largest = max(evaluation.num_samples for _, evaluation in named)
    ks = sorted({k for k in KS if k <= largest} | ({largest} if largest < KS[-1] else set()))
    caught: list[Value] = [*[None] * (len(named) - len(runs)), *map(_caught, runs)]
    rows = [
        TableRow(label, {**_values(evaluation, ks), CATCH_UP: value})
        for (label, evaluation), value in zip(named, caught, strict=True)
    ]
    caption = (
        "Means over problems, with 95 % intervals. Solutions: among the correct completions. "
        "The base catches up at the smallest k at which it is as good."
    )
    return Table("results", "Results", caption, rows, head="model")


def band_table(runs: Sequence[Run], k: int = 64) -> Table | None:
    """Pass@1, Pass@k and effective solutions by number of solutions of the problem: few, medium, many.

    The bands are the terciles of the multiplicity of the first model's problems. ``TableRow.group`` names the band; a
    band that ties leave empty is missing.

    Args:
        runs: loaded runs; one without multiplicity has no rows.
        k: the second Pass@k, lowered to the smallest number of samples.

    Returns:
        A table sorted by band, base first; None when no evaluation knows the multiplicity.
    """
    known = [(label, e, e.multiplicity) for label, e in _named(runs) if e.multiplicity is not None]
    if not known:
        return None
    k = min(k, *(e.num_samples for _, e, _ in known))
    bands = multiplicity_bands(known[0][2])
    edges = [band.high for band in bands[:-1]]
    rows = []
    for i, band in enumerate(bands):
        for label, evaluation, multiplicity in known:
            inside = np.flatnonzero(np.searchsorted(edges, multiplicity) == i)
            if inside.size:
                rows.append(TableRow(label, _values(_subset(evaluation, inside), sorted({1, k})), band_title(band)))
    caption = "Problems in three groups by how many solutions they have (terciles), with 95 % intervals."
    return Table("bands", "By number of solutions", caption, rows, head="model")


def band_title(band: Band) -> str:
    """A band of problems by how many solutions they have.

    >>> band_title(Band("few", 1, 2, np.arange(85)))
    'few: 1–2 solutions, 85 problems'
    """
    span = str(band.low) if band.low == band.high else f"{band.low}–{band.high}"
    many = band.problems.size
    return f"{band.name}: {span} solution{'s' * (band.high > 1)}, {many:,} problem{'s' * (many != 1)}"


def _named(runs: Sequence[Run]) -> list[tuple[str, Evaluation]]:
    return [*base_models(runs).items(), *zip(labels(runs), (run.final for run in runs), strict=True)]


def _values(evaluation: Evaluation, ks: Sequence[int]) -> dict[str, Value]:
    n = evaluation.num_samples
    values: dict[str, Value] = {f"Pass@{k}": bootstrap_mean(evaluation.pass_at(k)) if k <= n else None for k in ks}
    diversity = {DISTINCT: evaluation.distinct_correct, EFFECTIVE: evaluation.effective_solutions}
    return values | {name: mean_or_none(column) for name, column in diversity.items()}


def mean_or_none(column: NDArray[np.float64]) -> Interval | None:
    """The mean over the problems where it is defined, with its interval; None where it is nowhere."""
    return None if np.isnan(column).all() else bootstrap_mean(column, nan="omit")


def _caught(run: Run) -> Crossover | None:
    base, final = run.base, run.final
    if final.step == 0 or not base.same_problems(final):
        return None
    return crossover(base.num_samples, base.num_correct, final.num_samples, final.num_correct)


def _subset(evaluation: Evaluation, rows: Integers) -> Evaluation:
    return Evaluation(
        evaluation.step,
        evaluation.num_samples,
        evaluation.num_correct[rows],
        evaluation.distinct_correct[rows],
        evaluation.effective_solutions[rows],
        None,
        evaluation.settings,
    )
