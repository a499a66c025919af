"""Expected updates and selection: against sampled groups, finite differences, and the flow itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, entropy, gammas, instance, instances

from unsharpen import GroupBatch, get_method
from unsharpen.errors import InputError
from unsharpen.theory import (
    collapse_rate,
    conditional,
    entropy_rate,
    expected_grpo_update,
    expected_smoothed_update,
    logit_mass,
    selection_probability,
    shannon,
)

FEW = settings(max_examples=30)
EXAMPLE = instance([0.3, 0.12, 0.03], [0.35, 0.2])


def softmax(x: np.ndarray) -> np.ndarray:
    return x - np.logaddexp.reduce(x)


def sampled_groups(x: Instance, size: int, groups: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(x.correct), size=(groups, size), p=x.p)


def mean_update(x: Instance, drawn: np.ndarray, advantages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over groups of (1/G) sum_g A_g (e_g - pi), with its standard error."""
    onehot = np.eye(len(x.correct))[drawn] - x.p
    each = (advantages[:, :, None] * onehot).mean(axis=1)
    return each.mean(axis=0), each.std(axis=0) / np.sqrt(len(each))


@pytest.mark.parametrize("size", [2, 4, 16])
def test_selection_probability_equals_counting(size: int) -> None:
    drawn = sampled_groups(EXAMPLE, size, 40_000)
    right = EXAMPLE.correct[drawn].sum(axis=1)
    mixed = (right > 0) & (right < size)
    counted = [float((mixed & (drawn == i).any(axis=1)).mean()) for i in range(5)]
    np.testing.assert_allclose(selection_probability(*EXAMPLE, group_size=size), counted, atol=0.01)


@FEW
@given(instances, st.integers(2, 64))
def test_selection_probability_formula(x: Instance, size: int) -> None:
    p, mass = x.p, np.where(x.correct, x.c, 1 - x.c)
    naive = 1 - (1 - p) ** size - (mass**size - (mass - p) ** size)
    np.testing.assert_allclose(selection_probability(*x, group_size=size), naive, atol=1e-12)


def test_selection_keeps_digits_for_rare_completions() -> None:
    """1 - (1 - p)^G - [C^G - (C - p)^G] ~ G p (1 - C^(G-1)) for tiny p."""
    x = instance([0.5, 1e-18], [0.5])
    expected = 8 * 1e-18 * (1 - 0.5**7)
    assert selection_probability(*x, group_size=8)[1] == pytest.approx(expected, rel=1e-9)


METHODS: list[tuple[Any, dict[str, Any]]] = [
    (get_method("grpo", ddof=0, eps=1e-9), {"ddof": 0}),
    (get_method("grpo"), {"ddof": 1, "eps": 1e-4}),
    (get_method("dr-grpo"), {"scale": "none"}),
]


@pytest.mark.parametrize(("method", "options"), METHODS, ids=["std", "trl", "none"])
@pytest.mark.parametrize("size", [2, 8])
def test_expected_grpo_update_equals_the_mean_of_the_catalogue_method(
    method: Any, options: dict[str, Any], size: int
) -> None:
    drawn = sampled_groups(EXAMPLE, size, 40_000, seed=1)
    right = EXAMPLE.correct[drawn]
    advantages = method.advantages(GroupBatch(rewards=right.astype(float), correct=right))
    sampled, error = mean_update(EXAMPLE, drawn, advantages)
    expected = expected_grpo_update(*EXAMPLE, group_size=size, **options)
    assert (np.abs(sampled - expected) < 4.5 * error + 1e-9).all()
    assert error.max() < 0.05 * np.abs(expected).max()
    assert expected.sum() == pytest.approx(0, abs=1e-12)


@FEW
@given(instances, st.integers(2, 40))
def test_grpo_update_closed_forms(x: Instance, size: int) -> None:
    """E[d theta_i] = q_i m on P and -s_i m on N; unscaled m = C (1-C)(1 - 1/G)."""
    signed = np.where(x.correct, 1.0, -1.0) * np.concatenate([x.q, x.s])
    flat = expected_grpo_update(*x, group_size=size, scale="none")
    np.testing.assert_allclose(flat, signed * x.c * (1 - x.c) * (1 - 1 / size), atol=1e-12)
    scaled = expected_grpo_update(*x, group_size=size)
    m = scaled[0] / signed[0]
    np.testing.assert_allclose(scaled, signed * m, atol=1e-12)
    assert 0 < m <= 0.5
    assert m >= x.c * (1 - x.c) * (1 - 1 / size)  # dividing by a std of at most 1/2 can only enlarge


@pytest.mark.parametrize("size", [2, 8, 64])
def test_selection_and_reinforcement_share_a_slope_of_one(size: int) -> None:
    """At fixed C the update is proportional to p; the log-slopes of its two factors add up to 1."""
    slopes = []
    for p in (1e-4, 1e-2, 0.2, 0.39):
        logs = []
        for d in (-1e-5, 1e-5):
            x = instance([p * np.exp(d), 0.4 - p * np.exp(d)], [0.6])
            selected = selection_probability(*x, group_size=size)[0]
            given_selected = expected_grpo_update(*x, group_size=size)[0] / selected
            logs.append(np.log([selected, given_selected]))
        slopes.append((logs[1] - logs[0]) / 2e-5)
        assert slopes[-1].sum() == pytest.approx(1, abs=1e-5)
    selection = [float(s[0]) for s in slopes]
    assert (np.diff(selection) <= 1e-6).all()
    assert selection[0] > 0.99  # G p << 1
    if size == 64:
        assert selection[-1] < 0.01  # G p >> 1


@pytest.mark.parametrize("stage", ["reward", "advantage"])
def test_expected_smoothed_update_equals_the_mean_of_the_catalogue_method(stage: Any) -> None:
    size, coefficients = 8, {"gamma_p": 0.3, "gamma_n": 0.1}
    method = (
        get_method("ds-grpo-reward", length="sum", **coefficients)
        if stage == "reward"
        else get_method("ds-grpo-sum", ddof=0, eps=1e-9, **coefficients)
    )
    drawn = sampled_groups(EXAMPLE, size, 60_000, seed=2)
    right = EXAMPLE.correct[drawn]
    batch = GroupBatch(rewards=right.astype(float), correct=right, logprobs=EXAMPLE.log_base[drawn])
    sampled, error = mean_update(EXAMPLE, drawn, method.advantages(batch))
    expected = expected_smoothed_update(*EXAMPLE, group_size=size, stage=stage, **coefficients)
    assert (np.abs(sampled - expected) < 4.5 * error).all()
    assert error.max() < 0.05 * np.abs(expected).max()


@FEW
@given(instances, gammas, gammas)
def test_the_smoothed_advantage_of_a_correct_completion(x: Instance, gamma_p: float, gamma_n: float) -> None:
    """A_i = alpha - gamma_p u_i with alpha = (1-C)[1 + gamma_p (H(q) - log C) + gamma_n (H(s) - log(1-C))]."""
    advantages = expected_smoothed_update(*x, gamma_p=gamma_p, gamma_n=gamma_n) / x.p
    alpha = (1 - x.c) * (1 + gamma_p * (entropy(x.q) - np.log(x.c)) + gamma_n * (entropy(x.s) - np.log(1 - x.c)))
    u = np.log(x.q) + entropy(x.q)
    np.testing.assert_allclose(advantages[x.correct], alpha - gamma_p * u, atol=1e-9)


@FEW
@given(instances, st.floats(0, 2), st.floats(0, 2))
def test_entropy_rate_is_the_derivative(x: Instance, gamma_p: float, gamma_n: float) -> None:
    update = expected_smoothed_update(*x, gamma_p=gamma_p, gamma_n=gamma_n)
    h = 1e-6
    up, down = (float(shannon(softmax(x.log_base + d * update), x.correct)) for d in (h, -h))
    assert entropy_rate(*x, update) == pytest.approx((up - down) / (2 * h), abs=1e-6)


@FEW
@given(instances)
def test_policy_gradient_never_lowers_the_concentration(x: Instance) -> None:
    """dq_i = C (1-C) q_i (q_i - sum q^2), so sum q^2 cannot fall; on N it is the other way round."""
    update = expected_smoothed_update(*x, gamma_p=0.0)
    dq = x.q * (update[x.correct] - x.q @ update[x.correct])
    square = float(x.q @ x.q)
    np.testing.assert_allclose(dq, x.c * (1 - x.c) * x.q * (x.q - square), atol=1e-12)
    assert x.q @ dq >= -1e-12
    ds = x.s * (update[~x.correct] - x.s @ update[~x.correct])
    assert x.s @ ds <= 1e-12


@pytest.mark.parametrize("scale", ["std", "none"])
def test_the_collapse_law_along_a_flow(scale: Any) -> None:
    """log(q_i/q_j), integrated over logit C by the law, equals the flow's own, to 1e-4."""
    log_pi, correct, h = *EXAMPLE, 0.05  # midpoint rule
    predicted = conditional(log_pi, correct)[:3]
    before = float(logit_mass(log_pi, correct))
    while before < 5:
        half = softmax(log_pi + h / 2 * expected_grpo_update(log_pi, correct, group_size=8, scale=scale))
        log_pi = softmax(log_pi + h * expected_grpo_update(half, correct, group_size=8, scale=scale))
        after = float(logit_mass(log_pi, correct))
        predicted = predicted + collapse_rate(half, correct)[:3] * (after - before)
        before = after
    actual = conditional(log_pi, correct)[:3]
    np.testing.assert_allclose(predicted - predicted[0], actual - actual[0], atol=1e-4)
    assert actual[0] - actual[1] > 2 * (np.log(0.3) - np.log(0.12))  # and that is a collapse


def test_a_natural_gradient_step_does_not_collapse() -> None:
    """Its increments are r - C, the same for all correct completions, so q stays."""
    log_pi = EXAMPLE.log_base
    for _ in range(200):
        mass = np.exp(log_pi[EXAMPLE.correct]).sum()
        log_pi = softmax(log_pi + 0.1 * (EXAMPLE.correct - mass))
    np.testing.assert_allclose(conditional(log_pi, EXAMPLE.correct)[:3], np.log(EXAMPLE.q), atol=1e-9)
    assert logit_mass(log_pi, EXAMPLE.correct) > 5


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: selection_probability(*EXAMPLE, group_size=0), "group_size must be a whole number of at least 1"),
        (lambda: expected_grpo_update(*EXAMPLE, group_size=1, ddof=1), "group_size above ddof"),
        (lambda: expected_grpo_update(*EXAMPLE, group_size=4, ddof=2), "need ddof 0 or 1"),
        (lambda: expected_grpo_update(*EXAMPLE, group_size=4, eps=-1), "eps must be finite and at least 0"),
        (lambda: expected_smoothed_update(*EXAMPLE, gamma_p=-0.1), "gamma_p must be finite and at least 0"),
        (lambda: expected_smoothed_update(*EXAMPLE, gamma_p=0.1, stage="advantage"), "needs a group_size"),
    ],
)
def test_refuses(call: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()
