"""Rarity and similarity methods on small groups, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.golden.rows import Row

from unsharpen import GroupBatch
from unsharpen.advantages import (
    Transform,
    discount_likely,
    discount_similar,
    reward_majority_and_novelty,
    scale_by_distinctness,
)

NAN = math.nan


def standardised(*values: float) -> list[float]:
    """Minus the mean, over the standard deviation with ddof 0."""
    mean = sum(values) / len(values)
    return [(v - mean) / math.sqrt(sum((w - mean) ** 2 for w in values) / len(values)) for v in values]


PLAIN = {"ddof": 0, "eps": 0.0}

# All correct, m = -1, -2, -4, -3: ranks 3, 2, 0, 1.
RANKED: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 1.0, 1.0]],
    "correct": [[True] * 4],
    "logprobs": [[-2.0, -2.0, -4.0, -9.0]],
    "lengths": [[2, 1, 1, 3]],
}
# Three of four correct, and padding. q = softmax(log 1/2, log 1/4, log 1/4) = 1/2, 1/4, 1/4.
THREE: dict[str, Any] = {
    "rewards": [[1.0, 1.0, NAN, 1.0, 0.0]],
    "correct": [[True, True, True, True, False]],
    "mask": [[True, True, False, True, True]],
    "logprobs": [[math.log(0.5), 2 * math.log(0.25), NAN, math.log(0.25), -0.1]],
    "lengths": [[1, 2, 0, 1, 1]],
    "answers": [[5, 5, 5, 6, 7]],
    "num_solutions": [2],
}
LONE: dict[str, Any] = {**THREE, "rewards": [[1.0, 0.0, NAN, 0.0, 0.0]], "correct": [[True, *[False] * 4]]}
# e0 = e1, e2 at a right angle, e3 opposite to e0.
SQUARE: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 1.0, 0.0]],
    "correct": [[True, True, True, False]],
    "embeddings": [[[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [-2.0, 0.0]]],
}
# Answers 5, 5, 6 and one that can't be read; cosines .6 (0, 1), 0 (0, 2), .8 (1, 2).
VOTES: dict[str, Any] = {
    "rewards": [[0.0, 0.0, 1.0, 0.0]],
    "correct": [[False, False, True, False]],
    "answers": [[5, 5, 6, -1]],
    "embeddings": [[[1.0, 0.0], [0.6, 0.8], [0.0, 2.0], [1.0, 0.0]]],
}

GOLDEN = [
    # 1 - 1 * (3, 2, 0, 1) / 4 = .25, .5, 1, .75; mean .625; squares 2 (.375^2 + .125^2) = .3125; / 4: sigma sqrt(5) / 8
    Row("unlikeliness", RANKED, [[v / math.sqrt(5) for v in (-3, -1, 3, 1)]], {"beta": 1.0, **PLAIN}),
    # beta .25: a quarter of those deviations; TRL's scale: sigma sqrt(.3125 / 3) / 4 + 1e-4
    Row(
        "unlikeliness",
        RANKED,
        [[v / 32 / (math.sqrt(0.3125 / 3) / 4 + 1e-4) for v in (-3, -1, 3, 1)]],
    ),
    # GRPO: mean .75, sigma .5 with ddof 1: .5, -1.5. 1 / q = 2, 4, 4: v = .2, .4, .4; .5 + .5 * 3 v = .8, 1.1, 1.1
    Row("ucpo", THREE, [[0.4, 0.55, 0, 0.55, -1.5]], {"tau": 0.5, "eps": 0.0}),
    # tau .2: .8 + .2 * 3 v = .92, 1.04, 1.04, times .25 / .5001
    Row("ucpo", THREE, [[v * 0.25 / 0.5001 for v in (0.92, 1.04, 0, 1.04, -3)]]),
    # one correct: GRPO as it is
    Row("ucpo", LONE, [[1.5, -0.5, 0, -0.5, -0.5]], {"eps": 0.0}),
    # answers 5, 5, 6: (3 - 2) / 2 = .5, .5, (3 - 1) / 2 = 1; x = .5, .5, 1, 0; mean .5
    Row("darling", THREE, [[0, 0, 0, 0.5, -0.5]]),
    # a lone correct completion earns the floor: .1, mean .025
    Row("darling", LONE, [[0.075, -0.025, 0, -0.025, -0.025]]),
    # by embedding, e0 and e1 are one cluster: x = .5, .5, 1, 0
    Row("darling", SQUARE, [[0, 0, 0.5, -0.5]], {"cluster": "embeddings"}),
    # shares 2/3, 2/3, 1/3, all 1/6 off 1/2: 5/6, 5/6, 5/6, -1; mean 3/8; 11/24 and -33/24; sigma 11 sqrt(3) / 24
    Row("gapo", THREE, [[v / math.sqrt(3) for v in (1, 1, 0, 1, -3)]], PLAIN),
    # L = 4: 1 - (2/3 - 1/4) = 7/12, 7/12, 1 - (1/3 - 1/4) = 11/12, -1: 28, 28, 44, -48 in 1/48; mean 13
    # deviations 15, 15, 31, -61; squares 225 + 225 + 961 + 3721 = 5132
    Row(
        "gapo",
        {**THREE, "num_solutions": [4]},
        [[v / math.sqrt(5132 / 4) for v in (15, 15, 0, 31, -61)]],
        PLAIN,
    ),
    # phat = 1/2, 1/2, 1/4, 1/4: x = 2, 2, 4, 0; mean 2; squares 4 + 4 = 8; / 4: sigma sqrt(2)
    Row("ips", THREE, [[0, 0, 0, math.sqrt(2), -math.sqrt(2)]], PLAIN),
    # phat at least 1/2: x = 2, 2, 2, 0; mean 1.5; squares .75 + 2.25 = 3; / 4
    Row("ips", THREE, [[v / math.sqrt(0.75) for v in (0.5, 0.5, 0, 0.5, -1.5)]], {"floor": 0.5, **PLAIN}),
    # majority 5: novelty 1 - (.6 + .6) / 2 = .4, 1 - (.6 + .8) / 2 = .3 -> 1, .5; alone: -.5; unreadable: -1
    # mean 0; squares 1 + .25 + .25 + 1 = 2.5; / 4: sigma sqrt(.625)
    Row("evol-rl", VOTES, [[v / math.sqrt(0.625) for v in (1, 0.5, -0.5, -1)]], PLAIN),
    # company 1 + 1, 2, 1, 1 (what points the other way counts 0), and 1e-6: x = 1 / 2.000001 (twice), 1 / 1.000001, 0
    Row("dra-grpo", SQUARE, [standardised(1 / 2.000001, 1 / 2.000001, 1 / 1.000001, 0)], PLAIN),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()


def check(transform: Transform, expected: list[list[float]], fields: dict[str, Any]) -> None:
    batch = GroupBatch(**fields)
    np.testing.assert_allclose(transform(batch.rewards, batch), expected, rtol=1e-12, atol=1e-12)


def test_equal_likelihoods_share_a_rank() -> None:
    # m = -1, -1, -3, -3: ranks 2.5, 2.5, .5, .5 of 4; the longer text is no less likely per token
    fields = {**RANKED, "logprobs": [[-1.0, -2.0, -3.0, -6.0]], "lengths": [[1, 2, 1, 2]]}
    check(discount_likely(beta=0.4), [[0.75, 0.75, 0.95, 0.95]], fields)


def test_distinctness_of_a_format_bonus() -> None:
    # wrong ones keep a tenth of what they earn, however distinct: .1 * .1
    check(scale_by_distinctness(), [[0.5, 0.5, 0, 1, 0.01]], {**THREE, "rewards": [[1.0, 1.0, NAN, 1.0, 0.1]]})
    # nobody alike: 1 for each of the correct
    check(scale_by_distinctness(), [[1, 1, 0, 1, 0]], {**THREE, "answers": [[1, 2, 1, 3, 4]]})
    # all alike: (3 - 3) / 2 -> .1
    check(scale_by_distinctness(), [[0.1, 0.1, 0, 0.1, 0]], {**THREE, "answers": [[1, 1, 1, 1, 1]]})


def test_similarity_of_copies_and_of_empty_embeddings() -> None:
    # three copies count once together; an embedding of zeros is like nothing but itself
    embeddings = [[[2.0, 1.0], [2.0, 1.0], [4.0, 2.0], [0.0, 0.0]]]
    expected = [[1 / 3.000001] * 3 + [1 / 1.000001]]
    check(discount_similar(), expected, {**RANKED, "embeddings": embeddings})


def test_votes_and_novelty() -> None:
    check(reward_majority_and_novelty(), [[1, 0.5, -0.5, -1]], VOTES)
    # one each of 5, 6 and unreadable: the smaller id is the majority; either is alone in its class
    check(reward_majority_and_novelty(), [[1, -1, -0.5, -1]], {**VOTES, "answers": [[5, -1, 6, -1]]})
    # all of one answer: cosines .6, 0, .8 and 1, .6, 0 with the fourth, which is the first again.
    # mean over three others: (.6 + 0 + 1) / 3, (.6 + .8 + .6) / 3, (0 + .8 + 0) / 3; greatest 1, .8, .8
    # novelty 1 - half the sum: .7/3, .4 - .1/3 = .8/3, .6 - .4/3 = 1.4/3; scaled: 0, 1/7, 1, 0
    check(reward_majority_and_novelty(), [[0.5, 0.5 + 0.5 / 7, 1, 0.5]], {**VOTES, "answers": [[5, 5, 5, 5]]})
    # nothing can be read
    check(reward_majority_and_novelty(), [[-1, -1, -1, -1]], {**VOTES, "answers": [[-1, -1, -1, -1]]})
