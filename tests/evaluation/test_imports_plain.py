"""Plain files: numbers that are text or missing, and an `answer` column that is the key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.exports import answers, own, write

from unsharpen.evaluation.imports import load_samples
from unsharpen.tasks.hub import write_rows


def test_numbers_of_plain_files_may_be_text_or_missing(tmp_path: Path) -> None:
    rows = [{"problem": "a", "correct": 1, "num_tokens": n, "multiplicity": "6"} for n in ("12", "3.0", "")]
    write_rows(tmp_path / "run.csv", rows)
    table = load_samples(tmp_path / "run.csv")
    assert table.lengths is not None
    assert table.multiplicity is not None
    assert (table.lengths.tolist(), table.multiplicity.tolist()) == ([12, 3, 0], [6])


ODD = (12, -1, "n/a", 12.5, True, math.inf, -(10**400), None, "", "nan")
NOTE = "`num_tokens` that are no whole number from 0 on, taken as unknown: 6"


def test_what_is_no_whole_number_is_unknown_and_noted(tmp_path: Path) -> None:
    rows = [{"problem": "a", "correct": 1, "num_tokens": n, "multiplicity": "unknown"} for n in ODD]
    table = load_samples(write(tmp_path / "run.jsonl", rows))
    assert table.lengths is not None
    assert (table.lengths.tolist(), table.multiplicity) == ([12, *[0] * 9], None)
    assert table.settings["notes"] == (NOTE.replace("num_tokens", "multiplicity").replace("6", "10"), NOTE)


def test_so_it_is_in_our_own_format(tmp_path: Path) -> None:
    write(tmp_path / "samples.jsonl", [own("p", i, num_tokens=n) for i, n in enumerate(ODD)])
    write(tmp_path / "problems.jsonl", [{"problem_id": "p", "multiplicity": -1}])
    table = load_samples(tmp_path)
    assert table.lengths is not None
    assert (table.lengths.tolist(), table.multiplicity) == ([12, *[0] * 9], None)
    assert table.settings["notes"] == (NOTE.replace("num_tokens", "multiplicity").replace("6", "1"), NOTE)


def keyed(**more: Any) -> list[dict[str, Any]]:
    """Two samples of two problems, with the problem's right answer beside each."""
    return [
        {"problem": p, "answer": {"a": 3, "b": 4}[p], "completion": f"so {i}", "correct": i == 0, **more}
        for p in "ab"
        for i in range(2)
    ]


def test_an_answer_that_is_right_and_wrong_is_the_key(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl", keyed())
    table = load_samples(path)
    assert answers(table) == [None] * 4
    (note,) = table.settings["notes"]
    assert "`answer` is the same for all samples of each problem, right and wrong: it is taken as the key" in note
    assert "answer_column" not in table.settings["columns"]
    named = load_samples(path, answer_column="answer")
    assert (answers(named), named.settings["notes"]) == (["3", "3", "4", "4"], ())
    extracted = [row | {"extracted_answer": f"{i % 2}"} for i, row in enumerate(keyed())]
    table = load_samples(write(tmp_path / "run.jsonl", extracted))
    assert answers(table) == ["0", "1", "0", "1"]
    assert table.settings["columns"]["answer_column"] == "extracted_answer"


@pytest.mark.parametrize(
    "rows",
    [
        [row | {"correct": row["problem"] == "a"} for row in keyed()],  # nobody says whose answer it is
        [*keyed(), keyed()[-1] | {"answer": 5}],  # a problem with two answers
        [*keyed(), keyed()[-1] | {"answer": None}],  # none could be read: a sample's own
    ],
)
def test_otherwise_an_answer_is_the_samples_own(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = load_samples(write(tmp_path / "run.jsonl", rows))
    assert answers(table)[:4] == ["3", "3", "4", "4"]
    assert table.settings["notes"] == ()
