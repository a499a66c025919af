"""Samples of one model on one set of problems, as columns: what every metric and every report starts from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, Integers, verdicts

UNREADABLE = -1
"""The answer code of a completion without a readable answer."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleTable:
    """N samples of P problems, validated once. Problems may have different numbers of samples.

    Args:
        label: the model's name for tables and legends.
        problem_ids: [P] identity of each problem, all different; tables are paired by it.
        problem: [N] which problem a sample belongs to, 0 to P-1.
        correct: [N] the verdict: true or false; the numbers 1 and 0 are made that.
        answers: [N] codes; equal codes within a problem are the same answer or solution, :data:`UNREADABLE` is none.
        answer_names: text of each code.
        completions: [N] texts, where they were kept.
        reasons: [N] the verdicts' reasons (``"correct"``, ``"timeout"``, ...), where known.
        logprobs: [N] summed over tokens, nats; NaN where unknown.
        lengths: [N] tokens; 0 where unknown.
        problem_texts: [P] what a reader should see of the problem.
        multiplicity: [P] number of distinct correct solutions that exist, where the task can count them.
        settings: how the samples were made (task, split, temperature, top_p, seed, versions, ...).

    Raises:
        InputError: columns of different lengths, a problem index or answer code out of range, a verdict that is none, a
            repeated problem id.
    """

    label: str
    problem_ids: Sequence[str]
    problem: Integers
    correct: NDArray[np.bool_]
    answers: Integers
    answer_names: Sequence[str] = ()
    completions: Sequence[str] | None = None
    reasons: Sequence[str] | None = None
    logprobs: Floats | None = None
    lengths: Integers | None = None
    problem_texts: Sequence[str] | None = None
    multiplicity: Integers | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        num, problems = len(self.problem), len(self.problem_ids)
        per_sample = ("correct", "answers", "completions", "reasons", "logprobs", "lengths")
        for names, wanted in ((per_sample, num), (("problem_texts", "multiplicity"), problems)):
            for name in names:
                column = getattr(self, name)
                if column is not None and len(column) != wanted:
                    raise InputError(f"`{name}` must have {wanted} entries; found {len(column)}")
        object.__setattr__(self, "correct", verdicts(self.correct))
        for name, low, high in (("problem", 0, problems), ("answers", UNREADABLE, len(self.answer_names))):
            values = getattr(self, name)
            bad = np.flatnonzero((values < low) | (values >= high))
            if bad.size:
                raise InputError(f"`{name}` must lie in {low}..{high - 1}; sample {bad[0]} has {values[bad[0]]}")
        if len(set(self.problem_ids)) != problems:
            repeated = Counter(self.problem_ids).most_common(1)[0][0]
            raise InputError(f"problem ids must differ; {repeated!r} comes more than once")

    @property
    def num_problems(self) -> int:
        return len(self.problem_ids)

    @cached_property
    def num_samples(self) -> Integers:
        """[P] samples of each problem."""
        return np.bincount(self.problem, minlength=self.num_problems).astype(np.int64)

    @cached_property
    def num_correct(self) -> Integers:
        """[P] correct samples of each problem."""
        return np.bincount(self.problem[self.correct], minlength=self.num_problems).astype(np.int64)

    def answer_counts(self, *, correct: bool | None = None) -> list[Counter[int]]:
        """[P] how often each readable answer code came: of all samples, of the correct ones, or of the wrong ones."""
        kept = self.answers != UNREADABLE
        if correct is not None:
            kept = kept & (self.correct == correct)
        counts: list[Counter[int]] = [Counter() for _ in self.problem_ids]
        width = max(1, len(self.answer_names))
        keys, times = np.unique(self.problem[kept] * width + self.answers[kept], return_counts=True)
        for key, n in zip(keys.tolist(), times.tolist(), strict=True):
            counts[key // width][key % width] = n
        return counts

    def select(self, problems: Integers) -> SampleTable:
        """The table of some problems, in the order of their indices [Q]; samples keep their order within a problem."""
        where = np.full(self.num_problems, -1, dtype=np.int64)
        where[problems] = np.arange(len(problems))
        rows = np.flatnonzero(where[self.problem] >= 0)
        rows = rows[np.argsort(where[self.problem[rows]], kind="stable")]

        def of(column: Any, indices: Integers) -> Any:
            if column is None or isinstance(column, np.ndarray):
                return None if column is None else column[indices]
            return tuple(column[i] for i in indices.tolist())

        per_sample = ("correct", "answers", "completions", "reasons", "logprobs", "lengths")
        per_problem = ("problem_ids", "problem_texts", "multiplicity")
        changed = {name: of(getattr(self, name), rows) for name in per_sample}
        changed |= {name: of(getattr(self, name), problems) for name in per_problem}
        return replace(self, problem=where[self.problem[rows]], **changed)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        label: str,
        problems: Mapping[str, Mapping[str, Any]] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> SampleTable:
        """Columns from one mapping per sample.

        A row holds ``problem_id`` and ``correct``, and where known ``canonical``, ``completion``, ``reason``,
        ``logprob`` and ``num_tokens``.

        Args:
            rows: the samples, in any order.
            label: the model's name.
            problems: problem id -> ``{"text": ..., "multiplicity": ...}``; both may be missing.
            settings: kept as they are.

        Raises:
            InputError: a verdict that is neither true nor false, 1 nor 0.
        """
        ids: dict[str, int] = {}
        codes: dict[str, int] = {}
        columns: dict[str, list[Any]] = {key: [] for key in ("problem", "correct", "answers")}
        optional: dict[str, list[Any]] = {key: [] for key in ("completion", "reason", "logprob", "num_tokens")}
        for row in rows:
            canonical = row.get("canonical")
            columns["problem"].append(ids.setdefault(row["problem_id"], len(ids)))
            columns["correct"].append(row["correct"])
            columns["answers"].append(UNREADABLE if canonical is None else codes.setdefault(canonical, len(codes)))
            for key, values in optional.items():
                values.append(row.get(key))
        known = {key: values for key, values in optional.items() if any(v is not None for v in values)}
        about: list[Mapping[str, Any]] = [(problems or {}).get(name, {}) for name in ids]
        texts: list[Any] = [entry.get("text") for entry in about]
        multiplicity: list[Any] = [entry.get("multiplicity") for entry in about]
        return cls(
            label=label,
            problem_ids=tuple(ids),
            problem=np.asarray(columns["problem"], dtype=np.int64),
            correct=verdicts(columns["correct"]),
            answers=np.asarray(columns["answers"], dtype=np.int64),
            answer_names=tuple(codes),
            completions=_texts(known.get("completion")),
            reasons=_texts(known.get("reason")),
            logprobs=_numbers(known.get("logprob"), np.nan, np.float64),
            lengths=_numbers(known.get("num_tokens"), 0, np.int64),
            problem_texts=None if None in texts else tuple(texts),
            multiplicity=None if None in multiplicity else np.asarray(multiplicity, dtype=np.int64),
            settings=settings or {},
        )


def _texts(values: list[Any] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple("" if value is None else value for value in values)


def _numbers(values: list[Any] | None, missing: float, dtype: Any) -> Any:
    return None if values is None else np.asarray([missing if v is None else v for v in values], dtype=dtype)
