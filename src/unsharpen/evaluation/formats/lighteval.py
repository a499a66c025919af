"""Details files of lighteval: details/<org>/<model>/<date>/details_<task>_<date>.parquet, in either layout.

Older: one column per field (example, full_prompt, predictions, gold, metrics, specifics). Newer: doc, metric and
model_response, with or without underscores around the names. A row is one document; with several samples its metric is
a share, which says how many are right, not which: such a table has counts and no texts. Where lighteval could not
write nested columns it wrote them as text in Python's notation, which is read as literals.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
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

_NAME = re.compile(r"details_(?P<task>.+?)_\d{4}-\d\d-\d\dT.*\.parquet")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT.*")
_SHARE = re.compile(r"(?:^|_)(?:pass@1(?::|$)|pass@k:k=1(?:&|$)|avg@)")  # the share of the samples that is right
_KNOWN = ("extractive_match", "exact_match", "em", "qem", "acc")
_LITERAL_CHARS = 1 << 26


def _read(files: Sequence[Path], options: Options) -> Import:
    folders = (path.parent for path in files)
    one_model(folder.parent if _DATE.fullmatch(folder.name) else folder for folder in folders)
    found = Import(samples=iter(()))
    found.samples = _samples(files, options, found)
    return found


def _samples(files: Sequence[Path], options: Options, found: Import) -> Iterator[dict[str, Any]]:
    metric, names = options.metric, AnswerNames("")
    for path in files:
        task = match["task"] if (match := _NAME.fullmatch(path.name)) else None
        for where, row in read_rows(path, found.notes):
            question, texts, scores, gold, extracted = _document(row, where)
            metric = metric or ("" if options.regrade else _metric(scores, where))
            if scores.get(metric) is None and not options.regrade:
                raise DataError(f"{where}: has no metric {metric!r}; it has {', '.join(scores)}")
            found.problems.setdefault(question, {"text": question, "answer": gold})
            base = {"problem_id": question, "task": task, "where": where, "fields": row}
            if len(texts) == 1 or options.regrade:
                right = as_correct(scores.get(metric), where, metric, options)
                canonical = names(question, extracted, right)
                yield from ({**base, "correct": right, "completion": text, "canonical": canonical} for text in texts)
                continue
            note = f"`{metric}` says how many of a problem's samples are right, not which: texts are left out"
            if note not in found.notes:
                found.notes.append(note)
            num_right = _count(scores[metric], len(texts), where, metric)
            yield from ({**base, "correct": i < num_right} for i in range(len(texts)))
    if metric:
        found.settings["metric"] = metric


def _document(row: Row, where: str) -> tuple[str, list[str], Mapping[str, Any], str | None, str | None]:
    """Question, completions, metrics, gold answer and the extracted answer of a row of either layout."""
    if has(row, "predictions", "metrics"):
        question = as_problem(row.get("example") or row.get("full_prompt"), where, "full_prompt")
        texts, scores = _literal(row["predictions"], where, "predictions"), _literal(row["metrics"], where, "metrics")
        gold, specific = _literal(row.get("gold"), where, "gold"), _literal(row.get("specifics"), where, "specifics")
    else:
        parts = {name: _literal(_newer(row, name), where, name) for name in ("doc", "metric", "model_response")}
        wrong = [name for name, part in parts.items() if not isinstance(part, Mapping)]
        if wrong:
            raise DataError(f"{where}: needs the columns {FORMAT.looks_for}; found {', '.join(row)}")
        doc, scores, response = parts["doc"], parts["metric"], parts["model_response"]
        question = as_problem(doc.get("query"), where, "query")
        texts, specific = response.get("text"), doc.get("specific")
        gold = _golds(doc)
    flat = [text for item in texts or () for text in (item if isinstance(item, list) else [item])]
    if not flat or not all(isinstance(text, str) for text in flat) or not isinstance(scores, Mapping):
        raise DataError(
            f"{where}: needs generated texts and their metrics; found {str(texts)[:60]}, {str(scores)[:60]}"
        )
    extracted = specific.get("extracted_predictions") if isinstance(specific, Mapping) else None
    found = [str(answer) for answer in extracted] if isinstance(extracted, list) else []
    golds = gold if isinstance(gold, list) else [gold]
    return question, flat, scores, None if not golds or golds[0] is None else str(golds[0]), found[0] if found else None


def _newer(row: Row, name: str) -> Any:
    return row.get(name, row.get(f"__{name}__"))


def _golds(doc: Mapping[str, Any]) -> list[Any]:
    choices, index = doc.get("choices"), doc.get("gold_index")
    indices = index if isinstance(index, list) else [index]
    return [choices[i] for i in indices if isinstance(choices, list) and isinstance(i, int) and 0 <= i < len(choices)]


def _literal(value: Any, where: str, column: str) -> Any:
    """A nested value; where it was written as text, the Python literal that the text is."""
    if not isinstance(value, str):
        return value
    try:
        if len(value) > _LITERAL_CHARS:
            raise ValueError(f"{len(value)} characters, at most {_LITERAL_CHARS}")
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise DataError(f"{where}: `{column}` must be nested or its text; {error}") from error


def _count(value: Any, num: int, where: str, metric: str) -> int:
    """How many of some samples are right, from their share."""
    if not _SHARE.search(metric):
        raise DataError(
            f"{where}: `{metric}` has one value for {num} samples, and is no share of right ones",
            hint="choose a metric such as pass@1 with --metric",
        )
    count = float(value) * num
    if not (-1e-6 <= count <= num + 1e-6) or abs(count - round(count)) > 1e-6 * num:
        raise DataError(f"{where}: `{metric}` must be a share of {num} samples; found {value}")
    return round(count)


def _metric(scores: Mapping[str, Any], where: str) -> str:
    given = [name for name, value in scores.items() if value is not None]
    preferred = [name for name in given if _SHARE.search(name)] or [name for name in _KNOWN if name in given]
    if len(given) == 1 or preferred:
        return (preferred or given)[0]
    raise DataError(
        f"{where}: which metric says whether a sample is right? found {', '.join(given) or 'none'}",
        hint="choose one: --metric NAME",
    )


def _find(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("details_*.parquet") if _NAME.fullmatch(path.name))


def _matches(row: Row) -> bool:
    newer = all(has(row, name) or has(row, f"__{name}__") for name in ("doc", "metric", "model_response"))
    return newer or has(row, "predictions", "metrics", "full_prompt")


FORMAT = Format(
    "lighteval",
    "doc, metric, model_response (or predictions, metrics, full_prompt)",
    _matches,
    _find,
    _read,
    frozenset({"metric", "threshold"}),
)
