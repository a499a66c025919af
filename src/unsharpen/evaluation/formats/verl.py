"""Rollout and validation dumps of verl: <step>.jsonl under trainer.rollout_data_dir or trainer.validation_data_dir.

A row is one sample: input (the prompt), output, gts (the ground truth), score, step, and whatever the reward function
adds, such as acc and pred. Rows with the same input are samples of one problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError
from unsharpen.evaluation.formats.common import AnswerNames, Format, Import, Options, Row, as_correct, as_text, has
from unsharpen.evaluation.formats.files import read_rows

_INVALID = "[INVALID]"  # what verl's maths reward gives as pred where no answer was found


def _read(files: Sequence[Path], options: Options) -> Import:
    if len(files) > 1:
        steps = ", ".join(path.stem for path in files)
        raise DataError(
            f"{files[0].parent}: one step is needed; found the steps {steps}",
            hint=f"name the file of one: {files[-1]}",
        )
    found = Import(samples=iter(()))
    found.samples = _samples(files[0], options, found)
    return found


def _samples(path: Path, options: Options, found: Import) -> Iterator[dict[str, Any]]:
    step: Any = None
    names = AnswerNames(_INVALID)
    column = options.metric
    for where, row in read_rows(path, found.notes):
        if not _matches(row):
            raise DataError(f"{where}: needs the columns {FORMAT.looks_for}; found {', '.join(row)}")
        if step is not None and row.get("step", step) != step:
            raise DataError(f"{where}: one step a file; found step {row['step']} after {step}")
        step = row.get("step", step)
        column = column or ("acc" if "acc" in row else "score")
        if column not in row and not options.regrade:
            raise DataError(f"{where}: has no column {column!r}; it has {', '.join(row)}")
        right = as_correct(row.get(column), where, column, options)
        problem, truth = as_text(row["input"], where, "input"), row.get("gts")
        found.problems.setdefault(problem, {"text": problem, "answer": truth if isinstance(truth, str) else None})
        yield {
            "problem_id": problem,
            "correct": right,
            "completion": as_text(row["output"], where, "output"),
            "canonical": names(problem, row.get("pred"), right),
            "where": where,
            "fields": row,
        }
    found.settings |= {"step": step, "metric": column}


def _find(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("*.jsonl") if path.stem.isdecimal()), key=lambda path: int(path.stem))


def _matches(row: Row) -> bool:
    return has(row, "input", "output", "score")


FORMAT = Format("verl", "input, output, score", _matches, _find, _read, frozenset({"metric", "threshold"}))
