"""One model beside its base on the same problems: paired differences, crossover, sampling efficiency."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Integers
from unsharpen.metrics.bands import multiplicity_bands
from unsharpen.metrics.crossover import Crossover, crossover
from unsharpen.metrics.efficiency import SamplingEfficiency, sampling_efficiency
from unsharpen.metrics.measures import GROW_WITH_CORRECT, GROW_WITH_SAMPLES, Measure, checked_ks, measures_of
from unsharpen.metrics.samples import SampleTable
from unsharpen.metrics.sharpening import RareCorrect, rare_correct_logprobs
from unsharpen.metrics.summary import BandSummary, MeasureSummary, in_bands, interval_dict, summarise_measures

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """A model against its base; every difference is model minus base, paired by problem.

    Args:
        label: the model's name.
        base_label: the base's.
        num_problems: problems that both have.
        num_only_here: problems of the model alone, left out on request.
        num_only_base: problems of the base alone, left out on request.
        ks: the k that were asked for.
        level: coverage of the intervals.
        seed: of the bootstrap, and of whatever was drawn.
        differences: by name; over the problems where the measure is defined for both. A measure that depends on the
            number of samples is left out where that number differs, and missing where it differs on every problem.
        crossover: where the base is at least as good.
        efficiency: for each k, the samples that the model needs for the base's Pass@k.
        rare_correct: what became of rare correct completions; None without texts and log-probs.
        bands: differences by number of solutions that exist; empty where that is unknown.
        notes: what is unknown, and how something was had where that matters.
    """

    label: str
    base_label: str
    num_problems: int
    num_only_here: int
    num_only_base: int
    ks: tuple[int, ...]
    level: float
    seed: int
    differences: Mapping[str, MeasureSummary]
    crossover: Crossover
    efficiency: tuple[SamplingEfficiency, ...]
    rare_correct: RareCorrect | None = None
    bands: tuple[BandSummary, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an undefined number is None, and so is "never"."""
        rare = self.rare_correct
        simple = ("label", "base_label", "num_problems", "num_only_here", "num_only_base", "level", "seed")
        return {name: getattr(self, name) for name in simple} | {
            "ks": list(self.ks),
            "differences": {name: measure.as_dict() for name, measure in self.differences.items()},
            "crossover": dataclasses.asdict(self.crossover),
            "efficiency": [dataclasses.asdict(e) | {"factor": e.factor} for e in self.efficiency],
            "rare_correct": None
            if rare is None
            else {"num_rare": rare.num_rare, "num_matched": rare.num_matched}
            | {name: interval_dict(getattr(rare, name)) for name in ("base", "trained", "change")},
            "bands": [
                {"name": b.name, "low": b.low, "high": b.high, "num_problems": b.num_problems}
                | {"differences": {name: measure.as_dict() for name, measure in b.measures.items()}}
                for b in self.bands
            ],
            "notes": list(self.notes),
        }


def compare(
    table: SampleTable,
    base: SampleTable,
    *,
    ks: Iterable[int] | None = None,
    level: float = 0.95,
    seed: int = 0,
    common: bool = False,
) -> Comparison:
    """A model beside its base, paired by problem id.

    Args:
        table: samples of the model.
        base: samples of its base on the same problems; in any order, and with any numbers of samples.
        ks: the k of Pass@k and kin; default: powers of two up to the smallest number of samples of both, and it.
        level: coverage of the intervals.
        seed: of the bootstrap, of subsets for maj@k, and of the texts that are compared.
        common: compare the problems that both have, and count the others; otherwise such a problem is an error.

    Returns:
        Comparison.

    Raises:
        InputError: a problem that only one of them has (says how many of each), no problem in common, or what
            `summarise` refuses.

    >>> def model(label, right):
    ...     rows = [{"problem_id": p, "correct": i < c} for p, c in right.items() for i in range(4)]
    ...     return SampleTable.from_rows(rows, label=label)
    >>> found = compare(model("trained", {"p": 3, "q": 0}), model("base", {"q": 1, "p": 1}))
    >>> found.crossover.k, found.differences["pass@1"].interval.value
    (2, 0.125)
    """
    ours, theirs = shared_problems(table, base, common=common)
    grid = checked_ks(min(theirs, ours, key=lambda one: int(one.num_samples.min())), ks)
    found, notes = measures_of(ours, grid, seed=seed)
    base_found, base_notes = measures_of(theirs, grid, seed=seed)
    changes = _changes(ours, theirs, found, base_found)
    counts = (theirs.num_samples, theirs.num_correct, ours.num_samples, ours.num_correct)
    return Comparison(
        label=table.label,
        base_label=base.label,
        num_problems=ours.num_problems,
        num_only_here=table.num_problems - ours.num_problems,
        num_only_base=base.num_problems - theirs.num_problems,
        ks=tuple(grid.tolist()),
        level=level,
        seed=seed,
        differences=summarise_measures(changes, level, seed),
        crossover=crossover(*counts, level=level, seed=seed),
        efficiency=sampling_efficiency(*counts, ks=grid.tolist(), level=level, seed=seed),
        rare_correct=rare_correct_logprobs(theirs, ours, level=level, seed=seed),
        bands=_bands(ours, theirs, changes, grid.tolist(), level, seed),
        notes=tuple(dict.fromkeys([*notes, *base_notes, *_uneven(ours, theirs, changes)])),
    )


def shared_problems(table: SampleTable, base: SampleTable, *, common: bool = False) -> tuple[SampleTable, SampleTable]:
    """The model and the base on the problems that both have, in the order of the model.

    Args:
        table: samples of the model.
        base: samples of its base.
        common: leave out the problems of one of them alone; otherwise such a problem is an error.

    Raises:
        InputError: a problem that only one of them has (says how many of each), or none in common.
    """
    position = {name: i for i, name in enumerate(base.problem_ids)}
    pairs = [(i, position[name]) for i, name in enumerate(table.problem_ids) if name in position]
    missing = (table.num_problems - len(pairs), base.num_problems - len(pairs))
    if not pairs or (any(missing) and not common):
        first = next((name for name in table.problem_ids if name not in position), None)
        first = first or next((name for name in base.problem_ids if name not in set(table.problem_ids)), None)
        raise InputError(
            f"both models must answer the same problems; {len(pairs)} are in both, {missing[0]} only in "
            f"{table.label!r}, {missing[1]} only in {base.label!r} (first: {str(first)[:80]!r})",
            hint="compare the problems that both have with common=True (--common)"
            if pairs
            else "are the ids the same?",
        )
    rows, base_rows = np.asarray(pairs, dtype=np.int64).T
    return table.select(rows), base.select(base_rows)


def _changes(ours: SampleTable, theirs: SampleTable, found: list[Measure], base_found: list[Measure]) -> list[Measure]:
    """Differences by problem; of a measure that depends on n, only between equal n."""
    other = {measure.name: measure.values for measure in base_found}
    uneven = ours.num_samples != theirs.num_samples
    changes = []
    for m in found:
        hidden = uneven & (m.name in GROW_WITH_SAMPLES)
        if m.name in other and not hidden.all():
            changes.append(Measure(m.name, m.group, np.where(hidden, np.nan, m.values - other[m.name])))
    return changes


def _uneven(ours: SampleTable, theirs: SampleTable, changes: list[Measure]) -> list[str]:
    """What the numbers of samples, or of correct ones, do to the differences."""
    notes, uneven = [], ours.num_samples != theirs.num_samples
    if uneven.any():
        notes.append(
            f"{uneven.sum()} of {uneven.size} problems have different numbers of samples "
            f"({_range(ours.num_samples[uneven])} of {ours.label}, {_range(theirs.num_samples[uneven])} of "
            f"{theirs.label}): there the differences leave out what depends on that number (solved at least once, "
            "distinct and effective solutions, exp(entropy), largest share, answers, wording); for these, sample both "
            "with the same -n"
        )
    differ = (ours.num_correct != theirs.num_correct) & ~uneven
    if differ.any() and any(m.name in GROW_WITH_CORRECT for m in changes):
        notes.append(
            "distinct and effective solutions, exp(entropy), largest share and wording also depend on how many samples "
            f"are correct ({ours.num_correct.mean():.1f} a problem of {ours.label}, {theirs.num_correct.mean():.1f} of "
            f"{theirs.label}); pairwise diversity does not"
        )
    return notes


def _range(numbers: Integers) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _bands(
    ours: SampleTable, theirs: SampleTable, changes: list[Measure], ks: list[int], level: float, seed: int
) -> tuple[BandSummary, ...]:
    multiplicity = ours.multiplicity if ours.multiplicity is not None else theirs.multiplicity
    if multiplicity is None:
        return ()
    kept = [m for m in changes if m.name in in_bands(ks)]
    rows = []
    for band in multiplicity_bands(multiplicity):
        inside = [Measure(m.name, m.group, m.values[band.problems]) for m in kept]
        measures = summarise_measures(inside, level, seed)
        rows.append(BandSummary(band.name, band.low, band.high, band.problems.size, measures))
    return tuple(rows)
