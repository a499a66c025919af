"""SampleTable: columns from rows, counts per problem, and what it refuses."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from unsharpen.errors import InputError
from unsharpen.metrics import SampleTable, summarise

ROWS = [
    {"problem_id": "b", "correct": True, "canonical": "1+2", "completion": "1 + 2", "logprob": -1.5},
    {"problem_id": "a", "correct": False, "canonical": None, "completion": "?"},
    {"problem_id": "b", "correct": True, "canonical": "1+2", "completion": "2 + 1", "num_tokens": 3},
    {"problem_id": "b", "correct": False, "canonical": "1*2", "completion": "1 * 2"},
]


def test_rows_become_columns() -> None:
    table = SampleTable.from_rows(ROWS, label="x", problems={"a": {"text": "A"}, "b": {"text": "B", "multiplicity": 2}})
    assert table.problem_ids == ("b", "a")
    assert table.num_samples.tolist() == [3, 1]
    assert table.num_correct.tolist() == [2, 0]
    assert table.answers.tolist() == [0, -1, 0, 1]
    assert table.answer_counts() == [Counter({0: 2, 1: 1}), Counter()]
    assert table.answer_counts(correct=True) == [Counter({0: 2}), Counter()]
    assert table.answer_counts(correct=False) == [Counter({1: 1}), Counter()]
    assert table.logprobs is not None
    assert table.lengths is not None
    assert np.isnan(table.logprobs).tolist() == [False, True, True, True]
    assert table.lengths.tolist() == [0, 0, 3, 0]
    assert table.problem_texts == ("B", "A")
    assert table.multiplicity is None  # unknown for one problem
    assert table.reasons is None


def test_an_empty_table_has_no_counts() -> None:
    table = SampleTable.from_rows([], label="x")
    assert table.num_problems == 0
    assert table.answer_counts() == []


@pytest.mark.parametrize(
    "correct",
    [
        np.array([1, 0] * 4),
        np.array([1.0, 0.0] * 4),
        np.array([True, False] * 4, dtype=object),
        [1, False] * 4,
        [np.True_, 0] * 4,
    ],
)
def test_zeros_and_ones_are_verdicts(correct: Any) -> None:
    # as an index, 1, 0, 1, ... would pick samples 1 and 0, both of problem a: 8 and 0 correct
    table = SampleTable(
        label="m", problem_ids=("a", "b"), problem=np.array([0, 0, 1, 1] * 2), correct=correct, answers=np.full(8, -1)
    )
    assert table.correct.dtype == np.bool_
    assert table.num_correct.tolist() == [2, 2]  # of 4 samples each
    assert summarise(table).pass_at_k[1].value == 0.5


@pytest.mark.parametrize("bad", [float("nan"), "False", "1", 0.2, 2, -1, None])
def test_anything_else_is_no_verdict(bad: object) -> None:
    message = re.escape(f"`correct` must be true or false, or 1 or 0; sample 1 has {bad!r}")
    with pytest.raises(InputError, match=message):
        SampleTable.from_rows([{"problem_id": "a", "correct": right} for right in (True, bad)], label="m")
    columns = {"problem_ids": ("a",), "problem": np.array([0, 0]), "answers": np.array([-1, -1])}
    with pytest.raises(InputError, match=message):
        SampleTable(label="m", correct=[False, bad], **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": np.array([True])}, "`correct` must have 2 entries; found 1"),
        ({"correct": np.array([[True], [False]])}, "one verdict per sample; found shape"),
        ({"correct": [[True], [False, True]]}, "one verdict per sample; its rows differ in length"),
        ({"problem": np.array([0, 2])}, "`problem` must lie in 0..1; sample 1 has 2"),
        ({"answers": np.array([-2, 0])}, "`answers` must lie in -1..0; sample 0 has -2"),
        ({"problem_ids": ("p", "p")}, "'p' comes more than once"),
        ({"multiplicity": np.array([1])}, "`multiplicity` must have 2 entries"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    columns = {"problem_ids": ("p", "q"), "problem": np.array([0, 1]), "correct": np.array([True, False])}
    columns |= {"answers": np.array([0, -1]), "answer_names": ("5",)}
    SampleTable(label="x", **columns)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        SampleTable(label="x", **{**columns, **change})  # type: ignore[arg-type]
