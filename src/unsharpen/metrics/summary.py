"""All metrics of one table of samples, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unsharpen.metrics.bands import multiplicity_bands
from unsharpen.metrics.bootstrap import Interval, bootstrap_means
from unsharpen.metrics.measures import Measure, checked_ks, measures_of
from unsharpen.metrics.samples import SampleTable

__all__ = ["BandSummary", "MeasureSummary", "Summary", "summarise"]


@dataclass(frozen=True)
class MeasureSummary:
    """One measure: its name for programs, its group, its label for people, and its mean over problems."""

    name: str
    group: str
    label: str
    interval: Interval
    num_problems: int

    @property
    def num_undefined(self) -> int:
        """Problems where the measure is undefined; the mean is over the others."""
        return self.interval.num_omitted

    def as_dict(self) -> dict[str, Any]:
        return {
            "group": self.group,
            **interval_dict(self.interval),
            "num_problems": self.num_problems - self.num_undefined,
            "num_undefined": self.num_undefined,
        }


@dataclass(frozen=True)
class BandSummary:
    """Measures of the problems with `low` to `high` distinct solutions."""

    name: str
    low: int
    high: int
    num_problems: int
    measures: Mapping[str, MeasureSummary]


@dataclass(frozen=True)
class Summary:
    """One model on one set of problems.

    Args:
        label: the model's name.
        num_problems: P.
        num_samples: the smallest and the largest number of samples of a problem.
        num_correct: correct samples of all problems.
        ks: the k that were asked for.
        level: coverage of the intervals.
        seed: of the bootstrap, and of whatever was drawn.
        measures: by name, in the order of the table; intervals are percentile bootstrap over problems.
        bands: by number of solutions that exist; empty where that is unknown.
        notes: what is unknown, and how something was had where that matters.
        settings: how the samples were made, as the table has it.
    """

    label: str
    num_problems: int
    num_samples: tuple[int, int]
    num_correct: int
    ks: tuple[int, ...]
    level: float
    seed: int
    measures: Mapping[str, MeasureSummary]
    bands: tuple[BandSummary, ...] = ()
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pass_at_k(self) -> dict[int, Interval]:
        """Pass@k for each k."""
        return {k: self.measures[f"pass@{k}"].interval for k in self.ks}

    def group(self, name: str) -> list[MeasureSummary]:
        """The measures of a group, in order."""
        return [measure for measure in self.measures.values() if measure.group == name]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an undefined number is None."""
        return {
            "label": self.label,
            "num_problems": self.num_problems,
            "num_samples": list(self.num_samples),
            "num_correct": self.num_correct,
            "ks": list(self.ks),
            "level": self.level,
            "seed": self.seed,
            "measures": {name: measure.as_dict() for name, measure in self.measures.items()},
            "bands": [
                {"name": b.name, "low": b.low, "high": b.high, "num_problems": b.num_problems}
                | {"measures": {name: measure.as_dict() for name, measure in b.measures.items()}}
                for b in self.bands
            ],
            "notes": list(self.notes),
            "settings": dict(self.settings),
        }


def summarise(table: SampleTable, *, ks: Iterable[int] | None = None, level: float = 0.95, seed: int = 0) -> Summary:
    """Every metric that the columns of a table allow, with intervals over problems.

    Args:
        table: the samples of one model.
        ks: the k of Pass@k, maj@k and G-Pass@k; default: powers of two up to the smallest number of samples, and it.
        level: coverage of the intervals.
        seed: of the bootstrap, of subsets for maj@k, and of the texts that are compared.

    Returns:
        Summary. A measure that the columns do not allow is missing, and a note says so; a measure that is undefined
        for some problems (diversity below two correct samples) is averaged over the others and counts them.

    Raises:
        InputError: no problems, or a k above the number of samples of some problem (says how many).

    >>> rows = [{"problem_id": "p", "correct": i < 2, "canonical": str(i)} for i in range(4)]
    >>> summary = summarise(SampleTable.from_rows(rows, label="model"))
    >>> [(k, round(interval.value, 3)) for k, interval in summary.pass_at_k.items()]
    [(1, 0.5), (2, 0.833), (4, 1.0)]
    >>> summary.measures["effective_solutions"].interval.value
    2.0
    """
    grid = checked_ks(table, ks)
    found, notes = measures_of(table, grid, seed=seed)
    n = table.num_samples
    return Summary(
        label=table.label,
        num_problems=table.num_problems,
        num_samples=(int(n.min()), int(n.max())),
        num_correct=int(table.num_correct.sum()),
        ks=tuple(grid.tolist()),
        level=level,
        seed=seed,
        measures=summarise_measures(found, level, seed),
        bands=_bands(table, found, grid.tolist(), level, seed),
        notes=(*_imported(table), *notes),
        settings=table.settings,
    )


def _imported(table: SampleTable) -> tuple[str, ...]:
    """What an import noted, see `unsharpen.evaluation.imports`."""
    notes = table.settings.get("notes", ())
    return tuple(map(str, notes)) if isinstance(notes, list | tuple) else ()


def summarise_measures(found: Iterable[Measure], level: float, seed: int) -> dict[str, MeasureSummary]:
    """Means with intervals, by name."""
    kept = list(found)
    intervals = bootstrap_means([m.values for m in kept], level=level, seed=seed)
    return {
        m.name: MeasureSummary(m.name, m.group, m.label, interval, m.values.size)
        for m, interval in zip(kept, intervals, strict=True)
    }


def in_bands(ks: list[int]) -> set[str]:
    """The measures that are shown by band: Pass@k at both ends, and diversity."""
    return {"pass@1", f"pass@{ks[-1]}", "distinct_correct", "effective_solutions"}


def interval_dict(interval: Interval) -> dict[str, float | None]:
    """Value, low and high; None where undefined."""
    names = ("value", "low", "high")
    return {name: None if np.isnan(x := getattr(interval, name)) else float(x) for name in names}


def _bands(table: SampleTable, found: list[Measure], ks: list[int], level: float, seed: int) -> tuple[BandSummary, ...]:
    if table.multiplicity is None:
        return ()
    kept = [m for m in found if m.name in in_bands(ks)]
    rows = []
    for band in multiplicity_bands(table.multiplicity):
        inside = [Measure(m.name, m.group, m.values[band.problems]) for m in kept]
        measures = summarise_measures(inside, level, seed)
        rows.append(BandSummary(band.name, band.low, band.high, band.problems.size, measures))
    return tuple(rows)
