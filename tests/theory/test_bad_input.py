"""Malformed problems: one clear error, never NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unsharpen import theory
from unsharpen.errors import InputError

GOOD, RARE, CORRECT = np.log([0.3, 0.2, 0.5]), np.log([0.6, 0.39, 0.01]), [True, True, False]
TAKES_A_BASE: dict[str, Callable[[Any, Any], Any]] = {
    "tilt": lambda p, c: theory.tilt(p, c, a=0.1, b=0.1, kappa=1.0),
    "vanilla": lambda p, c: theory.vanilla(p, c, beta=1.0),
    "entropy_proxy": lambda p, c: theory.entropy_proxy(p, c, gamma=0.1, beta=1.0),
    "entropy_bonus": lambda p, c: theory.entropy_bonus(p, c, gamma=0.1, beta=1.0),
    "smoothed": lambda p, c: theory.smoothed(p, c, gamma_p=0.1, beta=1.0),
    "entropy_slope": theory.entropy_slope,
    "conditional": theory.conditional,
    "correct_mass": theory.correct_mass,
    "logit_mass": theory.logit_mass,
    "shannon": theory.shannon,
    "effective_number": theory.effective_number,
    "normalised_variance": theory.normalised_variance,
    "dominate": lambda p, c: theory.dominate(p, c, gamma=0.1, beta=1.0),
    "selection_probability": lambda p, c: theory.selection_probability(p, c, group_size=4),
    "expected_grpo_update": lambda p, c: theory.expected_grpo_update(p, c, group_size=4),
    "expected_smoothed_update": lambda p, c: theory.expected_smoothed_update(p, c, gamma_p=0.1),
    "collapse_rate": theory.collapse_rate,
    "entropy_rate": lambda p, c: theory.entropy_rate(p, c, [0.0, 0.0, 0.0]),
    "critical_gamma": theory.critical_gamma,
    "potential": lambda p, c: theory.potential(p, c, gamma_p=0.1),
    "iterate_equivalent": lambda p, c: theory.iterate_equivalent(p, c, gamma_p=0.1, learning_rate=1.0, steps=2),
    "simulate": lambda p, c: theory.simulate(p, c, steps=1),
}
BAD: dict[str, tuple[Any, Any, str]] = {
    "zero": ([0.0, -math.inf], [True, False], "finite log-probabilities; found -inf(.|\n)*hint: every completion"),
    "nan": ([math.nan, 0.0], [True, False], "finite log-probabilities; found nan"),
    "sum": (np.log([0.3, 0.2, 0.4]), CORRECT, "must sum to 1; the distribution sums to 0.9"),
    "not logs": ([0.3, 0.2, 0.5], CORRECT, "must sum to 1(.|\n)*hint: pass logarithms"),
    "none correct": (GOOD, [False] * 3, "at least 1 correct completion; the distribution has none"),
    "none wrong": (GOOD, [True] * 3, "at least 1 wrong completion; the distribution has none"),
    "not bool": (GOOD, [1, 1, 0], "`correct` must be boolean, found int64"),
    "shapes": (GOOD, [True, False], r"found shapes \(3,\) and \(2,\)"),
    "scalar": (0.0, True, r"shape \[..., n\] with n >= 2 completions, found \(\)"),
    "ragged": ([[0.0], [0.0, 1.0]], CORRECT, "rectangular array of numbers"),
    "text": (["a", "b", "c"], CORRECT, "rectangular array of numbers"),
}


@pytest.mark.parametrize("name", TAKES_A_BASE)
def test_good_input_is_taken(name: str) -> None:
    TAKES_A_BASE[name](GOOD, CORRECT)


@pytest.mark.parametrize("name", TAKES_A_BASE)
@pytest.mark.parametrize("flaw", BAD)
def test_every_function_refuses_a_malformed_problem(name: str, flaw: str) -> None:
    log_base, correct, match = BAD[flaw]
    with pytest.raises(InputError, match=match):
        TAKES_A_BASE[name](log_base, correct)


def test_the_row_is_named() -> None:
    with pytest.raises(InputError, match=r"row 1 sums to 1\.2"):
        theory.vanilla(np.log([[0.5, 0.5], [0.6, 0.6]]), [True, False], beta=1.0)
    with pytest.raises(InputError, match="at least 1 wrong completion; row 1 has none"):
        theory.vanilla(np.log([[0.5, 0.5], [0.5, 0.5]]), [[True, False], [True, True]], beta=1.0)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: theory.vanilla(GOOD, CORRECT, beta=0.0), "beta must be finite and above 0, found 0.0"),
        (lambda: theory.vanilla(GOOD, CORRECT, beta=-1.0), "beta must be finite and above 0, found -1.0"),
        (lambda: theory.vanilla(GOOD, CORRECT, beta=True), "beta must be finite and above 0, found True"),
        (lambda: theory.vanilla(GOOD, CORRECT, beta=1e-320), "1/beta overflows"),
        (lambda: theory.vanilla(GOOD, CORRECT, beta="x"), "beta must be finite and above 0, found 'x'"),
        (lambda: theory.entropy_proxy(GOOD, CORRECT, gamma=math.inf, beta=1.0), "gamma must be finite, found inf"),
        (
            lambda: theory.entropy_bonus(GOOD, CORRECT, gamma=-1.0, beta=1.0),
            r"beta \+ gamma must be finite and above 0",
        ),
        (lambda: theory.smoothed(GOOD, CORRECT, gamma_p=-0.1, beta=1.0), "gamma_p must be finite and at least 0"),
        (
            lambda: theory.smoothed(GOOD, CORRECT, gamma_p=0, gamma_n=-1, beta=1),
            "gamma_n must be finite and at least 0",
        ),
        (lambda: theory.tilt(RARE, CORRECT, a=0, b=1e308, kappa=0), "overflows.*-inf(.|\n)*hint: smaller coefficients"),
        (lambda: theory.smoothed(GOOD, CORRECT, gamma_p=1e200, beta=1e-200), "a must be finite"),
    ],
)
def test_coefficients_out_of_range(call: Callable[[], Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        call()


def test_extreme_but_legal_input_stays_finite() -> None:
    rare = np.array([-700.0, -1.0, math.log(-math.expm1(-1.0))])
    for policy in (
        theory.vanilla(rare, CORRECT, beta=1e-5),
        theory.smoothed(rare, CORRECT, gamma_p=0.5, gamma_n=3.0, beta=0.01),
        theory.entropy_bonus(rare, CORRECT, gamma=100.0, beta=0.01),
    ):
        assert np.isfinite(policy).all()
        assert math.isfinite(theory.logit_mass(policy, CORRECT))
        assert np.isfinite(theory.collapse_rate(policy, CORRECT)).all()
        assert np.isfinite(theory.selection_probability(policy, CORRECT, group_size=16)).all()
