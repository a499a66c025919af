"""The best that a policy can do: correctness against diversity at a given distance from the base."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Floats, checked, log_sum, number, whole
from unsharpen.theory.divergences import measure
from unsharpen.theory.measures import assemble, entropy, within


@dataclass(frozen=True)
class FrontierPoint:
    """One policy on the frontier.

    Attributes:
        a: exponent of the correct completions, in [0, 1].
        logit: of Pass@1; infinite where the budget pays for Pass@1 = 1.
        entropy: H(q), nats.
        effective: effective number of correct completions.
    """

    a: float
    logit: float
    entropy: float
    effective: float

    @property
    def correct(self) -> float:
        """Pass@1."""
        return 1 / (1 + math.exp(-self.logit)) if self.logit > -700 else 0.0


def frontier(log_base: ArrayLike, correct: ArrayLike, *, budget: float, points: int = 41) -> list[FrontierPoint]:
    """All that can be had of Pass@1 and H(q) within a reverse KL of ``budget``: policies ``tilt(a, 0, kappa)``.

    For each exponent a on an even grid of [0, 1], the highest C with ``KL(pi, p) = budget``, by::

        KL = kl(C, c) + C KL(q_a, q_b)

    No policy of any kind has more of both (docs/theory.md): differential smoothing moves along this line, an entropy
    bonus pays for evenness among wrong completions, too, and falls below it.

    Args:
        log_base: [n] nats.
        correct: [n] bool.
        budget: reverse KL, nats, at least 0.
        points: grid points, at least 2.

    Returns:
        The points by rising a; shorter than ``points`` where the budget does not pay for more evenness.

    Raises:
        InputError: malformed base, more than one prompt, negative budget.

    Example:
        >>> line = frontier(np.log([0.3, 0.1, 0.6]), [True, True, False], budget=0.2, points=3)
        >>> [(round(x.a, 2), round(x.correct, 3), round(x.effective, 2)) for x in line]
        [(0.0, 0.713, 1.6), (0.5, 0.695, 1.87), (1.0, 0.632, 2.0)]
    """
    log_p, flags = checked(log_base, correct)
    if log_p.ndim != 1:
        raise InputError(f"frontier takes one prompt, [n]; found shape {log_p.shape}", hint="loop over the prompts")
    budget = number("budget", budget, least=0.0)
    log_s = within(log_p, ~flags)
    found = []
    for a in np.linspace(0.0, 1.0, whole("points", points, least=2)):
        log_q = within((1 - a) * log_p, flags)
        logit = _highest(log_q, log_s, log_p, budget)
        if logit is None:
            break  # farther still for every larger a
        found.append(FrontierPoint(float(a), logit, float(entropy(log_q)), float(np.exp(-log_sum(2 * log_q)))))
    return found


def _highest(log_q: Floats, log_s: Floats, log_p: Floats, budget: float) -> float | None:
    """The largest logit C within the budget; None if there is none."""
    distance = measure("reverse-kl")

    def excess(z: float) -> float:
        return float(distance(assemble(log_q, log_s, z), log_p)) - budget

    members = ~np.isneginf(log_q)
    log_c = float(log_sum(log_p, members))
    own = float((np.exp(log_q[members]) * (log_q - log_p + log_c)[members]).sum())  # KL(q, q_b)
    if budget >= own - log_c:  # the divergence of C = 1
        return math.inf
    low = log_c - float(log_sum(log_p, ~members)) - own  # the C of least divergence
    if excess(low) > 1e-12:
        return None
    high = low + 1.0
    while excess(high) < 0:
        high += high - low
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) <= 0 else (low, middle)
    return low
