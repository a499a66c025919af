"""Ids of answers: negative ones are one unreadable answer, unsigned ones are as good as signed ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from unsharpen import GroupBatch, get_method
from unsharpen.advantages import AnswerCounts
from unsharpen.errors import InputError


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_an_answer_that_cannot_be_read_is_minus_1(make: Any) -> None:
    given = make([[2**63 - 1, -7], [-(2**63), 3]])
    fields = {"rewards": make([[1.0, 0.0], [0.0, 0.0]]), "correct": make([[True, False], [False, False]])}
    batch = GroupBatch(**fields, answers=given, mask=make([[True, True], [True, False]]))
    assert batch.answers.tolist() == [[2**63 - 1, -1], [-1, -1]]
    assert given.tolist() == [[2**63 - 1, -7], [-(2**63), 3]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("library", [np, torch])
def test_unsigned_answers_become_signed(library: Any, dtype: str) -> None:
    fields = {"rewards": library.zeros((1, 2)), "correct": library.zeros((1, 2), dtype=library.bool)}
    values = np.array([[3, 200]], dtype)
    batch = GroupBatch(**fields, answers=values if library is np else torch.from_numpy(values))
    assert batch.answers.dtype == library.int64
    assert (-batch.answers).tolist() == [[-3, -200]]


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_answers_of_64_bits_are_refused_unless_they_are_padding(make: Any) -> None:
    answers = make(np.array([[5, 2**63]], np.uint64))
    fields = {"rewards": make(np.zeros((1, 2))), "correct": make(np.zeros((1, 2), bool)), "answers": answers}
    with pytest.raises(InputError, match=r"`answers` must be below 2\^63; completion 1 of prompt 0 is not") as caught:
        GroupBatch(**fields)
    assert "hint: hash answers to 63 bits" in str(caught.value)
    assert GroupBatch(**fields, mask=make(np.array([[True, False]]))).answers.tolist() == [[5, -1]]


@pytest.mark.parametrize("name", ["batch-exploration", "ips", "darling", "ucb"])
def test_all_negative_ids_are_one_unreadable_answer(name: str) -> None:
    found = []
    for ids in ([[0, -1, -2, -3], [4, 4, -5, -1]], [[0, -1, -1, -1], [4, 4, -1, -1]]):
        fields = {"rewards": np.eye(2, 4), "correct": np.eye(2, 4) > 0, "answers": ids, "prompt_ids": [3, 4]}
        method = get_method(name)
        method.advantages(GroupBatch(**fields))  # a memory shows in the second batch
        found.append(method.advantages(GroupBatch(**fields)))
    np.testing.assert_array_equal(*found)


def test_unsigned_ids_choose_the_same_majority() -> None:
    expected = None
    for dtype in (np.int64, np.uint8, np.uint64):
        batch = GroupBatch(
            rewards=np.zeros((1, 4)),
            correct=np.zeros((1, 4), bool),
            answers=np.array([[0, 0, 1, 1]], dtype),
            embeddings=np.eye(4)[None],
        )
        found = get_method("evol-rl").advantages(batch)
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)
        assert found[0, 0] > 0 > found[0, 2]


@pytest.mark.parametrize("count", [math.inf, math.nan, 1.9])
def test_counts_of_answers_are_whole_numbers(count: float) -> None:
    with pytest.raises(InputError, match="the state of answer counts must be"):
        AnswerCounts().load_state_dict({"counts": {"1": {"2": count}}})
    counts = AnswerCounts()
    counts.load_state_dict({"counts": {"1": {"2": 3.0}}})
    assert counts.state_dict() == {"counts": {"1": {"2": 3}}}
