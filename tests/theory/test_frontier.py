"""The frontier: on budget, and above everything else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, entropy, instance, instances

from unsharpen.errors import InputError
from unsharpen.theory import divergence, entropy_bonus, frontier, logit_mass, shannon, tilt


@settings(max_examples=20)
@given(instances, st.floats(0.001, 1.0), st.integers(0, 2**32 - 1))
def test_points_spend_the_budget_and_nothing_lies_above(x: Instance, budget: float, seed: int) -> None:
    line = frontier(*x, budget=budget, points=11)
    assert line[0].a == 0
    assert line[0].entropy == pytest.approx(entropy(x.q))
    for point in line:
        if point.logit < math.inf:
            kappa = point.logit - float(logit_mass(tilt(*x, a=point.a, b=0, kappa=0), x.correct))
            policy = tilt(*x, a=point.a, b=0, kappa=kappa)
            assert divergence(policy, x.log_base) == pytest.approx(budget, abs=1e-7)
            assert shannon(policy, x.correct) == pytest.approx(point.entropy, abs=1e-9)
    others = np.random.default_rng(seed).dirichlet(np.ones(len(x.correct)), size=200)
    others = np.log(np.maximum(others, 1e-9) / np.maximum(others, 1e-9).sum(1, keepdims=True))
    within = others[divergence(others, x.log_base) <= budget]
    for log_pi in within:
        for lower, upper in zip(line, [*line[1:], None], strict=True):
            if shannon(log_pi, x.correct) >= lower.entropy:
                assert logit_mass(log_pi, x.correct) <= lower.logit + 1e-9, (lower, upper)


def test_an_entropy_bonus_lies_below() -> None:
    x = instance([0.3, 0.05, 0.02], [0.4, 0.15, 0.08])
    policy = entropy_bonus(*x, gamma=0.5, beta=0.5)
    line = frontier(*x, budget=float(divergence(policy, x.log_base)), points=51)
    even_enough = [point for point in line if point.entropy >= shannon(policy, x.correct)]
    assert even_enough[0].logit > float(logit_mass(policy, x.correct)) + 0.02


def test_the_line_ends_where_the_budget_ends() -> None:
    """The least KL with a uniform q is ``-log(c e^-KL(q, q_b) + 1 - c)``, at a C below c."""
    x = instance([0.38, 0.02], [0.6])
    own = -math.log(2) - (math.log(0.95) + math.log(0.05)) / 2  # KL of (1/2, 1/2) to (.95, .05)
    least = -math.log(0.4 * math.exp(-own) + 0.6)
    enough, short = (frontier(*x, budget=factor * least, points=2) for factor in (1.001, 0.999))
    assert [point.a for point in enough] == [0.0, 1.0]
    assert enough[1].correct < 0.4
    assert [point.a for point in short] == [0.0]


def test_a_large_budget_pays_for_certainty() -> None:
    x = instance([0.3, 0.1], [0.6])
    line = frontier(*x, budget=5.0, points=3)
    assert [point.logit for point in line] == [math.inf] * 3
    assert line[0].correct == 1.0
    with pytest.raises(InputError, match="budget must be finite and at least 0, found -1"):
        frontier(*x, budget=-1)
