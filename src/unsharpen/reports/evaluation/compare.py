"""Models against the first one on the same problems: rows of a table, and verdicts in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import InputError
from unsharpen.metrics import (
    Crossover,
    Interval,
    SampleTable,
    bootstrap_mean,
    crossover,
    default_ks,
    effective_number,
    pass_at_k,
)
from unsharpen.metrics.bootstrap import check_level, resample_counts
from unsharpen.reports.tables import DISTINCT, EFFECTIVE, KS, Row, Value
from unsharpen.reports.verdict import judge

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
OVERTAKEN = "overtaken at k"
_MANY = 64
_TIE = 1e-12  # means closer than this are equal up to rounding


@dataclass(frozen=True, eq=False)
class Model:
    """One model's counts, computed once."""

    table: SampleTable
    label: str

    @cached_property
    def max_k(self) -> int:
        """The largest k that every problem has samples for."""
        return int(self.table.num_samples.min())

    @cached_property
    def solutions(self) -> list[Counter[int]]:
        """[P] how often each solution came among the correct samples."""
        table, width = self.table, len(self.table.answer_names)
        kept = table.correct & (table.answers >= 0)
        pairs, times = np.unique(table.problem[kept] * width + table.answers[kept], return_counts=True)
        counts: list[Counter[int]] = [Counter() for _ in table.problem_ids]
        for pair, n in zip(pairs.tolist(), times.tolist(), strict=True):
            counts[pair // width][pair % width] = n
        return counts

    @cached_property
    def knows_solutions(self) -> bool:
        """Whether any correct sample says which solution it is."""
        return any(self.solutions)

    @cached_property
    def distinct(self) -> Floats:
        """[P] distinct correct solutions; NaN everywhere where none is known."""
        return np.asarray([len(c) if self.knows_solutions else np.nan for c in self.solutions], dtype=np.float64)

    @cached_property
    def effective(self) -> Floats:
        """[P] effective number of correct solutions; NaN where nothing is correct."""
        return np.asarray([effective_number(list(c.values())) if c else np.nan for c in self.solutions])

    def pass_at(self, k: int, rows: Integers | slice = slice(None)) -> Floats:
        """[P] unbiased Pass@k."""
        return np.asarray(pass_at_k(self.table.num_samples[rows], self.table.num_correct[rows], k))

    @cached_property
    def intervals(self) -> dict[int, Interval]:
        """Mean Pass@k with its interval, for powers of two, the k of the tables, and the largest k."""
        ks = sorted({*default_ks(self.max_k).tolist(), *(k for k in KS if k <= self.max_k)})
        return dict(zip(ks, bootstrap_columns([self.pass_at(k) for k in ks]), strict=True))

    @property
    def curve(self) -> dict[int, Interval]:
        """The intervals that a figure draws."""
        return {int(k): self.intervals[int(k)] for k in default_ks(self.max_k)}

    @cached_property
    def position(self) -> dict[str, int]:
        """Row of each problem id."""
        return {name: i for i, name in enumerate(self.table.problem_ids)}


@dataclass(frozen=True)
class Verdict:
    """One model against the reference."""

    label: str
    outcome: str
    text: str


def bootstrap_columns(columns: Sequence[Floats], *, level: float = 0.95, num_resamples: int = 2000) -> list[Interval]:
    """What `bootstrap_mean` gives for each column [P], from one draw of problems, so many times quicker."""
    table = np.stack(columns, axis=1)
    draws = resample_counts(len(table), num_resamples, seed=0)
    means = np.concatenate([counts @ table / len(table) for counts in draws])
    low, high = np.quantile(means, check_level(level), axis=0)
    return [Interval(float(v), float(a), float(b)) for v, a, b in zip(table.mean(axis=0), low, high, strict=True)]


def models_of(tables: Sequence[SampleTable]) -> list[Model]:
    """The models, with labels that differ.

    Raises:
        InputError: no table, or a problem without samples.
    """
    if not tables:
        raise InputError("a report needs at least one table of samples; found none")
    for table in tables:
        if not table.num_problems:
            raise InputError(f"a report needs at least one problem; {table.label} has none")
        empty = np.flatnonzero(table.num_samples == 0)
        if empty.size:
            raise InputError(
                f"every problem needs at least one sample; {empty.size} of {table.num_problems} of {table.label} "
                f"have none (first: {table.problem_ids[empty[0]]!r})"
            )
    many = Counter(table.label for table in tables)
    seen: Counter[str] = Counter()
    out = []
    for table in tables:
        seen[table.label] += 1
        suffix = f" ({seen[table.label]})" if many[table.label] > 1 else ""
        out.append(Model(table, table.label + suffix))
    return out


def shared_rows(reference: Model, model: Model) -> tuple[Integers, Integers]:
    """Rows of the problems that both answered, in the reference's order."""
    pairs = [
        (row, model.position[name]) for row, name in enumerate(reference.table.problem_ids) if name in model.position
    ]
    ours = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return ours[:, 0], ours[:, 1]


def overtaken(reference: Model, model: Model) -> Crossover | None:
    """First k at which the reference is at least as good, on the problems that both answered."""
    theirs, ours = shared_rows(reference, model)
    if not ours.size:
        return None
    return crossover(
        reference.table.num_samples[theirs],
        reference.table.num_correct[theirs],
        model.table.num_samples[ours],
        model.table.num_correct[ours],
    )


def evaluation_rows(models: Sequence[Model]) -> list[Row]:
    """Pass@k, diversity and crossover of every model, the reference first; the columns that reports show.

    Each row is over the model's own problems; the crossover over those that it shares with the reference.
    """
    largest = max(model.max_k for model in models)
    ks = sorted({k for k in KS if k <= largest} | {largest})
    rows = []
    for i, model in enumerate(models):
        values: dict[str, Value] = {f"Pass@{k}": model.intervals.get(k) for k in ks}
        for name, column in ((DISTINCT, model.distinct), (EFFECTIVE, model.effective)):
            values[name] = None if np.isnan(column).all() else bootstrap_mean(column, nan="omit")
        if len(models) > 1:
            values[OVERTAKEN] = overtaken(models[0], model) if i else None
        rows.append(Row(model.label, 0, model.table.num_problems, model.max_k, values))
    return rows


def verdicts(models: Sequence[Model], rows: Sequence[Row], k: int = _MANY) -> list[Verdict]:
    """Each model after the first against the first, at one try and at k (or as many as there are samples).

    A change counts when its 95 % paired bootstrap interval excludes 0; else it is undecided, and said so.

    Args:
        models: the reference and others.
        rows: of :func:`evaluation_rows` on the same models.
        k: the many tries to judge by.
    """
    if len(models) == 1:
        return [_alone(models[0], rows[0], k)]
    return [_verdict(models[0], m, k, row.values[OVERTAKEN]) for m, row in zip(models[1:], rows[1:], strict=True)]


def _alone(model: Model, row: Row, k: int) -> Verdict:
    k = min(k, model.max_k)
    numbers = "; ".join(f"Pass@{j} {interval}" for j, interval in model.intervals.items() if j in {1, k})
    effective = row.values[EFFECTIVE]
    diversity = (
        "Diversity is undefined: no correct sample with a known solution."
        if effective is None
        else f"Effective correct solutions per solved problem: {effective}."
    )
    return Verdict(
        model.label, "no comparison", f"{numbers}. {diversity} Add its base model to judge what training did."
    )


def _verdict(reference: Model, model: Model, k: int, caught: Value) -> Verdict:
    theirs, ours = shared_rows(reference, model)
    if not ours.size:
        return Verdict(
            model.label, "not comparable", f"No problem in common with {reference.label}: nothing can be said."
        )
    k = min(k, reference.max_k, model.max_k)

    def lead(j: int) -> Floats:
        return model.pass_at(j, ours) - reference.pass_at(j, theirs)

    ks = sorted({1, k})
    changes = dict(zip(ks, bootstrap_columns(list(map(lead, ks))), strict=True))
    left_out = _left_out(reference, model, ours.size)
    if k == 1:
        word = "better" if changes[1].low > 0 else "worse" if changes[1].high < 0 else "undecided"
        text = f"Pass@1 {points(changes[1])}. With one sample a problem nothing can be said about many tries.{left_out}"
        return Verdict(model.label, word, text)
    outcome, words = judge(changes[1], changes[k], k)
    if outcome == "unchanged":
        outcome, words = "undecided", "Neither change can be told from chance."
    numbers = "; ".join(f"Pass@{j} {points(change)}" for j, change in changes.items())
    assert isinstance(caught, Crossover)
    ahead = _catch_up(caught, reference.label, level=caught.k is not None and abs(lead(caught.k).mean()) < _TIE)
    diversity = _diversity(reference, model, theirs, ours)
    return Verdict(model.label, outcome, f"{numbers}. {words} {ahead} {diversity}{left_out}")


def points(change: Interval) -> str:
    """A difference of shares in percentage points, with its interval.

    >>> points(Interval(0.041, 0.02, 0.063))
    '+4.1 [+2.0, +6.3]'
    """
    value, low, high = (_signed(100 * x) for x in (change.value, change.low, change.high))
    return f"{value} [{low}, {high}]"


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def _catch_up(caught: Crossover, reference: str, *, level: bool) -> str:
    if caught.k is None:
        return f"Not overtaken by {reference} within {caught.max_k} samples."
    if caught.k == 1:
        return f"{reference} is at least as good from the first sample on."
    low, high = ("never" if bound is None else str(bound) for bound in (caught.low, caught.high))
    where = f"k = {caught.k} [{low}, {high}]"
    return f"{reference} draws level at {where}." if level else f"Overtaken by {reference} from {where}."


def _diversity(reference: Model, model: Model, theirs: Integers, ours: Integers) -> str:
    """Effective solutions on the problems that both solved."""
    before, after = reference.effective[theirs], model.effective[ours]
    both = ~np.isnan(before) & ~np.isnan(after)
    if not both.any():
        return "Diversity is undefined: no problem has correct samples of both with a known solution."
    (change,) = bootstrap_columns([after[both] - before[both]])
    word = "more" if change.low > 0 else "fewer" if change.high < 0 else "about as many"
    return (
        f"Effective correct solutions, where both solve it ({int(both.sum())} problems): {after[both].mean():.1f} "
        f"against {before[both].mean():.1f}, {word}."
    )


def _left_out(reference: Model, model: Model, shared: int) -> str:
    total = len(set(reference.table.problem_ids) | set(model.table.problem_ids))
    if shared == total:
        return ""
    return f" Compared on the {shared} problems that both answered; {total - shared} others are left out."
