"""Sample logs of lm-evaluation-harness: <model>/samples_<task>_<date>.jsonl, as --log_samples writes them.

A row is one document under one filter. With `repeats` a row has several responses but one value of each metric: that
says which of them are right only where the metric lists them, or where each has an extracted answer that can be held
against the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError
from unsharpen.evaluation.formats.common import (
    AnswerNames,
    Format,
    Import,
    Options,
    Row,
    as_correct,
    as_problem,
    has,
    one_model,
)
from unsharpen.evaluation.formats.files import read_rows

_NAME = re.compile(r"samples_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*\.jsonl")
_KNOWN = ("exact_match", "acc", "pass@1", "pass_at_1", "math_verify", "extractive_match")
_INVALID = "[invalid]"  # what the harness's regex filter gives where nothing matched


def _read(files: Sequence[Path], options: Options) -> Import:
    one_model(path.parent for path in files)
    found = Import(samples=iter(()))
    found.samples = _samples(files, options, found)
    return found


def _samples(files: Sequence[Path], options: Options, found: Import) -> Iterator[dict[str, Any]]:
    filters: set[str] = set()
    names = AnswerNames(_INVALID)
    metric = options.metric
    for path in files:
        task = match["task"] if (match := _NAME.fullmatch(path.name)) else None
        for where, row in read_rows(path, found.notes):
            if not _matches(row):
                raise DataError(f"{where}: needs the columns {FORMAT.looks_for}; found {', '.join(row)}")
            name = str(row.get("filter", "none"))
            filters.add(name)
            if options.filter not in (None, name):
                continue
            if options.filter is None and len(filters) > 1:
                raise DataError(
                    f"{where}: the log judges each response under several filters ({', '.join(sorted(filters))})",
                    hint=f"choose one: --filter {name}",
                )
            metric = metric or ("" if options.regrade else _metric(row, where))
            yield from _row(row, where, task, metric, options, found, names)
    if options.filter is not None and options.filter not in filters:
        raise DataError(f"no row has the filter {options.filter!r}; found {', '.join(sorted(filters))}")
    if metric:
        found.settings["metric"] = metric


def _row(
    row: dict[str, Any],
    where: str,
    task: str | None,
    metric: str,
    options: Options,
    found: Import,
    names: AnswerNames,
) -> Iterator[dict[str, Any]]:
    problem, target = as_problem(row["doc_id"], where, "doc_id"), row.get("target")
    found.problems.setdefault(
        problem, {"text": _question(row["doc"]), "answer": None if target is None else str(target)}
    )
    texts = _flat(row["resps"])
    answers = _flat(row["filtered_resps"])
    if metric not in row and not options.regrade:
        raise DataError(f"{where}: has no metric {metric!r}; it has {', '.join(map(str, row.get('metrics', ())))}")
    verdicts = _verdicts(row.get(metric), texts, answers, target, where, metric, options, found)
    named = len(answers) == len(texts) and answers != texts
    for text, answer, right in zip(texts, answers if named else [None] * len(texts), verdicts, strict=True):
        yield {
            "problem_id": problem,
            "correct": right,
            "completion": text if isinstance(text, str) else None,
            "canonical": names(problem, answer, right),
            "task": task,
            "where": where,
            "fields": row["doc"] if isinstance(row["doc"], dict) else {},
        }


def _verdicts(
    value: Any,
    texts: list[Any],
    answers: list[Any],
    target: Any,
    where: str,
    metric: str,
    options: Options,
    found: Import,
) -> list[bool]:
    """Whether each response is right, or an error where the log does not say."""
    if isinstance(value, list) and len(value) == len(texts):
        return [as_correct(one, where, metric, options) for one in value]
    if len(texts) == 1 or options.regrade:
        return [as_correct(value, where, metric, options)] * len(texts)
    if len(answers) == len(texts) and target is not None:
        same = [str(answer).strip() == str(target).strip() for answer in answers]
        if as_correct(value, where, metric, options) in (same[0], any(same)):
            note = f"`{metric}` judges one of several responses: each is held against the target as text instead"
            if note not in found.notes:
                found.notes.append(note)
            return same
    raise DataError(
        f"{where}: `{metric}` has one value for {len(texts)} responses: which of them are right is not in the log",
        hint="log one response per document (repeats: 1) in several runs, or grade anew with --task",
    )


def _metric(row: Row, where: str) -> str:
    listed = [str(name) for name in row.get("metrics", ()) if name in row]
    found = listed or [name for name in _KNOWN if name in row]
    preferred = [name for name in _KNOWN if name in found] or found
    if len(found) == 1 or (preferred and preferred[0] in _KNOWN):
        return preferred[0]
    raise DataError(
        f"{where}: which metric says whether a response is right? found {', '.join(found) or 'none'}",
        hint="choose one: --metric NAME",
    )


def _flat(value: Any) -> list[Any]:
    """The responses of a row: requests times repeats; a log-likelihood stays as it is."""
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(item, list) and all(isinstance(text, str) for text in item) for item in items):
        return [text for item in items for text in item]
    return items if all(isinstance(item, str) for item in items) else [items]


def _question(doc: Any) -> str | None:
    if isinstance(doc, dict):
        for name in ("problem", "question", "Problem", "query", "prompt"):
            if isinstance(doc.get(name), str):
                return str(doc[name])
    return None


def _find(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("samples_*.jsonl") if _NAME.fullmatch(path.name))


def _matches(row: Row) -> bool:
    return has(row, "doc_id", "doc", "resps", "filtered_resps")


FORMAT = Format(
    "lm-eval",
    "doc_id, doc, resps, filtered_resps",
    _matches,
    _find,
    _read,
    frozenset({"metric", "filter", "threshold"}),
)
