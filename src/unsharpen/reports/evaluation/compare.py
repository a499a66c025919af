"""Models against the first one on the same problems: rows of a table, and verdicts in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unsharpen.metrics import Crossover, Interval, crossover
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.evaluation.model import Floats, Integers, Model, bootstrap_columns, shared_rows
from unsharpen.reports.summary import DISTINCT, EFFECTIVE, KS, mean_or_none
from unsharpen.reports.tables import TableRow, Value
from unsharpen.reports.verdict import judge

OVERTAKEN = "overtaken at k"
_MANY = 64
_TIE = 1e-12  # means closer than this are equal up to rounding


@dataclass(frozen=True)
class Verdict:
    """One model against the reference."""

    label: str
    outcome: str
    text: str


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


def evaluation_rows(models: Sequence[Model]) -> list[TableRow]:
    """Pass@k, diversity and crossover of every model, the reference first; the columns that reports show.

    Each row is over the model's own problems; the crossover over those that it shares with the reference.
    """
    largest = max(model.max_k for model in models)
    ks = sorted({k for k in KS if k <= largest} | {largest})
    rows = []
    for i, model in enumerate(models):
        values: dict[str, Value] = {f"Pass@{k}": model.intervals.get(k) for k in ks}
        for name, column in ((DISTINCT, model.distinct), (EFFECTIVE, model.effective)):
            values[name] = mean_or_none(column)
        if len(models) > 1:
            values[OVERTAKEN] = overtaken(models[0], model) if i else None
        rows.append(TableRow(model.label, values))
    return rows


def verdicts(models: Sequence[Model], rows: Sequence[TableRow], k: int = _MANY) -> list[Verdict]:
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


def _alone(model: Model, row: TableRow, k: int) -> Verdict:
    k = min(k, model.max_k)
    numbers = "; ".join(f"Pass@{j} {interval}" for j, interval in model.intervals.items() if j in {1, k})
    effective = row.values[EFFECTIVE]
    diversity = (
        "Diversity can't be told: no problem has two correct samples with a known solution."
        if effective is None
        else f"Effective correct solutions, where two samples or more are correct: {effective}."
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
    """How often two correct samples differ, on the problems where both have two or more.

    Not the effective solutions: their expectation grows with the number of correct samples, so that more samples, or
    more that are right, would look like more ways.
    """
    before, after = reference.pairwise[theirs], model.pairwise[ours]
    both = ~np.isnan(before) & ~np.isnan(after)
    if not both.any():
        return "Diversity can't be told: no problem has two correct samples of each with a known solution."
    (change,) = bootstrap_columns([after[both] - before[both]])
    word = "more often" if change.low > 0 else "less often" if change.high < 0 else "about as often"
    here, there = (format_number(float(column[both].mean()), 2) for column in (after, before))
    return (
        f"Two correct samples are different solutions with probability {here} against {there}, {word} "
        f"(problems that both solve twice: {int(both.sum())})."
    )


def _left_out(reference: Model, model: Model, shared: int) -> str:
    total = len(set(reference.table.problem_ids) | set(model.table.problem_ids))
    if shared == total:
        return ""
    return f" Compared on the {shared} problems that both answered; {total - shared} others are left out."
