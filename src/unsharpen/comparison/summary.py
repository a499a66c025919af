"""The tables of a comparison: levels, paired differences, and both by how many solutions a problem has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from unsharpen.comparison.curves import Curves, crossover, drawn_interval, lowest, samples_needed
from unsharpen.comparison.results import ArmResult, Floats, Results
from unsharpen.metrics import Interval, bootstrap_mean, bootstrap_over_seeds, multiplicity_bands
from unsharpen.reports import Evaluation
from unsharpen.reports.summary import band_title, mean_or_none
from unsharpen.reports.tables import Table, TableRow, Value

KS = (1, 8, 64, 128)
DISTINCT, EFFECTIVE = "distinct", "effective"
CATCH_UP, LOWEST, SECONDS, SEEDS = "base catches up at k", "lowest", "s / step", "seeds"
_OF_THE_STD = ("ddof", "eps")
_PAIRED = "paired by problem and by the seeds that both have; 95 % bootstrap intervals"
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
    opponents = {results.reference: ""}
    if results.best_reference is not None:
        opponents[results.best_reference] = results.how_best
    found = [main_table(results, curves)]
    found += [difference_table(results, opponent, how) for opponent, how in opponents.items()]
    found += [base_table(results, curves), settings_table(results), *band_tables(results, list(opponents))]
    return [table for table in found if table.rows]


def main_table(results: Results, curves: Curves) -> Table:
    """Every arm and the base: Pass@k, diversity, crossover, samples needed, cost; failed arms with their reason."""
    k, reference = many(results), results.arm(results.reference)
    needed = f"samples for {reference.label}'s Pass@{k}"
    columns = {f"Pass@{j}": None for j in shown_ks(results)}
    rows = [TableRow(BASE, {SEEDS: None, **_base_levels(results, list(columns))})]
    for arm in results.arms:
        if not arm.runs:
            rows.append(TableRow(arm.label, {}, note=failed_note(arm) if arm.failures else "no finished run yet"))
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
        f"{results.base.num_problems} {_split(results)}problems, {results.num_samples} samples each"
        f"{_sampling(results)}; means with 95 % bootstrap intervals over problems and seeds (the base, and rows of one "
        "seed: over problems). distinct, effective: correct solutions; effective over problems with two or more "
        "correct samples."
    )
    return Table("main", "Methods", caption, rows)


def difference_table(results: Results, opponent: str, how: str = "") -> Table:
    """Each arm minus one of them, paired by problem and by the seeds that both have."""
    rows = _differences(results, opponent, shown_ks(results), diversity=(DISTINCT, EFFECTIVE))
    title = f"Minus {opponent}" + (f" ({how})" if how else "")
    return Table(f"minus-{opponent}", title, f"Differences of means, {_PAIRED}.", rows)


def base_table(results: Results, curves: Curves) -> Table:
    """Each arm minus the base, and the lowest such difference over all k: below 0 the base is better somewhere."""
    rows = []
    for arm in results.finished:
        curve = curves.of(arm)
        above, drawn = curve.value - curves.base.value, curve.drawn - curves.base.drawn
        values: dict[str, Value] = {SEEDS: _seeds(arm)}
        values |= {f"Pass@{k}": drawn_interval(above[k - 1], drawn[:, k - 1]) for k in shown_ks(results)}
        rows.append(TableRow(arm.label, {**values, LOWEST: lowest(above, drawn)}))
    caption = (
        f"Differences of means to the model before training, paired by problem; {LOWEST}: over k = 1 to "
        f"{results.num_samples}; 95 % bootstrap intervals, for {LOWEST} simultaneous over k."
    )
    return Table("minus-base", "Minus the base", caption, rows)


def settings_table(results: Results) -> Table:
    """What each arm was trained with."""
    rows = []
    for arm in results.finished:
        config = arm.first.config
        rate = (config.get("grpo_config") or config.get("trl") or {}).get("learning_rate")
        given = {key: value for key, value in (config.get("method_args") or {}).items() if key not in _OF_THE_STD}
        coefficients = ", ".join(f"{key} {value}" for key, value in given.items())
        values: dict[str, Value] = {
            "steps": str(arm.first.final.step),
            "learning rate": None if rate is None else f"{rate:g}",
            "coefficients": coefficients or None,
        }
        rows.append(TableRow(arm.label, values))
    return Table("settings", "Settings", "Of the test runs, as given or chosen.", rows)


def band_tables(results: Results, opponents: Sequence[str]) -> list[Table]:
    """Levels, and differences to each opponent, by how many solutions a problem has; none where that is not known."""
    found = bands(results)
    ks = sorted({1, min(8, results.num_samples), many(results)})
    levels = []
    for name, inside in found:
        base: dict[str, Value] = {SEEDS: None}
        base |= {f"Pass@{k}": bootstrap_mean(results.base.pass_at(k)[inside]) for k in ks}
        levels.append(TableRow(BASE, {**base, EFFECTIVE: mean_or_none(results.base.effective_solutions[inside])}, name))
        for arm in results.finished:
            values: dict[str, Value] = {SEEDS: _seeds(arm)}
            values |= {f"Pass@{k}": _over_seeds(arm.pass_at(k)[:, inside]) for k in ks}
            values[EFFECTIVE] = _over_seeds(np.stack([e.effective_solutions for e in arm.finals()])[:, inside])
            levels.append(TableRow(arm.label, values, name))
    groups = "Problems in three groups by how many different solutions they have (terciles)"
    tables = [Table("bands", "By the number of solutions", f"{groups}; 95 % bootstrap intervals.", levels)]
    for opponent in opponents:
        rows = [
            row
            for name, inside in found
            for row in _differences(results, opponent, ks, diversity=(EFFECTIVE,), inside=inside, group=name)
        ]
        title = f"Minus {opponent}, by the number of solutions"
        tables.append(Table(f"bands-minus-{opponent}", title, f"{groups}; differences {_PAIRED}.", rows))
    return tables


def _differences(
    results: Results,
    opponent: str,
    ks: Sequence[int],
    *,
    diversity: Sequence[str],
    inside: NDArray[np.int64] | slice = slice(None),
    group: str = "",
) -> list[TableRow]:
    other = results.arm(opponent)
    rows = []
    for arm in results.finished:
        shared = [seed for seed in arm.seeds if seed in other.seeds]
        if arm is other or not shared:
            continue
        ours, theirs = _columns(results, arm, shared, ks), _columns(results, other, shared, ks)
        values: dict[str, Value] = {SEEDS: str(len(shared))}
        for column in (*(f"Pass@{k}" for k in ks), *diversity):
            values[column] = _over_seeds((ours[column] - theirs[column])[:, inside])
        rows.append(TableRow(arm.label, values, group))
    return rows


def bands(results: Results) -> list[tuple[str, NDArray[np.int64]]]:
    """(name, indices of the problems) of each tercile of multiplicity that ties have not left empty."""
    multiplicity = results.base.multiplicity
    if multiplicity is None:
        return []
    return [(band_title(band), band.problems) for band in multiplicity_bands(multiplicity)]


def failed_note(arm: ArmResult) -> str:
    """Why an arm has no row, or which of its cells are missing."""
    return "failed: " + "; ".join(f"{name}: {reason}" for name, reason in arm.failures)


def _columns(
    results: Results, arm: ArmResult, seeds: Sequence[int] | None = None, ks: Sequence[int] = ()
) -> dict[str, Floats]:
    """Column -> [seeds, problems]."""
    finals = arm.finals(seeds)
    table = {f"Pass@{k}": arm.pass_at(k, seeds) for k in ks or shown_ks(results)}
    table[DISTINCT] = np.stack([e.distinct_correct for e in finals])
    table[EFFECTIVE] = np.stack([e.effective_solutions for e in finals])
    return table


def _base_levels(results: Results, names: Sequence[str]) -> dict[str, Value]:
    base: Evaluation = results.base
    levels: dict[str, Value] = {name: bootstrap_mean(base.pass_at(int(name.removeprefix("Pass@")))) for name in names}
    return {**levels, DISTINCT: mean_or_none(base.distinct_correct), EFFECTIVE: mean_or_none(base.effective_solutions)}


def _over_seeds(values: Floats) -> Interval | None:
    return None if np.isnan(values).all() else bootstrap_over_seeds(values, nan="omit")


def _seeds(arm: ArmResult) -> str:
    wanted = max(arm.num_planned, len(arm.seeds) + len(arm.failures))
    return str(len(arm.seeds)) if len(arm.seeds) == wanted else f"{len(arm.seeds)} of {wanted}"


def _split(results: Results) -> str:
    split = results.finished[0].first.config.get("eval_set")
    return f"{split} " if split else ""


def _sampling(results: Results) -> str:
    """The distribution of the samples, as far as the records tell: `` at temperature 1, top_p 1``."""
    known = {name: results.base.settings.get(name) for name in ("temperature", "top_p", "top_k", "min_p")}
    words = [f"{name} {value:g}" for name, value in known.items() if value]
    return f" at {', '.join(words)}" if words else ""
