"""One model of a report on evaluations: its counts and curves, computed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import InputError
from unsharpen.metrics import (
    AnswerGroups,
    Interval,
    MajorityCurve,
    SampleTable,
    answer_groups,
    default_ks,
    g_pass_at_k,
    majority_curve,
    pass_at_k,
)
from unsharpen.metrics.bootstrap import check_level, resample_counts
from unsharpen.reports.summary import KS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
PASS, MAJORITY, HALF, ALL = "Pass@k", "maj@k", "G-Pass@k, half right", "G-Pass@k, all right"


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
    def solutions(self) -> AnswerGroups:
        """The correct samples by solution."""
        return answer_groups(self.table, correct=True)

    @property
    def knows_solutions(self) -> bool:
        """Whether any correct sample says which solution it is."""
        return bool(self.solutions.count.size)

    @cached_property
    def distinct(self) -> Floats:
        """[P] distinct correct solutions; NaN everywhere where none is known."""
        found = self.solutions.distinct.astype(np.float64)
        return found if self.knows_solutions else np.full(found.size, np.nan)

    @property
    def effective(self) -> Floats:
        """[P] effective number of correct solutions; NaN below two correct samples."""
        return self.solutions.effective

    @property
    def pairwise(self) -> Floats:
        """[P] chance that two correct samples are different solutions, unbiased; NaN below two correct samples."""
        return self.solutions.pairwise

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
    def majority(self) -> MajorityCurve | None:
        """maj@k at the k of the curve; None where no answer is known."""
        return majority_curve(self.table, self.curve) if (self.table.answers >= 0).any() else None

    @cached_property
    def curves(self) -> dict[str, list[Interval]]:
        """Every curve that the page can draw, at the k of `curve`, by its name."""
        n, c, ks = self.table.num_samples, self.table.num_correct, list(self.curve)
        found = {PASS: list(self.curve.values())}
        if self.majority is not None:
            found[MAJORITY] = bootstrap_columns(list(self.majority.values))
        for name, tau in ((HALF, 0.5), (ALL, 1.0)):
            found[name] = bootstrap_columns([np.asarray(g_pass_at_k(n, c, k, tau)) for k in ks])
        return found

    @cached_property
    def position(self) -> dict[str, int]:
        """Row of each problem id."""
        return {name: i for i, name in enumerate(self.table.problem_ids)}


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
    names = [_short(table.label) for table in tables]
    many, seen = Counter(names), Counter[str]()
    out = []
    for table, name in zip(tables, names, strict=True):
        seen[name] += 1
        out.append(Model(table, f"{name} ({seen[name]})" if many[name] > 1 else name))
    return out


def _short(label: str) -> str:
    """Of a model's path the two folders that name the run: /data/runs/grpo/seed-0/model is grpo/seed-0."""
    path = PurePosixPath(label)
    if not path.is_absolute():
        return label
    return "/".join([part for part in path.parts[1:] if part != "model"][-2:]) or label


def shared_rows(reference: Model, model: Model) -> tuple[Integers, Integers]:
    """Rows of the problems that both answered, in the reference's order."""
    pairs = [
        (row, model.position[name]) for row, name in enumerate(reference.table.problem_ids) if name in model.position
    ]
    ours = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return ours[:, 0], ours[:, 1]
