"""Samples that are already there: our own evaluation folders, and the files of other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError, InputError, UnknownNameError
from unsharpen.evaluation.formats import lighteval, lm_eval, native, plain, verl
from unsharpen.evaluation.formats.common import Format, Import, Options
from unsharpen.evaluation.formats.files import ENDINGS, read_rows
from unsharpen.evaluation.regrade import graded_anew
from unsharpen.metrics import SampleTable
from unsharpen.tasks.countdown.task import AnswerFormat

FORMATS: dict[str, Format] = {
    one.name: one for one in (native.FORMAT, lm_eval.FORMAT, lighteval.FORMAT, verl.FORMAT, plain.FORMAT)
}
"""In the order in which they are tried."""

_MASKED = 4096  # sample ids below are kept as bits, a few bytes a problem


def load_samples(
    path: str | Path,
    *,
    format: str | None = None,
    label: str | None = None,
    task: str | None = None,
    answer_format: AnswerFormat = "tags",
    metric: str | None = None,
    filter: str | None = None,
    threshold: float | None = None,
    problem_column: str | None = None,
    completion_column: str | None = None,
    correct_column: str | None = None,
    answer_column: str | None = None,
) -> SampleTable:
    """Read samples of one model on one task from a file or folder of any known format.

    Args:
        path: a folder that `unsharpen eval` wrote, or its samples.jsonl; a sample log of lm-evaluation-harness, a
            details file of lighteval, a dump of verl, or a JSONL, JSON, CSV or Parquet file with a row per sample; or a
            folder of such a tool.
        format: "unsharpen", "lm-eval", "lighteval", "verl" or "plain"; default: told by the columns.
        label: the model's name; default: the file's, or the name of the file.
        task: grade the completions anew with this task ("countdown"), which also tells solutions apart.
        answer_format: for that, where a completion has its answer: "tags", "boxed" or "bare".
        metric: lm-eval, lighteval, verl: which value says whether a sample is right.
        filter: lm-eval: which filter's verdicts count, where the log has several.
        threshold: from which value on a score is right; without it a verdict must be true, false, 0 or 1.
        problem_column: plain: the column that tells problems apart; likewise the three others.
        completion_column: the text of the sample.
        correct_column: the verdict.
        answer_column: the answer or solution, equal for samples that are the same. Where it is not named, a column
            `answer` that is each problem's key is not read.

    Returns:
        SampleTable; its settings hold ``format``, ``file``, and under ``notes`` what a reader should know of the
        import (a half-written last line, texts that had to be left out, ...).

    Raises:
        DataError: no such file, not recognised (says what was looked for), malformed (says in which row), a repeated
            sample id, several tasks or models, or a verdict that is none.
        InputError: an option that the format has no use for.
        UnknownNameError: a format or task by another name.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise UnknownNameError(f"format must be one of {', '.join(FORMATS)}; found {format!r}")
    if not path.exists():
        raise DataError(f"{path}: expected a file or folder of samples; there is none")
    regrade = None if task is None else True
    options = Options(
        metric, filter, threshold, problem_column, completion_column, correct_column, answer_column, regrade
    )
    chosen, files = _folder(path, format) if path.is_dir() else (_file(path, format), [path])
    _refuse_unused(options, chosen)
    found = chosen.read(files, options)
    rows = found.samples if task is None else graded_anew(found, task, answer_format)
    table = SampleTable.from_rows(_checked(rows, found), label="", problems=found.problems)
    if table.num_problems == 0:
        raise DataError(f"{path}: expected at least 1 sample; found none")
    name = label or found.label or (path.name if path.is_dir() else path.stem)
    imported = {"format": chosen.name, "file": str(path), "notes": tuple(found.notes)}
    return replace(table, label=name, settings=found.settings | imported)


def _folder(path: Path, name: str | None) -> tuple[Format, list[Path]]:
    tried = FORMATS.values() if name is None else [FORMATS[name]]
    for one in tried:
        if files := one.find(path):
            return one, files
    is_run = (path / "config.json").is_file() and (path / "evaluation.jsonl").is_file()
    raise DataError(
        f"{path}: expected a folder with samples.jsonl (unsharpen), samples_<task>_<date>.jsonl (lm-eval), "
        f"details_<task>_<date>.parquet (lighteval) or <step>.jsonl (verl); found none of "
        f"{'these' if name is None else name}",
        hint=f"this is the folder of a training run: unsharpen report {path}"
        if is_run
        else "name a file instead of the folder",
    )


def _file(path: Path, name: str | None) -> Format:
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path} must end in {', '.join(ENDINGS)}; found '{path.suffix}'")
    if name is not None:
        return FORMATS[name]
    first = next(read_rows(path, []), None)
    if first is None:
        raise DataError(f"{path}: expected at least 1 whole row; found none")
    where, row = first
    for one in FORMATS.values():
        if one.matches(row):
            return one
    looked = "; ".join(f"{one.name} ({one.looks_for})" for one in FORMATS.values())
    raise DataError(
        f"{where}: the format is not recognised; found the columns {', '.join(map(str, row))}. Looked for: {looked}",
        hint="name the columns: --format plain --problem-column NAME --correct-column NAME",
    )


def _refuse_unused(options: Options, chosen: Format) -> None:
    unused = [
        name for name, value in vars(options).items() if value is not None and name not in chosen.uses | {"regrade"}
    ]
    if unused:
        raise InputError(
            f"the format {chosen.name} has no use for {', '.join(unused)}",
            hint=f"it takes {', '.join(sorted(chosen.uses))}; choose another with --format",
        )


def _checked(rows: Iterator[dict[str, Any]], found: Import) -> Iterator[dict[str, Any]]:
    """The rows, while they are of one task and no sample comes twice."""
    task: str | None = None
    masks: dict[str, int] = {}
    others: set[tuple[str, str]] = set()
    for row in rows:
        if (name := row.get("task")) is not None and name != task:
            if task is not None:
                raise DataError(
                    f"{row['where']}: one task at a time; found {name!r} after {task!r}",
                    hint="split the file by task, or name the file of one task",
                )
            task = name
        if (sample := row.get("sample_id")) is not None:
            problem = row["problem_id"]
            if type(sample) is int and 0 <= sample < _MASKED:
                before = masks.get(problem, 0)
                masks[problem] = after = before | (1 << sample)
                repeated = after == before
            else:
                key = (problem, str(sample))
                repeated = key in others
                others.add(key)
            if repeated:
                raise DataError(
                    f"{row['where']}: sample ids must differ within a problem; sample {sample} of {problem[:60]!r} "
                    "comes again",
                    hint="remove the repeated rows; counted twice they would bias every metric",
                )
        yield row
    if task is not None:
        found.settings.setdefault("task", task)
