"""Theorem 3.4 of arXiv 2511.19942: where it holds, where it fails, and that the verdict is exact."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, coefficients, instance, instances, random_instance

from unsharpen.errors import InputError
from unsharpen.theory import (
    KINDS,
    Match,
    correct_mass,
    divergence,
    dominate,
    effective_number,
    entropy_bonus,
    entropy_proxy,
    is_feasible,
    logit_mass,
    shannon,
    smoothed,
    tilt,
)

FEW = settings(max_examples=30)
FORMS = st.sampled_from(["bonus", "proxy"])
MEASURES = {"shannon": shannon, "effective": effective_number}


def entropy_policy(x: Instance, gamma: float, beta: float, form: Any) -> np.ndarray:
    return (entropy_bonus if form == "bonus" else entropy_proxy)(*x, gamma=gamma, beta=beta)


def policy_of(x: Instance, match: Match) -> np.ndarray:
    """The match through the front door: its coefficients, not its policy."""
    return smoothed(*x, gamma_p=match.gamma_p, gamma_n=match.gamma_n, beta=match.beta, offset=match.offset)


@FEW
@given(instances, coefficients, coefficients, FORMS, st.sampled_from(["shannon", "effective"]))
def test_a_match_is_as_good_in_every_respect(x: Instance, gamma: float, beta: float, form: Any, measure: Any) -> None:
    rival = entropy_policy(x, gamma, beta, form)
    for kind in KINDS:
        match = dominate(*x, gamma=gamma, beta=beta, form=form, kind=kind, diversity=measure)
        if not match.feasible:
            continue
        assert match.gamma_p >= 0 == match.gamma_n == match.offset
        assert match.beta > 0
        policy = policy_of(x, match)
        np.testing.assert_allclose(policy, match.log_policy, atol=1e-6)
        assert logit_mass(policy, x.correct) >= logit_mass(rival, x.correct) - 1e-7
        assert MEASURES[measure](policy, x.correct) >= MEASURES[measure](rival, x.correct) - 1e-7
        assert divergence(policy, x.log_base, kind) <= divergence(rival, x.log_base, kind) + 1e-7


@FEW
@given(instances, coefficients, coefficients, FORMS)
def test_a_positive_lever_is_enough_for_every_divergence(x: Instance, gamma: float, beta: float, form: Any) -> None:
    """And then the recipe of the proof, at equal C, is itself a match."""
    match = dominate(*x, gamma=gamma, beta=beta, form=form)
    assume(match.lever > 1e-9)
    rival = entropy_policy(x, gamma, beta, form)
    z = float(logit_mass(rival, x.correct))
    kappa = z - float(logit_mass(tilt(*x, a=match.a, b=0, kappa=0), x.correct))
    assert kappa >= match.lever - 1e-9
    recipe = smoothed(*x, gamma_p=match.a / kappa, beta=1 / kappa)
    assert logit_mass(recipe, x.correct) == pytest.approx(z, abs=1e-9)
    assert shannon(recipe, x.correct) >= shannon(rival, x.correct) - 1e-9
    for kind in KINDS:
        assert is_feasible(*x, gamma=gamma, beta=beta, form=form, kind=kind)
        assert divergence(recipe, x.log_base, kind) <= divergence(rival, x.log_base, kind) + 1e-9


@FEW
@given(instances, coefficients, coefficients, FORMS)
def test_what_a_positive_lever_needs(x: Instance, gamma: float, beta: float, form: Any) -> None:
    """L >= 0 implies gamma_e <= 1 / E_s[-log p], in nats, whatever beta."""
    if dominate(*x, gamma=gamma, beta=beta, form=form).lever >= 0:
        assert gamma * -(x.s @ x.log_base[~x.correct]) <= 1 + 1e-9


@FEW
@given(instances, coefficients, coefficients, FORMS)
def test_a_centred_bonus_always_matches(x: Instance, gamma: float, beta: float, form: Any) -> None:
    rival = entropy_policy(x, gamma, beta, form)
    for kind in KINDS:
        for parameter in (0.5, 3.0) if kind == "renyi" else (None,):
            match = dominate(*x, gamma=gamma, beta=beta, form=form, kind=kind, parameter=parameter, centered=True)
            assert match.feasible
            policy = policy_of(x, match)
            assert logit_mass(policy, x.correct) >= logit_mass(rival, x.correct) - 1e-7
            assert shannon(policy, x.correct) >= shannon(rival, x.correct) - 1e-7
            far = divergence(rival, x.log_base, kind, parameter=parameter)
            assert divergence(policy, x.log_base, kind, parameter=parameter) <= far + 1e-7 * (1 + far)


def search(x: Instance, rival: np.ndarray, kind: Any, rng: np.random.Generator, tied: bool = False) -> np.ndarray:
    """Margins of 3,000 smoothed policies over the rival: the least of the gains in logit C, entropy and divergence."""
    size = 3000
    a = rng.choice([rng.uniform(0, 2, size), rng.uniform(0, 0.3, size), rng.uniform(0.8, 1.1, size)])
    b = a if tied else rng.choice([0.0, 1.0], size=size) * rng.exponential(0.3, size)
    kappa = np.exp(rng.uniform(-9, 4, size))
    scores = np.where(x.correct, (1 - a)[:, None] * x.log_base + kappa[:, None], (1 + b)[:, None] * x.log_base)
    policies = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    more_correct = logit_mass(policies, x.correct) - logit_mass(rival, x.correct)
    more_diverse = shannon(policies, x.correct) - shannon(rival, x.correct)
    nearer = divergence(rival, x.log_base, kind) - divergence(policies, x.log_base, kind)
    return np.minimum(np.minimum(more_correct, more_diverse), nearer)


@pytest.mark.parametrize("tied", [False, True])
def test_a_verdict_of_infeasible_withstands_a_search(tied: bool) -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(150):
        x = random_instance(rng, largest=4)
        gamma, beta = np.exp(rng.uniform(-2, 2, 2))
        form: Any = rng.choice(["bonus", "proxy"])
        rival = entropy_policy(x, gamma, beta, form)
        for kind in KINDS:
            if not is_feasible(*x, gamma=gamma, beta=beta, form=form, kind=kind, tied=tied):
                refused += 1
                assert search(x, rival, kind, rng, tied).max() < 1e-9
    assert refused > 40


def test_counterexample_1() -> None:
    """True bonus: to match the diversity a >= .909 is needed, which with any beta > 0 brings C >= .946."""
    x = instance([0.85, 0.05], [0.1])
    rival = entropy_bonus(*x, gamma=2.0, beta=0.2)
    np.testing.assert_allclose(np.exp(rival), [0.436, 0.337, 0.228], atol=5e-4)
    assert correct_mass(rival, x.correct) == pytest.approx(0.772, abs=5e-4)
    assert divergence(rival, x.log_base) == pytest.approx(0.5383, abs=5e-5)
    match = dominate(*x, gamma=2.0, beta=0.2)
    assert not match.feasible
    assert match.a == pytest.approx(0.909, abs=5e-4)
    assert correct_mass(match.log_policy, x.correct) == pytest.approx(0.946, abs=5e-4)
    assert match.smoothed.divergence == pytest.approx(0.588, abs=5e-4)
    assert match.beta == match.gamma_p == math.inf
    verdicts = {kind: is_feasible(*x, gamma=2.0, beta=0.2, kind=kind) for kind in KINDS}
    assert verdicts == {
        "reverse-kl": False,
        "forward-kl": True,
        "mixture-kl": False,
        "renyi": False,
        "tv": True,
        "chi2": False,
    }


def test_counterexample_2() -> None:
    """Tied gammas fail although the lever is positive; free ones do not."""
    x = instance([0.0132, 0.3947], [0.3289, 0.2632])
    tied = dominate(*x, gamma=0.75, beta=1.0, form="proxy", tied=True)
    free = dominate(*x, gamma=0.75, beta=1.0, form="proxy")
    assert tied.lever == free.lever == pytest.approx(0.088, abs=5e-4)
    assert tied.b == tied.a == 0.75
    assert (tied.feasible, free.feasible) == (False, True)


@FEW
@given(st.integers(1, 4), st.lists(st.floats(0.01, 1), min_size=1, max_size=4), coefficients, coefficients, FORMS)
def test_one_or_equally_likely_correct_completions(
    count: int, wrong: list[float], gamma: float, beta: float, form: Any
) -> None:
    """a* = 0: the claim holds without smoothing anything, and without a gain in diversity."""
    x = instance([0.3] * count, wrong)
    match = dominate(*x, gamma=gamma, beta=beta, form=form)
    assert match.feasible
    assert match.a == match.gamma_p == 0
    assert match.smoothed.diversity == pytest.approx(match.entropy.diversity, abs=1e-9)


def test_the_claim_can_hold_in_the_limit_only() -> None:
    """Gamma = 1/log 2 leaves (2/3 | 1/3) as it is; then only beta = infinity stays at distance 0."""
    x = instance([2 / 3], [1 / 3])
    for form, beta in (("bonus", 0.7), ("proxy", 1.0)):
        match = dominate(*x, gamma=1 / math.log(2), beta=beta, form=form)  # type: ignore[arg-type]
        assert match.entropy.divergence == pytest.approx(0, abs=1e-12)
        assert match.feasible  # in the closure
        assert match.beta > 1e4
        for strength in (0.1, 10.0, 1000.0):
            assert divergence(smoothed(*x, gamma_p=0.0, beta=strength), x.log_base) > 0


def test_a_proxy_beyond_one_is_matched_from_below() -> None:
    """a_e = 1.6 prefers rare completions; some a* < 1 is as diverse and nearer to the base."""
    x = instance([0.4, 0.2, 0.1], [0.2, 0.1])
    for measure, value in MEASURES.items():
        match = dominate(*x, gamma=1.6, beta=1.0, form="proxy", diversity=measure)  # type: ignore[arg-type]
        assert 0 < match.a < 1
        wanted = float(value(entropy_proxy(*x, gamma=1.6, beta=1.0), x.correct))
        assert match.smoothed.diversity == pytest.approx(wanted, abs=1e-12)
        assert value(tilt(*x, a=match.a - 1e-3, b=0, kappa=0), x.correct) < wanted


def test_a_larger_budget_is_easier() -> None:
    x = instance([0.85, 0.05], [0.1])
    needed = dominate(*x, gamma=2.0, beta=0.2).smoothed.divergence
    assert not is_feasible(*x, gamma=2.0, beta=0.2, budget=needed - 1e-4)
    match = dominate(*x, gamma=2.0, beta=0.2, budget=needed + 1e-4)
    assert match.feasible
    assert match.beta < math.inf
    assert divergence(policy_of(x, match), x.log_base) <= needed + 1e-4


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"gamma": -1.0}, "gamma must be finite and at least 0, found -1.0"),
        ({"beta": 0.0}, "beta must be finite and above 0, found 0.0"),
        ({"budget": 0.1}, "budget must be at least the entropy policy's 0.538"),
        ({"tied": True, "centered": True}, "tied or centered, not both"),
        ({"diversity": "support"}, "diversity must be one of 'shannon', 'effective'; found 'support'"),
        ({"form": "penalty"}, "form must be one of"),
        ({"kind": "kl"}, "kind must be one of"),
    ],
)
def test_refuses(change: dict[str, Any], match: str) -> None:
    x = instance([0.85, 0.05], [0.1])
    with pytest.raises(InputError, match=match):
        dominate(*x, **{"gamma": 2.0, "beta": 0.2, **change})


def test_refuses_several_prompts() -> None:
    x = instance([0.85, 0.05], [0.1])
    with pytest.raises(InputError, match=r"one prompt, \[n\]; found shape \(2, 3\)"):
        dominate(np.stack([x.log_base] * 2), x.correct, gamma=1.0, beta=1.0)
