"""The tables of a comparison: levels, paired differences, and both by how many solutions a problem has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsharpen.comparison.curves import Curves, crossover, samples_needed
from unsharpen.comparison.results import ArmResult, Floats, Results
from unsharpen.comparison.tables import Table, TableRow, Value
from unsharpen.metrics import Interval, bootstrap_mean, bootstrap_over_seeds
from unsharpen.reports import Evaluation

KS = (1, 8, 64, 128)
DISTINCT, EFFECTIVE = "distinct", "effective"
CATCH_UP, SECONDS, SEEDS = "base catches up at k", "s / step", "seeds"
BASE = "base"


def shown_ks(results: Results) -> list[int]:
    """1, 8, 64 and 128, as far as there are samples; the number of samples where there are fewer than 128."""
    largest = results.num_samples
    return sorted({k for k in KS if k <= largest} | ({largest} if largest < KS[-1] else set()))


def many(results: Results) -> int:
    """The k of "many tries": 64, or the number of samples if that is smaller."""
    return min(64, results.num_samples)


def tables(results: Results, curves: Curves | None = None) -> list[Table]:
    """All tables of a comparison, in the order to read them."""
    curves = curves or Curves(results)
    found = [main_table(results, curves), difference_table(results, results.reference)]
    if results.best_reference is not None:
        found.append(difference_table(results, results.best_reference, results.how_best))
    if (bands := band_table(results)) is not None:
        found.append(bands)
    return [table for table in found if table.rows]


def main_table(results: Results, curves: Curves) -> Table:
    """Every arm and the base: Pass@k, diversity, crossover, samples needed, cost; failed arms with their reason."""
    k, reference = many(results), results.arm(results.reference)
    needed = f"samples for {reference.label}'s Pass@{k}"
    columns = {f"Pass@{j}": None for j in shown_ks(results)}
    rows = [TableRow(BASE, {SEEDS: None, **_base_levels(results, list(columns))})]
    for arm in results.arms:
        if not arm.runs:
            rows.append(TableRow(arm.label, {}, note=failed_note(arm)))
            continue
        levels = {column: _over_seeds(values) for column, values in _columns(results, arm).items()}
        seconds = arm.seconds_per_step
        rows.append(
            TableRow(
                arm.label,
                {
                    SEEDS: _seeds(arm),
                    **levels,
                    CATCH_UP: crossover(curves.base, curves.of(arm)),
                    needed: None if arm is reference else samples_needed(curves.of(arm), curves.of(reference), k),
                    SECONDS: None if np.isnan(seconds) else seconds,
                },
            )
        )
    caption = (
        f"{results.base.num_problems} problems, {results.num_samples} samples each; means with 95 % bootstrap "
        "intervals over problems and seeds (the base: over problems). distinct, effective: correct solutions."
    )
    return Table("main", "Methods", caption, rows)


def difference_table(results: Results, opponent: str, how: str = "") -> Table:
    """Each arm minus one of them, paired by problem and by the seeds that both have."""
    other = results.arm(opponent)
    rows = []
    for arm in results.finished:
        shared = [seed for seed in arm.seeds if seed in other.seeds]
        if arm is other or not shared:
            continue
        ours, theirs = _columns(results, arm, shared), _columns(results, other, shared)
        values: dict[str, Value] = {SEEDS: str(len(shared))}
        values |= {column: _over_seeds(ours[column] - theirs[column]) for column in ours}
        rows.append(TableRow(arm.label, values))
    caption = "Differences of means, paired by problem and by the seeds that both have; 95 % bootstrap intervals."
    title = f"Minus {opponent}" + (f" ({how})" if how else "")
    return Table(f"minus-{opponent}", title, caption, rows)


def band_table(results: Results) -> Table | None:
    """Levels and differences to the reference by how many solutions a problem has; None where that is not known."""
    found = bands(results)
    if not found:
        return None
    k, reference = many(results), results.arm(results.reference)
    rows = []
    for name, inside in found:
        levels = {f"Pass@{j}": bootstrap_mean(results.base.pass_at(j)[inside]) for j in sorted({1, k})}
        rows.append(TableRow(BASE, {**levels, EFFECTIVE: _mean(results.base.effective_solutions[inside])}, name))
        for arm in results.finished:
            shared = [seed for seed in arm.seeds if seed in reference.seeds]
            values: dict[str, Value] = {}
            for j in sorted({1, k}):
                values[f"Pass@{j}"] = _over_seeds(arm.pass_at(j)[:, inside])
            values[EFFECTIVE] = _over_seeds(np.stack([e.effective_solutions for e in arm.finals()])[:, inside])
            for j in sorted({1, k}):
                column = f"Pass@{j} − {reference.label}"
                values[column] = None
                if arm is not reference and shared:
                    difference = arm.pass_at(j, shared) - reference.pass_at(j, shared)
                    values[column] = _over_seeds(difference[:, inside])
            rows.append(TableRow(arm.label, values, name))
    caption = (
        "Problems in three groups by how many different solutions they have (terciles); differences paired by problem "
        "and seed; 95 % bootstrap intervals."
    )
    return Table("bands", "By the number of solutions", caption, rows)


def bands(results: Results) -> list[tuple[str, NDArray[np.int64]]]:
    """(name, indices of the problems) of each tercile of multiplicity that ties have not left empty."""
    multiplicity = results.base.multiplicity
    if multiplicity is None:
        return []
    cuts = np.quantile(multiplicity, [1 / 3, 2 / 3])
    found = []
    for band in range(3):
        inside = np.flatnonzero(np.searchsorted(cuts, multiplicity) == band)
        if inside.size:
            low, high = int(multiplicity[inside].min()), int(multiplicity[inside].max())
            span = str(low) if low == high else f"{low} to {high}"
            found.append((f"{span} solution{'s' * (high > 1)} ({inside.size} problems)", inside))
    return found


def failed_note(arm: ArmResult) -> str:
    """Why an arm has no row, or which of its cells are missing."""
    return "failed: " + "; ".join(f"{name}: {reason}" for name, reason in arm.failures)


def _columns(results: Results, arm: ArmResult, seeds: Sequence[int] | None = None) -> dict[str, Floats]:
    """Column -> [seeds, problems]."""
    finals = arm.finals(seeds)
    table = {f"Pass@{k}": arm.pass_at(k, seeds) for k in shown_ks(results)}
    table[DISTINCT] = np.stack([e.distinct_correct for e in finals])
    table[EFFECTIVE] = np.stack([e.effective_solutions for e in finals])
    return table


def _base_levels(results: Results, names: Sequence[str]) -> dict[str, Value]:
    base: Evaluation = results.base
    levels: dict[str, Value] = {name: bootstrap_mean(base.pass_at(int(name.removeprefix("Pass@")))) for name in names}
    return {**levels, DISTINCT: _mean(base.distinct_correct), EFFECTIVE: _mean(base.effective_solutions)}


def _mean(values: Floats) -> Interval | None:
    return None if np.isnan(values).all() else bootstrap_mean(values, nan="omit")


def _over_seeds(values: Floats) -> Interval | None:
    return None if np.isnan(values).all() else bootstrap_over_seeds(values, nan="omit")


def _seeds(arm: ArmResult) -> str:
    return f"{len(arm.seeds)} of {len(arm.seeds) + len(arm.failures)}" if arm.failures else str(len(arm.seeds))
