"""Where smoothing leads: its potential, the gamma that reverses the collapse, iterates and fixed points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, entropy, instance, instances

from unsharpen import GroupBatch
from unsharpen.advantages import centered_smoothing
from unsharpen.errors import InputError
from unsharpen.theory import (
    conditional,
    correct_mass,
    critical_gamma,
    effective_number,
    entropy_rate,
    expected_smoothed_update,
    fixed_point_exponents,
    iterate_equivalent,
    logit_mass,
    potential,
    tilt,
)

FEW = settings(max_examples=30)
SOME = st.floats(0, 2)


def softmax(x: np.ndarray) -> np.ndarray:
    return x - np.logaddexp.reduce(x)


def reward(x: Instance, log_pi: np.ndarray, gamma_p: float, gamma_n: float) -> np.ndarray:
    return np.where(x.correct, 1 - gamma_p * log_pi, gamma_n * log_pi)


@FEW
@given(instances, SOME, SOME)
def test_the_gradient_of_the_potential_is_the_update(x: Instance, gamma_p: float, gamma_n: float) -> None:
    """dJ/dtheta = pi (R - E[R]), by finite differences."""
    h = 1e-6
    slopes = []
    for i in range(len(x.correct)):
        bump = h * np.eye(len(x.correct))[i]
        up, down = (
            potential(softmax(x.log_base + d), x.correct, gamma_p=gamma_p, gamma_n=gamma_n) for d in (bump, -bump)
        )
        slopes.append((up - down) / (2 * h))
    np.testing.assert_allclose(slopes, expected_smoothed_update(*x, gamma_p=gamma_p, gamma_n=gamma_n), atol=1e-7)


@FEW
@given(instances, st.floats(0.05, 2), SOME, st.integers(0, 2**32 - 1))
def test_the_potential_is_highest_where_all_is_correct_and_even(
    x: Instance, gamma_p: float, gamma_n: float, seed: int
) -> None:
    """J at C = 1 with q uniform is 1 + gamma_p + gamma_n + gamma_p log n_P; every other policy is below."""
    top = 1 + gamma_p + gamma_n + gamma_p * math.log(x.correct.sum())
    others = np.random.default_rng(seed).dirichlet(np.ones(len(x.correct)), size=50)
    values = potential(np.log(np.maximum(others, 1e-9)), x.correct, gamma_p=gamma_p, gamma_n=gamma_n)
    assert values.max() < top
    even = tilt(*x, a=1, b=0, kappa=60)
    assert potential(even, x.correct, gamma_p=gamma_p, gamma_n=gamma_n) == pytest.approx(top, abs=1e-9)


def test_smoothing_ends_even_where_an_entropy_bonus_stops_short() -> None:
    """C* = n_P e^(1/gamma) / (n_P e^(1/gamma) + n_N) for the bonus; C -> 1 with q uniform for smoothing."""
    x, gamma = instance([0.3, 0.08, 0.02], [0.5, 0.1]), 0.5
    smooth = bonus = x.log_base
    for _ in range(2_000):
        smooth = softmax(smooth + 4 * expected_smoothed_update(smooth, x.correct, gamma_p=gamma))
        score = x.correct - gamma * bonus
        bonus = softmax(bonus + 4 * np.exp(bonus) * (score - np.exp(bonus) @ score))
    assert correct_mass(smooth, x.correct) > 0.999
    assert effective_number(smooth, x.correct) > 2.999
    stop = 3 * math.exp(1 / gamma) / (3 * math.exp(1 / gamma) + 2)
    assert correct_mass(bonus, x.correct) == pytest.approx(stop, abs=1e-6)


@FEW
@given(instances, st.floats(0, 3), st.floats(0, 1))
def test_diversity_rises_exactly_above_the_critical_gamma(x: Instance, gamma_p: float, gamma_n: float) -> None:
    """sign(dH/dt) = sign(gamma_p - gamma*); uncentred for the raw reward, centred for the class-centred one."""
    assume(np.ptp(x.q) > 1e-3)
    raw = entropy_rate(*x, expected_smoothed_update(*x, gamma_p=gamma_p, gamma_n=gamma_n))
    threshold = float(critical_gamma(*x, gamma_n=gamma_n, centered=False))
    assume(abs(gamma_p - threshold) > 1e-6)
    assert (raw > 0) == (gamma_p > threshold)

    u = np.log(x.q) + entropy(x.q)
    score = np.where(x.correct, 1.0, gamma_n * x.log_base)
    score[x.correct] -= gamma_p * u
    centred = entropy_rate(*x, x.p * (score - x.p @ score))
    threshold = float(critical_gamma(*x, gamma_n=gamma_n))
    assume(abs(gamma_p - threshold) > 1e-6)
    assert (centred > 0) == (gamma_p > threshold)


@FEW
@given(instances, st.floats(0.01, 2))
def test_smoothing_the_wrong_side_adds_to_the_collapse(x: Instance, gamma_n: float) -> None:
    assume(np.ptp(x.q) > 1e-3)
    assert critical_gamma(*x, gamma_n=gamma_n) > critical_gamma(*x)
    with_n, without = (entropy_rate(*x, expected_smoothed_update(*x, gamma_p=0.1, gamma_n=g)) for g in (gamma_n, 0.0))
    assert with_n < without


def test_smoothing_the_wrong_side_can_slow_correctness() -> None:
    """It always raises alpha, the pull on correct ones; but it also lifts the likely wrong ones on hard prompts."""

    def speed(x: Instance, gamma_n: float) -> float:
        update = expected_smoothed_update(*x, gamma_p=0.0, gamma_n=gamma_n)
        return float(x.q @ update[x.correct] - x.s @ update[~x.correct])  # d logit C

    hard, easy = instance([0.05], [0.9, 0.05]), instance([0.2], [0.6, 0.2])
    assert speed(hard, 0.5) < 0.5 * speed(hard, 0.0)
    assert speed(hard, 1.0) < 0
    assert speed(easy, 0.5) > speed(easy, 0.0)


@FEW
@given(instances)
def test_bounds_of_the_centred_critical_gamma(x: Instance) -> None:
    """gamma* >= (1-C) (1 - e^-U) / U, U = log max q + H(q); there is no upper bound."""
    assume(np.ptp(x.q) > 1e-3)
    top = math.log(x.q.max()) + entropy(x.q)
    assert critical_gamma(*x) >= (1 - x.c) * -math.expm1(-top) / top - 1e-12


def test_a_collapsed_class_needs_a_large_gamma() -> None:
    """Q = (1 - 1e-4, 1e-4): 1.15 (1 - C) is a typical value, not a law."""
    x = instance([0.5 * (1 - 1e-4), 0.5e-4], [0.5])
    assert critical_gamma(*x) > 100 * (1 - x.c)
    even = instance([0.26, 0.24], [0.5])
    assert critical_gamma(*even) == pytest.approx(0.5, abs=0.01)


@FEW
@given(instances, st.floats(0.001, 0.3))
def test_uncentred_smoothing_cannot_reverse_the_collapse_on_hard_prompts(x: Instance, c: float) -> None:
    """Up to 5 correct completions and C <= .3."""
    assume(np.ptp(x.q) > 1e-3)
    x = instance(c * x.q, (1 - c) * x.s)
    assert critical_gamma(*x, centered=False) == math.inf
    assert critical_gamma(*x) < math.inf


@pytest.mark.parametrize("off", [1e-4, 1e-6, 1e-8, 1e-10, 3e-12])
def test_the_critical_gamma_of_nearly_uniform_solutions(off: float) -> None:
    """With q = (1 + d_i) / n and small d: E_q[q u] = sum d^2 / n^2 and E_q[q u^2] the same, so gamma* -> 1 - C."""
    x = instance([0.2 * (1 + off), 0.2 * (1 - off), 0.2 * (1 + off / 3)], [0.4 - 0.2 * off / 3])
    assert critical_gamma(*x) == pytest.approx(0.4, rel=off + 1e-15 / off)


def test_uncentred_smoothing_can_with_very_many_solutions() -> None:
    """C = .29, one solution with 38 % of the correct mass and 19,999 equal ones: gamma* is finite."""
    q = np.r_[0.38, np.full(19_999, 0.62 / 19_999)]
    assert critical_gamma(*instance(0.29 * q, [0.71]), centered=False) < math.inf


@FEW
@given(instances, st.floats(0, 1.5), st.floats(0, 0.5), st.floats(0.05, 0.6), st.integers(0, 8))
def test_mirror_steps_are_a_tilt(x: Instance, gamma_p: float, gamma_n: float, eta: float, steps: int) -> None:
    log_pi = x.log_base
    for _ in range(steps):
        log_pi = softmax(log_pi + eta * reward(x, log_pi, gamma_p, gamma_n))
    exponents = iterate_equivalent(*x, gamma_p=gamma_p, gamma_n=gamma_n, learning_rate=eta, steps=steps)
    np.testing.assert_allclose(tilt(*x, **exponents._asdict()), log_pi, atol=1e-8)
    assert exponents.a == pytest.approx(1 - (1 - eta * gamma_p) ** steps)
    assert exponents.b == pytest.approx((1 + eta * gamma_n) ** steps - 1)


def test_a_frozen_base_without_kl_ends_in_the_rarest_solution() -> None:
    x = instance([0.3, 0.1, 0.02], [0.5, 0.08])
    fixed = reward(x, x.log_base, 0.1, 0.0)
    log_pi = x.log_base
    for _ in range(5000):
        log_pi = softmax(log_pi + 0.1 * fixed)
    assert log_pi.argmax() == 2
    assert effective_number(log_pi, x.correct) == pytest.approx(1, abs=1e-6)


@FEW
@given(instances, st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.3, 3))
def test_fixed_points_are_reached(x: Instance, ratio_p: float, ratio_n: float, beta: float) -> None:
    """Solving anew against the previous solution converges for gamma < beta, to the stated exponents."""
    gamma_p, gamma_n = ratio_p * beta, ratio_n * beta
    log_pi = x.log_base
    for _ in range(400):
        log_pi = softmax(x.log_base + reward(x, log_pi, gamma_p, gamma_n) / beta)
    powers = fixed_point_exponents(gamma_p=gamma_p, gamma_n=gamma_n, beta=beta)
    rest = tilt(*x, a=1 - powers.correct, b=powers.wrong - 1, kappa=0)
    for of in ("correct", "wrong"):
        members = x.correct if of == "correct" else ~x.correct
        found, expected = (conditional(pi, x.correct, of=of)[members] for pi in (log_pi, rest))  # type: ignore[arg-type]
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_beyond_beta_the_plain_iteration_oscillates_and_small_steps_do_not() -> None:
    x, beta, gamma_p = instance([0.4, 0.1], [0.5]), 1.0, 1.5
    plain = small = x.log_base
    gaps = []
    for _ in range(60):
        plain = softmax(x.log_base + reward(x, plain, gamma_p, 0.0) / beta)
        gaps.append(plain[0] - plain[1])
    assert abs(gaps[-1]) > 1e6  # grows by 1.5 each time, with alternating sign
    assert gaps[-1] * gaps[-2] < 0
    for _ in range(2000):
        target = x.log_base + reward(x, small, gamma_p, 0.0) / beta
        small = softmax(0.9 * small + 0.1 * target)
    power = fixed_point_exponents(gamma_p=gamma_p, beta=beta).correct
    assert small[0] - small[1] == pytest.approx(power * math.log(4), abs=1e-9)


def test_gamma_n_above_beta_collapses_the_wrong_class_not_the_policy() -> None:
    """S runs to the most likely wrong completion; C need not fall."""
    x, beta, gamma_n = instance([0.2, 0.1], [0.4, 0.3]), 1.0, 1.2
    log_pi = x.log_base
    for _ in range(40):
        log_pi = softmax(x.log_base + reward(x, log_pi, 0.0, gamma_n) / beta)
    assert conditional(log_pi, x.correct, of="wrong")[2] > -1e-9
    assert logit_mass(log_pi, x.correct) > logit_mass(*x)


@FEW
@given(st.lists(st.floats(-20, -0.1), min_size=2, max_size=6), st.floats(0.05, 0.5))
def test_the_class_centred_bonus_sums_to_zero(logprobs: list[float], kappa: float) -> None:
    """What `ds-grpo-centered` adds to the correct ones cancels (as long as nothing is clipped)."""
    correct = [True] * len(logprobs) + [False]
    batch = GroupBatch(rewards=[[float(c) for c in correct]], correct=[correct], logprobs=[[*logprobs, -3.0]])
    shaped = centered_smoothing(kappa=kappa, clip=100.0)(batch.rewards, batch)
    bonus = (shaped - batch.rewards)[0]
    assert bonus.sum() == pytest.approx(0, abs=1e-9)
    assert bonus[-1] == 0


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: fixed_point_exponents(gamma_p=0.1, gamma_n=1.0, beta=1.0), "need gamma_n < beta"),
        (lambda: fixed_point_exponents(gamma_p=0.1, beta=-1.0), "beta must be finite and above 0, found -1.0"),
        (lambda: critical_gamma(*instance([1], [1]), gamma_n=-1), "gamma_n must be finite and at least 0"),
        (lambda: potential(*instance([1], [1]), gamma_p=math.nan), "gamma_p must be finite"),
        (
            lambda: iterate_equivalent(*instance([1, 2], [1, 2]), gamma_p=0, gamma_n=9, learning_rate=9, steps=500),
            "the iterate overflows",
        ),
    ],
)
def test_refuses(call: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()
