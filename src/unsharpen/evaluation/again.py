"""Grade an evaluation again from its stored texts, into a new folder: another grader, other answers, no sampling."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation.folder import claim, read_problems, read_settings
from unsharpen.evaluation.problems import ProblemSet, strip_thinking
from unsharpen.evaluation.provenance import versions
from unsharpen.evaluation.rows import Row
from unsharpen.evaluation.store import SampleStore, read_samples
from unsharpen.tasks import CountDown, get_task
from unsharpen.tasks.math.problem import MathProblem

_BATCH: Final = 4096
_PART: Final = ".part"


@dataclass(frozen=True)
class Regraded:
    """What grading again has changed.

    Attributes:
        num_samples: graded.
        reasons: (reason before, reason after) -> samples, where the verdict's word or its truth changed.
        gained: wrong before, correct now.
        lost: correct before, wrong now.
        renamed: the same verdict, another identity of the answer.
    """

    num_samples: int
    gained: int
    lost: int
    renamed: int
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)


def grade_again(
    source: Path,
    target: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    problem_column: str | None = None,
    answer_column: str | None = None,
    answer_format: str | None = None,
    thinking: bool | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Regraded:
    """Grade every stored sample of a folder anew; texts, log-probs and seeds stay, and the old folder is not touched.

    The new folder appears when it is complete; what a killed call leaves (``NAME.part``) is replaced by the next.
    Its settings are the old ones, with what changed, and under ``regraded`` where it comes from and by which versions
    it was graded; ``versions`` stay those of the sampling.

    Args:
        source: what ``unsharpen eval`` wrote.
        target: the new folder; must not exist.
        data: problems with other answers: a file or a hub id; None takes questions and answers from the folder.
        split: of a hub data set.
        problem_column: of ``data``, the question.
        answer_column: of ``data``, the answer.
        answer_format: where completions have their answers; None is as before.
        thinking: True grades only what follows ``</think>``; None is as before.
        progress: told the number of samples done.

    Raises:
        DataError: the folder holds no evaluation or a broken one, or ``data`` lacks one of its problems.
        InputError: the new folder exists, or can't be written.
    """
    if not source.is_dir():
        raise DataError(f"{source} must be a folder of `unsharpen eval`; there is no such folder")
    settings = read_settings(source)
    if settings is None or not settings.get("task"):
        raise DataError(f"{source} must be a folder of `unsharpen eval`; it has no settings.json with a task")
    if target.exists():
        raise InputError(f"{target} is there already", hint="choose another --output; the old verdicts are kept")
    columns = {"problem_column": problem_column, "answer_column": answer_column}
    named = {key: value for key, value in columns.items() if value is not None}
    if named and data is None:
        raise InputError(f"{' and '.join(named)} must come with data", hint="give --data")
    answer_format = answer_format or settings.get("answer_format")
    task: Any = get_task(settings["task"], **named, **({"answer_format": answer_format} if answer_format else {}))
    stored = read_problems(source)
    if data is None:
        problems = {row["problem_id"]: _stored(task, row, source) for row in stored}
    else:
        problems = _given(task, stored, data, split)
        settings |= {"source": data, "split": split or settings.get("split")}
    before = settings.get("strip_thinking") or settings.get("reasoning_apart")  # of which only the rest was graded
    strip = bool(before) if thinking is None else thinking
    origin = {"from": str(source.resolve()), "versions": versions("unsharpen", "math-verify")}
    settings |= {"answer_format": answer_format, "strip_thinking": strip, "regraded": origin}
    for name in ("num_problems", "problems_sha256"):
        settings.pop(name, None)
    asked = ProblemSet(task, problems, str(settings.get("source")), str(settings.get("split")))
    part = target.with_name(target.name + _PART)
    shutil.rmtree(part, ignore_errors=True)
    try:
        with SampleStore(part) as store:
            claim(part, settings, asked.rows())
            found = _grade(asked, read_samples(source), store, strip, progress)
        os.rename(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)  # all of it can be had again
        raise
    return found


def _grade(
    asked: ProblemSet, rows: Iterator[Row], store: SampleStore, strip: bool, progress: Callable[[int], None]
) -> Regraded:
    counts: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    while batch := list(islice(rows, _BATCH)):
        unknown = [row["problem_id"] for row in batch if row["problem_id"] not in asked.problems]
        if unknown:
            raise DataError(f"samples must belong to a known problem; {unknown[0][:80]!r} is not in problems.jsonl")
        texts = [strip_thinking(row["completion"]) if strip else row["completion"] for row in batch]
        verdicts = asked.judge([row["problem_id"] for row in batch], texts)
        new = []
        for row, verdict in zip(batch, verdicts, strict=True):
            after = {"correct": verdict.correct, "reason": verdict.reason, "canonical": verdict.canonical}
            if (row["correct"], row["reason"]) != (verdict.correct, verdict.reason):
                reasons[row["reason"], verdict.reason] += 1
                counts["gained"] += verdict.correct and not row["correct"]
                counts["lost"] += row["correct"] and not verdict.correct
            else:
                counts["renamed"] += row["canonical"] != verdict.canonical
            new.append(row | after)
        store.append(new)
        counts["all"] += len(new)
        progress(counts["all"])
    return Regraded(counts["all"], counts["gained"], counts["lost"], counts["renamed"], dict(reasons.most_common()))


def _stored(task: Any, row: Mapping[str, Any], folder: Path) -> Any:
    """The problem of a line of problems.jsonl."""
    name = row["problem_id"]
    try:
        if isinstance(task, CountDown):
            numbers, _, target = name.partition("=")
            return task.from_row({"nums": numbers, "target": target})
        return MathProblem(row.get("text", ""), row.get("answer", ""))
    except (DataError, InputError) as error:
        raise DataError(f"{folder}: problem {name[:80]!r} can't be graded again: {error.message}") from None


def _given(task: Any, stored: list[dict[str, Any]], data: str, split: str | None) -> dict[str, Any]:
    """The folder's problems, with the answers of a data set."""
    loaded = {problem.key: problem for problem in task.load(data, split=split or "train")}
    missing = [row["problem_id"] for row in stored if row["problem_id"] not in loaded]
    if missing:
        raise DataError(
            f"{data} must have every problem of the folder; {len(missing)} of {len(stored)} are missing "
            f"(first: {missing[0][:80]!r})",
            hint="questions are told apart by their text; is it the same set and split?",
        )
    return {row["problem_id"]: loaded[row["problem_id"]] for row in stored}
