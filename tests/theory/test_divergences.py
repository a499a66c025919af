"""Each divergence against its formula, written out, and against what a divergence must do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.theory.instances import Instance, instances

from unsharpen.errors import InputError
from unsharpen.theory import KINDS, divergence, tilt

PI, P = [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]


@pytest.mark.parametrize(
    ("kind", "parameter", "expected"),
    [
        ("reverse-kl", None, sum(a * math.log(a / b) for a, b in zip(PI, P, strict=True))),
        ("forward-kl", None, sum(b * math.log(b / a) for a, b in zip(PI, P, strict=True))),
        ("mixture-kl", None, sum((a - b) * math.log(a / b) / 2 for a, b in zip(PI, P, strict=True))),
        ("mixture-kl", 1.0, sum(a * math.log(a / b) for a, b in zip(PI, P, strict=True))),
        ("renyi", None, math.log(sum(a**2 / b for a, b in zip(PI, P, strict=True)))),
        ("renyi", 0.5, -2 * math.log(sum(math.sqrt(a * b) for a, b in zip(PI, P, strict=True)))),
        ("tv", None, 0.4),
        ("chi2", None, 0.3**2 / 0.2 + 0.1**2 / 0.2 + 0.4**2 / 0.6),
    ],
)
def test_formulas(kind: str, parameter: float | None, expected: float) -> None:
    assert divergence(np.log(PI), np.log(P), kind, parameter=parameter) == pytest.approx(expected)  # type: ignore[arg-type]


@settings(max_examples=30)
@given(instances, st.floats(-1, 2), st.floats(-1, 2), st.floats(-4, 4), st.floats(0.05, 0.95))
def test_zero_at_the_base_and_one_minimum_along_a_segment(
    x: Instance, a: float, b: float, kappa: float, share: float
) -> None:
    policy = np.exp(tilt(*x, a=a, b=b, kappa=kappa))
    for kind in KINDS:
        assert divergence(x.log_base, x.log_base, kind) == pytest.approx(0, abs=1e-12)
        ends = [float(divergence(np.log(pi), x.log_base, kind)) for pi in (policy, x.p)]
        middle = float(divergence(np.log(share * policy + (1 - share) * x.p), x.log_base, kind))
        assert 0 <= middle <= max(ends) + 1e-9
        if kind != "renyi":
            assert middle <= share * ends[0] + (1 - share) * ends[1] + 1e-9


@pytest.mark.parametrize("off", [1e-6, 1e-8, 1e-12, 1e-15, -1e-8, -1e-15])
def test_renyi_is_the_reverse_kl_near_order_1(off: float) -> None:
    nearest = divergence(np.log(PI), np.log(P))
    assert divergence(np.log(PI), np.log(P), "renyi", parameter=1 + off) == pytest.approx(nearest, rel=1e-5)
    assert divergence(np.log([P, PI]), np.log(P), "renyi", parameter=1 + off)[0] == pytest.approx(0, abs=1e-15)


def test_rows_are_independent() -> None:
    both = divergence(np.log([PI, P]), np.log(P))
    assert both.tolist() == [float(divergence(np.log(PI), np.log(P))), 0.0]


@pytest.mark.parametrize(
    ("kind", "parameter", "match"),
    [
        ("kl", None, "kind must be one of 'reverse-kl'.*found 'kl'"),
        ("renyi", 1.0, "order must not be 1"),
        ("renyi", 0.0, "order must be finite and above 0, found 0.0"),
        ("mixture-kl", 1.5, "at most 1, found 1.5"),
        ("tv", 2.0, "tv takes no parameter, found 2.0"),
    ],
)
def test_refuses(kind: str, parameter: float | None, match: str) -> None:
    with pytest.raises(InputError, match=match):
        divergence(np.log(PI), np.log(P), kind, parameter=parameter)  # type: ignore[arg-type]


def test_refuses_shapes_and_overflow() -> None:
    with pytest.raises(InputError, match=r"one shape, found \(3,\) and \(2,\)"):
        divergence(np.log(PI), np.log([0.5, 0.5]))
    far = np.array([0.0, -800.0])
    with pytest.raises(InputError, match="chi2 overflows: found inf"):
        divergence(far[::-1], far, "chi2")
