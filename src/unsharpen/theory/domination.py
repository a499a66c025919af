"""The paper's Theorem 3.4, decided exactly: can smoothing match an entropy-regularised policy at no price?

The claim (arXiv 2511.19942): for every ``gamma >= 0, beta > 0`` of entropy regularisation there is a smoothed policy
within the same divergence of the base whose correctness and diversity are both at least as high. It holds when the
*lever* ``L = 1/beta_e - log E_s[p^(-a_e)]`` is at least 0 and can fail otherwise; with a bonus that may be centred it
always holds. Proofs and counterexamples: docs/theory.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Floats, checked, choice, log_sum, number
from unsharpen.theory.divergences import Kind, measure
from unsharpen.theory.measures import assemble, effective_number, entropy, logit_mass, shannon, within
from unsharpen.theory.policies import Form, entropy_exponents, tilt

Diversity = Literal["shannon", "effective"]
_SLACK = 1e-10  # relative: divergences that agree to rounding count as equal
_UNIFORM = 1e-12  # nats


@dataclass(frozen=True)
class Point:
    """What a policy achieves: logit of Pass@1, diversity of its correct completions, divergence from the base."""

    logit: float
    diversity: float
    divergence: float


@dataclass(frozen=True)
class Match:
    """The smoothed policy that does best against an entropy-regularised one.

    Attributes:
        feasible: correctness and diversity at least as high, divergence within the budget.
        a: exponent on P, so gamma_p / beta.
        b: exponent on N, so gamma_n / beta.
        kappa: weight of correctness; (a, b, kappa) are always finite and give the policy as a :func:`tilt`.
        beta: for :func:`smoothed`; infinite where only the limit beta -> infinity at fixed gamma / beta comes so close.
        offset: likewise; 0 unless centered.
        log_policy: [n] the policy, nats.
        lever: L; at least 0 guarantees feasibility (gamma_n free, every divergence).
        budget: what the divergence may be.
        entropy: the policy to match.
        smoothed: the matching one. When infeasible it has the least divergence among those with enough correctness and
            diversity.
    """

    feasible: bool
    a: float
    b: float
    kappa: float
    beta: float
    offset: float
    log_policy: Floats
    lever: float
    budget: float
    entropy: Point
    smoothed: Point

    @property
    def gamma_p(self) -> float:
        """For :func:`smoothed`: a beta."""
        return self.a * self.beta if self.a else 0.0

    @property
    def gamma_n(self) -> float:
        """For :func:`smoothed`: b beta."""
        return self.b * self.beta if self.b else 0.0


def dominate(
    log_base: ArrayLike,
    correct: ArrayLike,
    *,
    gamma: float,
    beta: float,
    form: Form = "bonus",
    kind: Kind = "reverse-kl",
    parameter: float | None = None,
    diversity: Diversity = "shannon",
    budget: float | None = None,
    tied: bool = False,
    centered: bool = False,
) -> Match:
    """Find the smoothed policy that is at least as correct and as diverse within the same divergence, or show none is.

    ``a*`` is the least exponent in [0, 1] with ``diversity(q_a) >= diversity(q_{a_e})``; divergence grows with the
    exponents, and by Jensen ``gamma_n = 0`` is best. What is left is logit C = z, which beta > 0 confines to
    ``z > z_min = log S_P(1-a*) - log S_N(1)``. So the claim holds exactly when::

        min over z >= max(z_e, z_min) of divergence(C(z), q_{a*}, s_b) <= budget

    decided up to a relative slack of 1e-10, i.e. in the closure.

    Args:
        log_base: [n] nats.
        correct: [n] bool.
        gamma: of the entropy-regularised policy, at least 0.
        beta: likewise, above 0.
        form: the true entropy ``"bonus"`` or its ``"proxy"`` -gamma log p.
        kind: the divergence, see :func:`divergence`.
        parameter: its parameter.
        diversity: ``"shannon"`` or ``"effective"``; any strictly Schur-concave one gives the same answer for exponents
            a_e <= 1, so always for the bonus.
        budget: at least the divergence of the entropy-regularised policy, which is the default.
        tied: force gamma_n = gamma_p.
        centered: allow an offset in the bonus, ``-gamma_p (log p + offset)``.

    Returns:
        Match.

    Raises:
        InputError: malformed base, more than one prompt, negative gamma, budget below the policy's own divergence,
            both tied and centered.

    Example:
        >>> base, correct = np.log([0.3, 0.1, 0.4, 0.2]), [True, True, False, False]
        >>> match = dominate(base, correct, gamma=0.2, beta=0.5)
        >>> match.feasible, match.smoothed.divergence < match.entropy.divergence
        (True, True)
        >>> dominate(np.log([0.85, 0.05, 0.1]), [True, True, False], gamma=2.0, beta=0.2).feasible
        False
    """
    log_p, flags = checked(log_base, correct)
    if log_p.ndim != 1:
        raise InputError(f"dominate takes one prompt, [n]; found shape {log_p.shape}", hint="loop over the prompts")
    if tied and centered:
        raise InputError("a bonus can be tied or centered, not both", hint="centering acts on the correct side only")
    choice("diversity", diversity, get_args(Diversity))
    distance = measure(kind, parameter)

    def point(policy: Floats) -> Point:
        value = shannon(policy, flags) if diversity == "shannon" else effective_number(policy, flags)
        return Point(float(logit_mass(policy, flags)), float(value), float(distance(policy, log_p)))

    a_e, kappa_e = entropy_exponents(number("gamma", gamma, least=0.0), beta, form)
    goal = point(tilt(log_p, flags, a=a_e, b=-a_e, kappa=kappa_e))
    limit = goal.divergence if budget is None else number("budget", budget)
    if limit < goal.divergence:
        raise InputError(f"budget must be at least the entropy policy's {goal.divergence:.6g}, found {limit}")
    allowed = limit + _SLACK * (1 + limit)

    uniform = float(np.ptp(log_p[flags])) <= _UNIFORM  # then any exponent leaves q as it is
    a = float(centered) if uniform else _least_exponent(log_p[flags], a_e, diversity)
    b = a if tied else 0.0
    log_q, log_s = within((1 - a) * log_p, flags), within((1 + b) * log_p, ~flags)
    floor = float(log_sum((1 - a) * log_p, flags) - log_sum((1 + b) * log_p, ~flags))

    def cost(z: float) -> float:
        return float(distance(assemble(log_q, log_s, z), log_p))

    free = centered and a > 0  # an offset reaches every C, at the same beta
    z = goal.logit if free else _choose(cost, max(goal.logit, floor), floor, allowed)
    policy = assemble(log_q, log_s, z)
    return Match(
        feasible=cost(z) <= allowed,
        a=a,
        b=b,
        kappa=z - floor,
        beta=1 / kappa_e if free else 1 / (z - floor) if z > floor else math.inf,
        offset=(kappa_e - z + floor) / a if free else 0.0,
        log_policy=policy,
        lever=kappa_e - float(log_sum(within(log_p, ~flags) - a_e * log_p, ~flags)),
        budget=limit,
        entropy=goal,
        smoothed=point(policy),
    )


def is_feasible(log_base: ArrayLike, correct: ArrayLike, *, gamma: float, beta: float, **options: Any) -> bool:
    """Whether Theorem 3.4 holds in this instance: :func:`dominate`, of which only the verdict is kept.

    Args:
        log_base: [n] nats.
        correct: [n] bool.
        gamma: of the entropy-regularised policy, at least 0.
        beta: likewise, above 0.
        **options: form, kind, parameter, diversity, budget, tied, centered, as in :func:`dominate`.

    Raises:
        InputError: as in :func:`dominate`.

    Example:
        >>> base, correct = np.log([0.85, 0.05, 0.1]), [True, True, False]
        >>> kinds = ("reverse-kl", "chi2", "forward-kl", "tv")
        >>> [is_feasible(base, correct, gamma=2.0, beta=0.2, kind=kind) for kind in kinds]
        [False, False, True, True]
        >>> is_feasible(base, correct, gamma=2.0, beta=0.2, centered=True)
        True
    """
    return dominate(log_base, correct, gamma=gamma, beta=beta, **options).feasible


def _least_exponent(log_c: Floats, a_e: float, diversity: Diversity) -> float:
    """a*: the least exponent in [0, 1] whose q is as diverse as that of a_e; log_c holds the correct log-probs."""
    if a_e <= 1:  # diversity rises strictly up to 1
        return a_e

    def value(a: float) -> float:
        log_q = (1 - a) * log_c - log_sum((1 - a) * log_c)
        return float(entropy(log_q)) if diversity == "shannon" else float(-log_sum(2 * log_q))

    wanted = value(a_e)
    if value(0.0) >= wanted:
        return 0.0
    low, high = 0.0, 1.0
    while high - low > 1e-15:
        middle = (low + high) / 2
        low, high = (low, middle) if value(middle) >= wanted else (middle, high)
    return high


def _choose(cost: Callable[[float], float], low: float, floor: float, allowed: float) -> float:
    """The z >= low of least cost; a little above ``floor``, which needs beta = infinity, if the budget allows it."""
    z = _lowest(cost, low)
    step = 1.0
    while z <= floor and step > 1e-12:
        if cost(floor + step) <= allowed:
            return floor + step
        step /= 2
    return z


def _lowest(cost: Callable[[float], float], low: float) -> float:
    """Where a unimodal cost is least on [low, infinity): bracket by doubling, then golden section."""
    if cost(low + 1e-6) >= cost(low):
        return low
    left, middle, right = low, low + 1.0, low + 2.0
    while cost(right) < cost(middle) and right - low < 1e4:
        left, middle, right = middle, right, low + 2 * (right - low)
    ratio = (math.sqrt(5) - 1) / 2
    x, y = right - ratio * (right - left), left + ratio * (right - left)
    cost_x, cost_y = cost(x), cost(y)
    while right - left > 1e-9 * (1 + abs(left)):
        if cost_x <= cost_y:
            right, y, cost_y = y, x, cost_x
            x = right - ratio * (right - left)
            cost_x = cost(x)
        else:
            left, x, cost_x = x, y, cost_y
            y = left + ratio * (right - left)
            cost_y = cost(y)
    return (left + right) / 2
