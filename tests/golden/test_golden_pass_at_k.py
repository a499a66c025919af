"""Pass@k methods on small groups, worked by hand: the arithmetic stands in the comment above the row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.golden.rows import Row

from unsharpen import GroupBatch, get_method

NAN = math.nan


def group(*rewards: float) -> dict[str, Any]:
    return {"rewards": [list(map(float, rewards))], "correct": [[r == 1.0 for r in rewards]]}


# one of five correct, and padding
PADDED: dict[str, Any] = {**group(1, 0, NAN, 0, 0, 0), "mask": [[True, True, False, True, True, True]]}

GOLDEN = [
    # 6 pairs of 4, 1 without a correct one: rho 5/6, s = sqrt(5)/6. A+ = 1/6 / s. A wrong one's other attempt fails in
    # 1 of 3 cases: (1/6 - 1/3) / s
    Row("pass-at-k", group(1, 1, 0, 0), [[v / math.sqrt(5) for v in (1, 1, -1, -1)]], {"k": 2, "eps": 0.0}),
    # 3 of 6 pairs fail: rho 1/2 = s. A+ = 1, A- = (1/2 - 2/3) / (1/2)
    Row("pass-at-k", group(1, 0, 0, 0), [[1, -1 / 3, -1 / 3, -1 / 3]], {"k": 2, "eps": 0.0}),
    # k 4 of 5: 1 of 5 sets fails: rho .8, s = .4 + 1e-6. A+ = .2 / s; a wrong one's 3 others: 1 of 4 sets fails
    Row("pass-at-k", PADDED, [[v / 0.400001 for v in (0.2, -0.05, 0, -0.05, -0.05, -0.05)]]),
    # every set of 4 holds a correct one, and none does
    Row("pass-at-k", group(1, 1, 0, 0, 0), [[0] * 5]),
    Row("pass-at-k", group(0, 0, 0, 0, 0), [[0] * 5]),
    # k 1: p = 1/5, s = .4: GRPO with ddof 0
    Row("pass-at-k", PADDED, [[2, -0.5, 0, -0.5, -0.5, -0.5]], {"k": 1, "eps": 0.0}),
    # pairs: the correct one adds 1 to each of its three; 4/6 * 3
    Row("pkpo", group(1, 0, 0, 0), [[2, 0, 0, 0]], {"k": 2}),
    # each correct one adds 1 to its two pairs with a wrong one: 4/6 * 2
    Row("pkpo", group(1, 1, 0, 0), [[4 / 3, 4 / 3, 0, 0]], {"k": 2}),
    # 3 adds 2 to its pair with 1, and 3 to each with 0: 8; 1 adds 1 to each of two; 4/6 of that
    Row("pkpo", group(3, 1, 0, 0), [[16 / 3, 4 / 3, 0, 0]], {"k": 2}),
    # triples, 4 of them: 3 adds 2, 2 (with 1 and a 0) and 3 (with both 0): 7; 1 adds 1 (with both 0); 4/4 of that
    Row("pkpo", group(3, 1, 0, 0), [[7, 1, 0, 0]], {"k": 3}),
    # k = n: only the best adds: 4/1 * (3 - 1)
    Row("pkpo", group(3, 1, 0, 0), [[8, 0, 0, 0]]),
    # negative rewards and a tie: pairs of -1, -1, -3: each -1 adds 0 to the other, 2 to the -3: 3/3 * 2
    Row("pkpo", group(-1, -1, -3), [[2, 2, 0]], {"k": 2}),
    # 3 leads 1 by 2
    Row("best-of-k", group(3, 1, 0, 0), [[2, 0, 0, 0]], {"scale": "none"}),
    # over sigma: deviations 2, 0, -1, -1; 6/3: sqrt(2) + 1e-6
    Row("best-of-k", group(3, 1, 0, 0), [[2 / (math.sqrt(2) + 1e-6), 0, 0, 0]]),
    # one of four: sigma .5; two of four: nobody leads
    Row("best-of-k", group(1, 0, 0, 0), [[1 / 0.500001, 0, 0, 0]]),
    Row("best-of-k", group(1, 1, 0, 0), [[0, 0, 0, 0]]),
    Row("best-of-k", {**group(-2, NAN, -3), "mask": [[True, False, True]]}, [[1, 0, 0]], {"scale": "none"}),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()


@pytest.mark.parametrize("n", [4, 7, 16])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_pkpo_of_0_and_1_is_the_closed_form(n: int, k: int) -> None:
    for c in range(n + 1):
        batch = GroupBatch(**group(*[1.0] * c, *[0.0] * (n - c)))
        value = k * math.comb(n - c, k - 1) / math.comb(n - 1, k - 1)
        expected = [[value] * c + [0.0] * (n - c)]
        np.testing.assert_allclose(get_method("pkpo", k=k).advantages(batch), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("k", [2, 4])
def test_pkpo_is_unbiased_for_the_gradient_of_the_best_of_k(k: int) -> None:
    # Three outcomes with rewards 0, 1, 3. E[max of k] = sum_v v (F(v)^k - F(v-)^k); its gradient with respect to the
    # logits against E[mean_i A_i grad log p(y_i)], summed over all 3^5 samples of 5 completions.
    values, p = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2])
    samples = np.stack(np.meshgrid(*[range(3)] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    rewards = values[samples]
    advantages = get_method("pkpo", k=k).advantages(GroupBatch(rewards=rewards, correct=rewards > 0))
    score = np.eye(3)[samples] - p  # gradient of log p(y) with respect to the logits
    found = (p[samples].prod(axis=1)[:, None] * (advantages[:, :, None] * score).mean(axis=1)).sum(axis=0)

    def best(logits: np.ndarray) -> float:
        share = np.exp(logits) / np.exp(logits).sum()
        below = np.concatenate([[0.0], np.cumsum(share)])
        return float((values * (below[1:] ** k - below[:-1] ** k)).sum())

    step = 1e-6 * np.eye(3)
    expected = [(best(np.log(p) + d) - best(np.log(p) - d)) / 2e-6 for d in step]
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("correct", range(9))
def test_pass_at_k_advantages_sum_to_0(k: int, correct: int) -> None:
    batch = GroupBatch(**group(*[1.0] * correct, *[0.0] * (8 - correct)))
    found = get_method("pass-at-k", k=k).advantages(batch)
    assert found.sum() == pytest.approx(0.0, abs=1e-9)
    assert (found[0, :correct] >= 0).all()
