"""Closed forms: they are the maximisers they claim to be, and do to q, s and C what docs/theory.md says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, coefficients, entropy, gammas, instance, instances

from unsharpen.theory import (
    conditional,
    correct_mass,
    divergence,
    effective_number,
    entropy_bonus,
    entropy_proxy,
    entropy_slope,
    logit_mass,
    normalised_variance,
    shannon,
    smoothed,
    tilt,
    vanilla,
)

FEW = settings(max_examples=40)


def logit(x: float) -> float:
    return math.log(x / (1 - x))


def is_majorised(q: np.ndarray, by: np.ndarray) -> bool:
    """Whether q is at least as even: every partial sum of its largest entries is at most that of the other."""
    return bool((np.cumsum(np.sort(q)[::-1]) <= np.cumsum(np.sort(by)[::-1]) + 1e-12).all())


@FEW
@given(instances, gammas, gammas, st.floats(0.05, 5.0), st.integers(0, 2**32 - 1))
def test_closed_forms_maximise_their_objectives(
    x: Instance, gamma: float, gamma_n: float, beta: float, seed: int
) -> None:
    """Against the base and 200 random policies, some of them close by."""
    log_p, reward = x.log_base, x.correct.astype(float)
    smooth = np.where(x.correct, 1 - gamma * log_p, gamma_n * log_p)

    def kl(pi: np.ndarray) -> np.ndarray:
        return (pi * (np.log(pi) - log_p)).sum(-1)

    objectives = {
        "vanilla": (vanilla(*x, beta=beta), lambda pi: pi @ reward - beta * kl(pi)),
        "proxy": (
            entropy_proxy(*x, gamma=gamma, beta=beta),
            lambda pi: pi @ (reward - gamma * log_p) - beta * kl(pi),
        ),
        "bonus": (
            entropy_bonus(*x, gamma=gamma, beta=beta),
            lambda pi: pi @ reward - gamma * (pi * np.log(pi)).sum(-1) - beta * kl(pi),
        ),
        "smoothed": (
            smoothed(*x, gamma_p=gamma, gamma_n=gamma_n, beta=beta),
            lambda pi: pi @ smooth - beta * kl(pi),
        ),
    }
    rng = np.random.default_rng(seed)
    for name, (log_best, value) in objectives.items():
        best = np.maximum(np.exp(log_best), 1e-300)
        near = best * np.exp(rng.normal(scale=0.01, size=(100, len(best))))
        far = rng.dirichlet(np.ones(len(best)), size=100)
        others = np.maximum(np.vstack([near / near.sum(-1, keepdims=True), far, x.p[None]]), 1e-300)
        assert value(best) >= value(others).max() - 1e-9 * (1 + abs(value(best))), name


@FEW
@given(instances, st.floats(0.01, 50))
def test_vanilla_keeps_the_shape_and_adds_to_the_odds(x: Instance, beta: float) -> None:
    policy = vanilla(*x, beta=beta)
    for of in ("correct", "wrong"):
        members = x.correct if of == "correct" else ~x.correct
        np.testing.assert_allclose(
            conditional(policy, x.correct, of=of)[members],  # type: ignore[arg-type]
            conditional(*x, of=of)[members],  # type: ignore[arg-type]
            atol=1e-9,
        )
    assert logit_mass(policy, x.correct) == pytest.approx(logit(x.c) + 1 / beta, rel=1e-12, abs=1e-12)


@FEW
@given(instances, coefficients, coefficients)
def test_true_bonus_is_the_proxy_with_a_larger_beta(x: Instance, gamma: float, beta: float) -> None:
    bonus = entropy_bonus(*x, gamma=gamma, beta=beta)
    np.testing.assert_allclose(bonus, entropy_proxy(*x, gamma=gamma, beta=beta + gamma), atol=1e-12)


@FEW
@given(instances, st.floats(-1.0, 2.0), st.floats(0.0, 2.0), st.floats(-3, 3), st.floats(-3, 3))
def test_flattening_is_majorisation_up_to_one(x: Instance, a: float, width: float, b: float, kappa: float) -> None:
    """On a <= 1 q evens out; past 1 it does the reverse. b and kappa do not touch q."""
    first, second = (np.exp(conditional(tilt(*x, a=e, b=b, kappa=kappa), x.correct)) for e in (a, a + width))
    if a + width <= 1:
        assert is_majorised(second, by=first)
    if a >= 1:
        assert is_majorised(first, by=second)
    uniform = np.exp(conditional(tilt(*x, a=1, b=b, kappa=kappa), x.correct))[x.correct]
    np.testing.assert_allclose(uniform, 1 / x.correct.sum())


@FEW
@given(instances, st.floats(-1.0, 2.5))
def test_entropy_rises_at_the_stated_rate(x: Instance, a: float) -> None:
    """dH/da = (1 - a) Var_{q_a}(log q_b)."""
    h = 1e-5
    entropies = [float(shannon(tilt(*x, a=e, b=0, kappa=0), x.correct)) for e in (a - h, a + h)]
    q = np.exp(conditional(tilt(*x, a=a, b=0, kappa=0), x.correct))[x.correct]
    log_q = np.log(x.q)
    variance = float((q * log_q**2).sum() - (q @ log_q) ** 2)
    assert (entropies[1] - entropies[0]) / (2 * h) == pytest.approx((1 - a) * variance, abs=1e-6)


@FEW
@given(instances, st.floats(0, 1.5), st.floats(0, 1.5), coefficients)
def test_smoothing_raises_correctness_and_divergence(x: Instance, a: float, b: float, beta: float) -> None:
    """D logit C/da = E_q[-log p], d logit C/db = E_s[-log p], at fixed beta; the price is more KL."""
    h, kappa = 1e-5, 1 / beta

    def at(a: float, b: float) -> tuple[float, float]:
        policy = tilt(*x, a=a, b=b, kappa=kappa)
        return float(logit_mass(policy, x.correct)), float(divergence(policy, x.log_base))

    q, s = (
        np.exp(conditional(tilt(*x, a=a, b=b, kappa=kappa), x.correct, of=of))[members]  # type: ignore[arg-type]
        for of, members in (("correct", x.correct), ("wrong", ~x.correct))
    )
    log_p = x.log_base
    assert (at(a + h, b)[0] - at(a - h, b)[0]) / (2 * h) == pytest.approx(-(q @ log_p[x.correct]), rel=1e-5)
    assert (at(a, b + h)[0] - at(a, b - h)[0]) / (2 * h) == pytest.approx(-(s @ log_p[~x.correct]), rel=1e-5)
    assert at(a + 0.1, b)[1] >= at(a, b)[1] - 1e-12
    assert at(a, b + 0.1)[1] >= at(a, b)[1] - 1e-12


@FEW
@given(instances, st.floats(0, 2), coefficients, st.sampled_from(["proxy", "bonus"]))
def test_entropy_slope_is_the_derivative(x: Instance, gamma: float, beta: float, form: str) -> None:
    solve = entropy_proxy if form == "proxy" else entropy_bonus
    h = 1e-5 * beta
    up, down = (float(logit_mass(solve(*x, gamma=g, beta=beta), x.correct)) for g in (gamma + h, gamma - h))
    slope = entropy_slope(*x, gamma=gamma, beta=beta, form=form)  # type: ignore[arg-type]
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-4)


@FEW
@given(instances)
def test_entropy_slope_at_zero_is_a_difference_of_entropies(x: Instance) -> None:
    assert entropy_slope(*x) == pytest.approx(entropy(x.q) - entropy(x.s) - logit(x.c), abs=1e-9)


@pytest.mark.parametrize(("right", "wrong"), [(6, 2), (2, 6), (4, 4), (5, 1)])
@pytest.mark.parametrize("c", [0.2, 0.5, 0.8])
def test_multiplicity_decides_in_the_uniform_case(right: int, wrong: int, c: float) -> None:
    """The proxy helps iff n_P > n_N c/(1-c), for every gamma; the true bonus iff n_P > n_N C/(1-C) of vanilla."""
    x = instance(np.full(right, c / right), np.full(wrong, (1 - c) / wrong))
    before = float(logit_mass(vanilla(*x, beta=1.0), x.correct))
    for gamma in (0.01, 0.3, 2.0):
        proxy = float(logit_mass(entropy_proxy(*x, gamma=gamma, beta=1.0), x.correct))
        bonus = float(logit_mass(entropy_bonus(*x, gamma=gamma, beta=1.0), x.correct))
        assert (proxy > before + 1e-12) == (math.log(right / wrong) > logit(c) + 1e-12)
        assert (bonus > before + 1e-12) == (math.log(right / wrong) > before + 1e-12)


def test_the_slope_at_zero_does_not_decide_for_large_gamma() -> None:
    """A little bonus hurts here and much of it helps: D changes its sign."""
    x = instance([0.5, 0.001], [0.16, 0.16, 0.179])
    assert entropy_slope(*x) < 0 < entropy_slope(*x, gamma=1.0)
    small, large, none = (float(logit_mass(tilt(*x, a=a, b=-a, kappa=1.0), x.correct)) for a in (0.1, 3.0, 0.0))
    assert small < none < large


@FEW
@given(instances, st.floats(-8, 8), st.integers(0, 2**32 - 1))
def test_vanilla_has_the_least_reverse_kl_at_its_correctness(x: Instance, kappa: float, seed: int) -> None:
    """KL = kl(C, c) + C KL(q, q_b) + (1 - C) KL(s, s_b): any other shape costs more."""
    best = tilt(*x, a=0, b=0, kappa=kappa)
    mass = float(correct_mass(best, x.correct))
    kl_two = sum(m * math.log(m / b) for m, b in ((mass, x.c), (1 - mass, 1 - x.c)) if m > 0)
    least = float(divergence(best, x.log_base))
    assert least == pytest.approx(kl_two, abs=1e-9)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        q, s = (np.maximum(rng.dirichlet(np.ones(len(part))), 1e-12) for part in (x.q, x.s))
        q, s = q / q.sum(), s / s.sum()
        log_pi = np.empty_like(x.log_base)
        log_pi[x.correct] = math.log(mass) + np.log(q)
        log_pi[~x.correct] = math.log1p(-mass) + np.log(s) if mass < 1 else -700
        if mass < 1 - 1e-9:
            parts = mass * (q @ np.log(q / x.q)) + (1 - mass) * (s @ np.log(s / x.s))
            assert divergence(log_pi, x.log_base) == pytest.approx(least + parts, abs=1e-8)


@FEW
@given(instances, st.integers(0, 2**32 - 1))
def test_the_frontier_dominates_every_policy(x: Instance, seed: int) -> None:
    """Some tilt(a, 0, kappa), 0 <= a <= 1, has the same C, at least the entropy and at most the reverse KL."""
    pi = np.maximum(np.random.default_rng(seed).dirichlet(np.ones(len(x.correct))), 1e-9)
    log_pi = np.log(pi / pi.sum())
    wanted = float(shannon(log_pi, x.correct))
    low, high = 0.0, 1.0
    if wanted <= entropy(x.q):
        high = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = shannon(tilt(*x, a=middle, b=0, kappa=0), x.correct) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    kappa = float(logit_mass(log_pi, x.correct) - logit_mass(tilt(*x, a=high, b=0, kappa=0), x.correct))
    match = tilt(*x, a=high, b=0, kappa=kappa)
    assert logit_mass(match, x.correct) == pytest.approx(float(logit_mass(log_pi, x.correct)), abs=1e-9)
    assert shannon(match, x.correct) >= wanted - 1e-9
    assert divergence(match, x.log_base) <= divergence(log_pi, x.log_base) + 1e-9


@FEW
@given(instances, st.floats(0, 1), st.floats(-0.5, 0.5))
def test_where_the_frontier_ends(x: Instance, a: float, beyond: float) -> None:
    """At fixed q, more correctness costs KL exactly from kappa = -a E_{q_a}[-log p] on; below, the member is dominated.

    So the family is the frontier for kappa >= 0, and a little further, but not for every kappa.
    """
    q = np.exp(conditional(tilt(*x, a=a, b=0, kappa=0), x.correct))[x.correct]
    edge = a * float(q @ x.log_base[x.correct])
    h = 1e-4
    costs = [float(divergence(tilt(*x, a=a, b=0, kappa=edge + beyond + d), x.log_base)) for d in (-h, h)]
    rise = (costs[1] - costs[0]) / (2 * h)
    if abs(beyond) > 0.01:
        assert (rise > -1e-9) == (beyond > 0) or abs(rise) < 1e-7


def test_measures_by_hand() -> None:
    policy, correct = np.log([0.3, 0.1, 0.6]), [True, True, False]
    assert correct_mass(policy, correct) == pytest.approx(0.4)
    assert logit_mass(policy, correct) == pytest.approx(math.log(0.4 / 0.6))
    assert effective_number(policy, correct) == pytest.approx(1.6)
    assert normalised_variance(policy, correct) == pytest.approx(0.25)
    # H(3/4, 1/4) = log 4 - 3/4 log 3
    assert shannon(policy, correct) == pytest.approx(math.log(4) - 0.75 * math.log(3))
    many = np.stack([policy, np.log([0.2, 0.2, 0.6])])
    np.testing.assert_allclose(effective_number(many, correct), [1.6, 2.0])


def test_log_space_keeps_what_probabilities_lose() -> None:
    policy = vanilla(np.log([0.25, 0.25, 0.5]), [True, True, False], beta=1 / 500)
    assert correct_mass(policy, [True, True, False]) == 1.0
    assert logit_mass(policy, [True, True, False]) == pytest.approx(500, rel=1e-12)
