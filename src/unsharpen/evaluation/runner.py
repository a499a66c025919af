"""Judge samples and count: what one evaluation of one model comes to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unsharpen.metrics import effective_number
from unsharpen.tasks import CountDown, Task, verify_many


def judge(
    task: Task[Any],
    problems: Sequence[Any],
    completions: Iterable[list[str]],
    *,
    multiplicity: Sequence[int] | None = None,
    samples_path: Path | None = None,
) -> dict[str, Any]:
    """Verify every completion and count per problem.

    Args:
        task: the verifier.
        problems: [P] problems.
        completions: for each problem, in order, the same number n of completions.
        multiplicity: [P] number of distinct solutions that exist; None counts them where the task is CountDown, which
            takes seconds for a problem of 6 numbers.
        samples_path: where to write one JSON line per sample; None keeps no samples.

    Returns:
        ``num_problems``, ``num_samples`` and, per problem, ``num_correct``, ``distinct_correct``,
        ``effective_solutions`` (None below two correct ones) and ``multiplicity``. The last three are None for tasks
        whose correct answers are all the same solution.
    """
    num_correct: list[int] = []
    distinct: list[int] = []
    effective: list[float | None] = []
    num_samples = 0
    sink = samples_path.open("w", encoding="utf-8") if samples_path is not None else None
    try:
        for problem, texts in zip(problems, completions, strict=True):
            verdicts = verify_many(task, [problem] * len(texts), texts)
            found = Counter(v.canonical for v in verdicts if v.correct)
            num_samples = len(texts)
            num_correct.append(found.total())
            distinct.append(len(found))
            effective.append(effective_number(list(found.values())) if found.total() >= 2 else None)
            if sink is not None:
                for text, v in zip(texts, verdicts, strict=True):
                    row = {"problem": problem.key, "completion": text, "reason": v.reason, "canonical": v.canonical}
                    sink.write(json.dumps({**row, "correct": v.correct}) + "\n")
    finally:
        if sink is not None:
            sink.close()
    counts: dict[str, Any] = {
        "num_problems": len(problems),
        "num_samples": num_samples,
        "num_correct": num_correct,
    }
    if not isinstance(task, CountDown):
        return {**counts, "distinct_correct": None, "effective_solutions": None, "multiplicity": None}
    if multiplicity is None:
        multiplicity = [len(task.solutions(p)) for p in problems]
    solutions = {"distinct_correct": distinct, "effective_solutions": effective, "multiplicity": list(multiplicity)}
    return {**counts, **solutions}
