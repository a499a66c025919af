"""Rows of an engine to groups and back, against loops over rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unsharpen import get_method
from unsharpen.advantages import TokenBatch
from unsharpen.engines._rollouts import Layout, group_batch, row_sums, token_advantages
from unsharpen.errors import InputError

#           prompt  completion  part  real
ROWS = [
    ("b", 0, 0, True),
    ("a", 0, 0, True),
    ("b", 1, 1, True),  # the last part of (b, 1) stands before its first
    ("pad", 0, 0, False),
    ("b", 1, 0, True),
    ("a", 2, 0, True),
    ("b", 2, 0, True),
    ("pad", 1, 0, False),
]


def layout() -> Layout:
    groups, completions, parts, real = zip(*ROWS, strict=True)
    return Layout(groups, completions=completions, parts=parts, real=real)


def test_ragged_groups_parts_and_padding() -> None:
    found = layout()
    assert found.shape == (2, 3)
    assert found.mask.tolist() == [[True, True, True], [True, True, False]]  # b, then a
    values = np.asarray([1.0, 2.0, 3.0, 100.0, 5.0, 6.0, 7.0, 100.0])
    assert found.last(values)[found.mask].tolist() == [1, 3, 7, 2, 6]
    assert found.total(values).tolist() == [[1, 8, 7], [2, 6, 0]]
    table = np.asarray([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])
    assert found.spread(table).tolist() == [10, 40, 20, 0, 20, 50, 30, 0]
    assert found.completion_of_rows().tolist() == [0, 3, 1, -1, 1, 4, 2, -1]


def test_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(0)
    values = {name: random.normal(size=len(ROWS)) for name in ("rewards", "logprobs")}
    values["logprobs"] = -np.abs(values["logprobs"])
    fields = {**values, "correct": values["rewards"] > 0, "lengths": random.integers(1, 9, len(ROWS))}
    method = get_method("ds-grpo", gamma_p=0.3)
    expected = None
    for _ in range(5):
        order = random.permutation(len(ROWS))
        groups, completions, parts, real = zip(*[ROWS[i] for i in order], strict=True)
        place = Layout(groups, completions=completions, parts=parts, real=real)
        batch = group_batch(place, {name: np.asarray(column)[order] for name, column in fields.items()})
        shaped = np.zeros(len(ROWS))
        shaped[order] = place.spread(method.advantages(batch))
        expected = shaped if expected is None else expected
        np.testing.assert_allclose(shaped, expected, rtol=1e-6)
    assert expected is not None
    assert (expected[[3, 7]] == 0).all()
    assert expected[2] == expected[4] != 0  # two parts of one completion


def test_fields_are_sums_last_rows_or_first_completions() -> None:
    batch = group_batch(
        layout(),
        {
            "rewards": [0.0, 1.0, 1.0, 9.0, 0.5, 0.0, 0.0, 9.0],
            "correct": [False, True, True, True, False, False, False, True],
            "lengths": [3, 4, 5, 1, 6, 0, 7, 1],
            "logprobs": [-3.0, -4.0, -5.0, 0.0, -6.0, 0.0, -7.0, 0.0],
            "answers": [1, 2, 3, 9, 4, 5, 6, 9],
            "num_solutions": [8, 2, 8, 9, 8, 2, 8, 9],
        },
    )
    assert batch.rewards.dtype == batch.logprobs.dtype == np.float32
    assert batch.rewards.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert batch.correct.tolist() == [[False, True, False], [True, False, False]]
    assert batch.lengths.tolist() == [[3, 11, 7], [4, 1, 1]]  # no token at all counts as one
    assert batch.logprobs.tolist() == [[-3, -11, -7], [-4, 0, 0]]
    assert batch.answers[batch.mask].tolist() == [1, 3, 6, 2, 5]
    assert batch.num_solutions.tolist() == [8, 2]


def test_row_sums_equal_a_loop() -> None:
    random = np.random.default_rng(1)
    lengths = np.asarray([3, 0, 5, 1, 0, 0, 4, 0])
    values = random.normal(size=lengths.sum()).astype(np.float32)
    mask = random.random(lengths.sum()) < 0.7
    values[~mask] = np.nan  # whatever stands there
    expected, start = [], 0
    for length in lengths:
        piece = range(start, start + length)
        expected.append(sum(float(values[i]) for i in piece if mask[i]))
        start += length
    np.testing.assert_allclose(row_sums(values, mask, lengths), expected, rtol=1e-12)
    assert row_sums(np.zeros(0), np.zeros(0, dtype=bool), np.asarray([0, 0])).tolist() == [0, 0]


def test_token_advantages_equal_a_loop_over_completions() -> None:
    random = np.random.default_rng(2)
    place, lengths = layout(), np.asarray([2, 3, 1, 1, 4, 2, 3, 1])
    logprobs = -random.random(lengths.sum()).astype(np.float32)
    mask = random.random(lengths.sum()) < 0.8
    rewards = np.asarray([0, 1, 1, 0, 1, 0, 0, 0])
    sums, own = row_sums(logprobs, mask, lengths), row_sums(mask, mask, lengths).astype(int)
    batch = group_batch(place, {"rewards": rewards, "correct": rewards > 0, "logprobs": sums, "lengths": own})
    method = get_method("ds-grpo-token", gamma_p=0.4, gamma_n=0.1)
    first = method.advantages(batch)
    transform = method.recipe.token_transform
    assert transform is not None
    found = token_advantages(
        transform, place.completion_of_rows(), first.ravel(), batch.correct.ravel(), logprobs, mask, lengths
    )
    rows = np.split(np.arange(lengths.sum()), np.cumsum(lengths)[:-1])
    for completion in range(6):
        tokens = [t for row, owner in enumerate(place.completion_of_rows()) if owner == completion for t in rows[row]]
        if not tokens:
            continue
        alone = TokenBatch(
            logprobs=logprobs[tokens][None], mask=mask[tokens][None], correct=batch.correct.reshape(-1)[[completion]]
        )
        expected = transform(np.full((1, len(tokens)), first.reshape(-1)[completion]), alone)[0]
        np.testing.assert_allclose(found[tokens], expected, rtol=1e-5, atol=1e-7)
    assert (found[np.concatenate([rows[3], rows[7]])] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": ["a", "a"], "completions": [0]}, "2, 1, 2 and 2"),
        ({"groups": ["a"], "real": [False]}, "none among 1"),
        ({"groups": []}, "none among 0"),
    ],
)
def test_bad_rows(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Layout(arguments.pop("groups"), **arguments)


def test_columns_that_do_not_fit() -> None:
    with pytest.raises(InputError, match=r"8 rows needs a value for each; found shape \(7,\)"):
        group_batch(layout(), {"rewards": np.zeros(7), "correct": np.zeros(8, dtype=bool)})
    with pytest.raises(InputError, match="5 tokens in all need as many values and flags; found 4 and 5"):
        row_sums(np.zeros(4), np.zeros(5, dtype=bool), np.asarray([2, 3]))
