"""The advantages of DAPO and ROVER on small groups, worked by hand: the arithmetic stands above the row."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tests.golden.rows import Row

PLAIN = {"ddof": 0, "eps": 0.0}
# Cut at 10 tokens: the penalty starts at 8. Two correct, of which one ends at 9; two wrong, of which one was cut.
LONG: dict[str, Any] = {
    "rewards": [[1.0, 1.0, 0.0, 0.0]],
    "correct": [[True, True, False, False]],
    "lengths": [[4, 9, 8, 10]],
    "max_lengths": [10],
}
ALL: dict[str, Any] = {"rewards": [[1.0] * 3], "correct": [[True] * 3], "lengths": [[1, 2, 9]], "max_lengths": [10]}
SIGMA = math.sqrt((0.875**2 + 0.375**2 + 0.125**2 + 1.125**2) / 4)
AS_GRPO = ["clip-higher", "gspo", "entropy-bonus", "entropy-penalty", "entropy-target", "top-entropy"]
AS_GRPO += ["soft-preference", "entropy-advantage", "clip-cov", "kl-cov", "diversity-po", "adrpo", "simko", "flow-rl"]
AS_GRPO += ["dph"]
GOLDEN = [
    # x = 1, 1 - 1/2, 0, -1: mean 1/8, deviations .875, .375, -.125, -1.125
    Row("dapo", LONG, [[v / SIGMA for v in (0.875, 0.375, -0.125, -1.125)]], PLAIN),
    # without the penalty: mean 1/2, std 1/2
    Row("dapo", LONG, [[1, 1, -1, -1]], {"overlong_penalty": 0.0, **PLAIN}),
    # x = 1, 1, .5: not all equal, but all correct
    Row("dapo", ALL, [[0, 0, 0]]),
    # kept: mean 5/6, deviations 1/6, 1/6, -1/3; std sqrt(1/18) with ddof 0
    Row("dapo", ALL, [[0.5**0.5, 0.5**0.5, -(2**0.5)]], {"drop_uniform": "off", **PLAIN}),
    Row("rover", LONG, [[0.5, 0.5, -0.5, -0.5]]),
    # rewards 1 1 0 0: mean 1/2, std 1/2; what else these do happens to tokens (test_tokens.py, test_terms.py)
    *(Row(name, LONG, [[1, 1, -1, -1]], PLAIN) for name in AS_GRPO),
    Row("epo", {**LONG, "entropies": [[0.5] * 4]}, [[1, 1, -1, -1]], PLAIN),
]


@pytest.mark.parametrize("row", GOLDEN, ids=str)
def test_golden(row: Row) -> None:
    row.check()
