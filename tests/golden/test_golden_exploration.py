"""Exploration methods on small groups, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.golden.rows import Row

from unsharpen import GroupBatch, get_method

NAN = math.nan

# One of four correct, and padding. GRPO without eps: 1.5, -.5. Answers 5, 6, 6, 7.
ONE_OF_4: dict[str, Any] = {
    "rewards": [[1.0, 0.0, NAN, 0.0, 0.0]],
    "correct": [[True, False, True, False, False]],
    "mask": [[True, True, False, True, True]],
    "answers": [[5, 6, 5, 6, 7]],
    "prompt_ids": [3],
}
UP, DOWN = 0.75 / 0.5001, -0.25 / 0.5001
HALF = (math.sqrt(0.5) - 0.5) / 2

GOLDEN = [
    # nothing was seen before: + .2 * 1 for all
    Row("ucb", ONE_OF_4, [[UP + 0.2, DOWN + 0.2, 0, DOWN + 0.2, DOWN + 0.2]]),
    # bonus minus its mean: 0
    Row("ucb-mean", ONE_OF_4, [[UP, DOWN, 0, DOWN, DOWN]]),
    # + .2 * (1 - .5)
    Row("ucb-con", ONE_OF_4, [[UP + 0.1, DOWN + 0.1, 0, DOWN + 0.1, DOWN + 0.1]]),
    # answer 6 occurs twice: - .2 * 1/4 for either
    Row("batch-exploration", ONE_OF_4, [[UP, DOWN - 0.05, 0, DOWN - 0.05, DOWN]]),
    # three times 6: 2/4 each; coef 1, no eps
    Row(
        "batch-exploration",
        {**ONE_OF_4, "answers": [[6, 6, 6, 6, 7]]},
        [[1.5 - 0.5, -0.5 - 0.5, 0, -0.5 - 0.5, -0.5]],
        {"coef": 1.0, "eps": 0.0},
    ),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # given before the third batch: 5 twice, 6 four times, 7 twice; bonuses sqrt(1/2), 1/2, 1/2, sqrt(1/2)
        ("ucb", [1.5 + math.sqrt(0.5), 0.0, 0, 0.0, -0.5 + math.sqrt(0.5)]),
        # minus their mean, (sqrt(1/2) + 1/2) / 2: +- (sqrt(1/2) - 1/2) / 2
        ("ucb-mean", [1.5 + HALF, -0.5 - HALF, 0, -0.5 - HALF, -0.5 + HALF]),
        # minus 1/2
        ("ucb-con", [1.0 + math.sqrt(0.5), -0.5, 0, -0.5, -1.0 + math.sqrt(0.5)]),
    ],
)
def test_the_third_time(name: str, expected: list[float]) -> None:
    method = get_method(name, coef=1.0, eps=0.0)
    for _ in range(2):
        method.advantages(GroupBatch(**ONE_OF_4))
    found = method.advantages(GroupBatch(**ONE_OF_4))
    np.testing.assert_allclose(found, [expected], rtol=1e-12, atol=1e-12)
