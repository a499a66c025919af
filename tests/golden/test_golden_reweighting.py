"""Reweighting methods on small groups, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.golden.rows import Row

from unsharpen import GroupBatch
from unsharpen.advantages import level_correct_modes, seek_risk, weigh_by_entropy

NAN = math.nan
PLAIN = {"ddof": 0, "eps": 0.0}

ONE_OF_4: dict[str, Any] = {"rewards": [[1.0, 0.0, 0.0, 0.0]], "correct": [[True, False, False, False]]}
UP, DOWN = 0.75 / 0.5001, -0.25 / 0.5001
# One of five correct and padding: GRPO 2, -.5 with ddof 0.
ONE_OF_5: dict[str, Any] = {
    "rewards": [[1.0, 0.0, NAN, 0.0, 0.0, 0.0]],
    "correct": [[True, False, True, False, False, False]],
    "mask": [[True, True, False, True, True, True]],
    "logprobs": [[-4.0, -1.0, NAN, -2.0, -3.0, -4.0]],
}
ALL: dict[str, Any] = {"rewards": [[1.0] * 3], "correct": [[True] * 3]}
# GRPO 1, -1 with ddof 0.
TWO: dict[str, Any] = {
    "rewards": [[1.0, NAN, 0.0]],
    "correct": [[True, False, False]],
    "mask": [[True, False, True]],
    "entropies": [[0.0, NAN, 2.0]],
}
# log pi_ref -8, -4 | -3, -1: of the two correct ones the second is the likelier.
ANCHORED: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 0.0, 0.0]],
    "correct": [[True, True, False, False]],
    "reference_logprobs": [[-8.0, -4.0, -3.0, -1.0]],
}

GOLDEN = [
    # p = 1/4: sqrt(3/4)
    Row("f-grpo", ONE_OF_4, [[v * math.sqrt(0.75) for v in (UP, DOWN, DOWN, DOWN)]]),
    # p = 1/5, gamma 2: .64 * (2, -.5)
    Row("f-grpo", ONE_OF_5, [[1.28, -0.32, 0, -0.32, -0.32, -0.32]], {"gamma": 2.0, **PLAIN}),
    Row("f-grpo", ALL, [[0, 0, 0]]),
    # e^{beta r} = 2, 1, 1, 1 for beta = log 2; mean 5/4: (8/5 - 1), (4/5 - 1) over log 2
    Row("rs-grpo", ONE_OF_4, [[v / math.log(2) for v in (0.6, -0.2, -0.2, -0.2)]], {"beta": math.log(2)}),
    # beta 2: e^2, 1, 1, 1
    Row("rs-grpo", ONE_OF_4, [[(v / ((math.e**2 + 3) / 4) - 1) / 2 for v in (math.e**2, 1, 1, 1)]]),
    Row("w-reinforce", ONE_OF_5, [[0.1, -1, 0, -1, -1, -1]]),
    Row("w-reinforce", ALL, [[0.5] * 3], {"weight": 0.5}),
    Row("psr", ONE_OF_5, [[1, 0, 0, 0, 0, 0]]),
    Row("nsr", ONE_OF_5, [[0, -1, 0, -1, -1, -1]]),
    # alpha 0, e^{1 / T} = sqrt(3): weights sqrt(3) : 1 / sqrt(3) = 3/4 : 1/4; times G = 2
    Row("egsw", TWO, [[1.5, 0, -0.5]], {"alpha": 0.0, "temperature": 2 / math.log(3), **PLAIN}),
    # 1 + 0 = -1 + 2: equal weights
    Row("egsw", TWO, [[1, 0, -1]], {"alpha": 1.0, **PLAIN}),
    # defaults: 1, -1 + .3 * 2 = -.4
    Row(
        "egsw",
        TWO,
        [[2 * math.exp(1) / (math.exp(1) + math.exp(-0.4)), 0, -2 * math.exp(-0.4) / (math.exp(1) + math.exp(-0.4))]],
        PLAIN,
    ),
    # the batch's mean entropy: (.5 + 1 + 1.5) / 3 = 1
    Row(
        "edge-grpo",
        {**TWO, "rewards": [[1.0, 0.0, 0.0]], "mask": None, "entropies": [[0.5, 1.0, 1.5]]},
        [[v * math.sqrt(2) for v in (2, -0.5, -1 / 3)]],
        PLAIN,
    ),
    # no choice at all has the greatest weight, 10; mean entropy 1: -1 * 1 / 2
    Row("edge-grpo", TWO, [[10, 0, -0.5]], PLAIN),
    # 1 + .1 * (-4 + 8) = 1.4, 1, 0, 0; mean .6
    Row("mara", ANCHORED, [[0.8, 0.4, -0.6, -0.6]], {"beta": 0.1}),
    # beta .001: 1.004, mean .501
    Row("mara", ANCHORED, [[0.503, 0.499, -0.501, -0.501]]),
    # ds-grpo-robust: s = 1.4, mean .28, sigma .4: 2.8, -.7; times 1 - 1/5
    Row("ds-grpo-f", ONE_OF_5, [[2.24, -0.56, 0, -0.56, -0.56, -0.56]]),
    # focal 2: .64
    Row("ds-grpo-f", ONE_OF_5, [[1.792, -0.448, 0, -0.448, -0.448, -0.448]], {"focal": 2.0}),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()


def test_the_anchors_reward_is_everyones() -> None:
    # R(z) = .6 of the second: .6 + .1 * 4 = 1, .6; wrong ones keep theirs
    batch = GroupBatch(**{**ANCHORED, "rewards": [[1.0, 0.6, 0.1, 0.0]]})
    found = level_correct_modes(beta=0.1)(batch.rewards, batch)
    np.testing.assert_allclose(found, [[1.0, 0.6, 0.1, 0.0]], atol=1e-12)


def test_large_values_do_not_overflow() -> None:
    batch = GroupBatch(rewards=[[1000.0, 0.0]], correct=[[True, False]], entropies=[[0.0, 3000.0]])
    # e^{2000} over the mean of e^{2000} and 1: 2 - 1, and -1; over beta
    np.testing.assert_allclose(seek_risk(beta=2.0)(batch.rewards, batch), [[0.5, -0.5]], atol=1e-12)
    # the second weighs everything, and has value 0
    np.testing.assert_allclose(weigh_by_entropy(alpha=1.0, temperature=1.0)(batch.rewards, batch), [[0, 0]], atol=1e-12)
