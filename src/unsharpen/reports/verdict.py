"""What a run did to its model, in plain words that follow from intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unsharpen.metrics import Crossover, Interval, bootstrap_mean, crossover, paired_bootstrap_difference
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.runs import Evaluation, Run, labels

KEPT_WITHIN = 0.05
"""Pass@k counts as kept if its interval excludes a loss larger than this; a wide interval proves nothing."""


@dataclass(frozen=True)
class Verdict:
    """One run: its label, the outcome in a word or two, and the sentences that support it."""

    label: str
    outcome: str
    text: str


def verdicts(runs: Sequence[Run], k: int = 64) -> list[Verdict]:
    """Each run against its own base model at Pass@1 and at Pass@k.

    A change counts when its 95 % paired bootstrap interval excludes 0. k is lowered to the number of samples.

    Args:
        runs: loaded runs.
        k: the many tries to judge by.

    Returns:
        One Verdict per run, in order.
    """
    return [_verdict(label, run, k) for label, run in zip(labels(runs), runs, strict=True)]


def comparisons(runs: Sequence[Run], k: int = 64) -> list[str]:
    """Every other run against the first plain GRPO run (or the first run), on the same problems."""
    names = labels(runs)
    reference = next((i for i, run in enumerate(runs) if run.config.get("method") == "grpo"), 0)
    theirs = runs[reference].final
    return [
        _comparison(name, run.final, names[reference], theirs, k)
        for name, run in zip(names, runs, strict=True)
        if run.final is not theirs and run.final.same_problems(theirs)
    ]


def _comparison(name: str, ours: Evaluation, other: str, theirs: Evaluation, k: int) -> str:
    k = min(k, ours.num_samples, theirs.num_samples)
    many, first = _difference(ours, theirs, k), _difference(ours, theirs, 1)
    text = (
        f"{name} against {other}: it solves {_more(many, 'more', 'about as many', 'fewer')} problems "
        f"in {k} tries ({_signed(many)}), and is right {_more(first, 'more', 'about as', 'less')} often "
        f"at the first try ({_signed(first)})."
    )
    solutions = [bootstrap_mean(e.effective_solutions, nan="omit").value for e in (ours, theirs)]
    if not np.isnan(solutions).any():
        text += f" Effective solutions per solved problem: {solutions[0]:.1f} against {solutions[1]:.1f}."
    return text


def _verdict(label: str, run: Run, k: int) -> Verdict:
    base, final = run.base, run.final
    if final.step == 0:
        return Verdict(label, "not trained", "The run holds no evaluation after training.")
    k = min(k, base.num_samples, final.num_samples)
    values = {j: f"Pass@{j} {_mean(base, j)} → {_mean(final, j)}" for j in (1, k)}
    if not final.same_problems(base):
        text = f"{', '.join(values.values())}, on different problems: the change can't be judged."
        return Verdict(label, "not comparable", text)
    changes = {j: _difference(final, base, j) for j in values}
    outcome, words = judge(changes[1], changes[k], k)
    numbers = ", ".join(f"{values[j]} ({_signed(changes[j])})" for j in values)
    caught = crossover(base.num_samples, base.num_correct, final.num_samples, final.num_correct)
    return Verdict(label, outcome, f"{numbers}. {words} {_catch_up(caught)}")


def judge(first: Interval, many: Interval, k: int) -> tuple[str, str]:
    """The outcome in a word or two, and its sentence, from the intervals of the changes at one try and at k tries."""
    gain, loss = first.low > 0, first.high < 0
    more, fewer = many.low > 0, many.high < 0
    if loss:
        return "worse", "It is right less often at the first try."
    if gain and fewer:
        return (
            "sharpened",
            f"It is right more often at the first try, and solves fewer problems in {k} tries.",
        )
    if gain and more:
        return "better at both", f"It is right more often at the first try, and solves more in {k} tries."
    if gain and many.low < -KEPT_WITHIN:
        points = f"{-100 * many.low:.0f} points"
        return "unclear", f"It is right more often at the first try; in {k} tries a loss of {points} is not ruled out."
    if gain:
        return "kept", f"It is right more often at the first try, without a measurable loss in {k} tries."
    if fewer:
        return "narrowed", f"It solves fewer problems in {k} tries, and gains nothing at the first."
    if more:
        return "widened", f"It solves more problems in {k} tries, without a measurable gain at the first."
    return "unchanged", "No measurable change."


def _catch_up(caught: Crossover) -> str:
    if caught.k is None:
        return f"The base model does not catch up within {caught.max_k} samples."
    if caught.k == 1:
        return "The base model is at least as good from the first sample on."
    low, high = ("never" if bound is None else str(bound) for bound in (caught.low, caught.high))
    return f"The base model catches up at k = {caught.k} [{low}, {high}]."


def _difference(a: Evaluation, b: Evaluation, k: int) -> Interval:
    return paired_bootstrap_difference(a.pass_at(k), b.pass_at(k))


def _more(change: Interval, more: str, same: str, less: str) -> str:
    """The word that the interval supports."""
    return more if change.low > 0 else less if change.high < 0 else same


def _mean(evaluation: Evaluation, k: int) -> str:
    return format_number(float(evaluation.pass_at(k).mean()), 2)


def _signed(change: Interval) -> str:
    value, low, high = (
        ("+" if x > 0 else "") + format_number(x, 2).replace("-", "−") for x in (change.value, change.low, change.high)
    )
    return f"{value} [{low}, {high}]"
