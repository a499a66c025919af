"""Where smoothing leads: what it climbs, when it reverses the collapse, and where it rests.

Notation as in :mod:`unsharpen.theory.dynamics`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Floats, checked, finite, log_sum, mean, number, whole
from unsharpen.theory.measures import entropy, surprise, within


class Tilt(NamedTuple):
    """Exponents of :func:`tilt`."""

    a: float
    b: float
    kappa: float


class Exponents(NamedTuple):
    """Powers of the base probability at a fixed point: ``pi ~ p^correct`` on P and ``p^wrong`` on N."""

    correct: float
    wrong: float


def critical_gamma(log_base: ArrayLike, correct: ArrayLike, *, gamma_n: float = 0.0, centered: bool = True) -> Any:
    """The gamma_p above which smoothing raises the diversity of correct completions instead of slowing its fall.

    A correct completion has advantage ``alpha - gamma_p u_i`` with ``u_i = log q_i + H(q)``, so ``H(q)`` rises iff
    ``gamma_p E_q[q u^2] >= alpha E_q[q u]``, and::

        centered:    alpha = (1-C) [1 + gamma_n (H(s) - log(1-C))]
        uncentered:  alpha = (1-C) [1 + gamma_p (H(q) - log C) + gamma_n (H(s) - log(1-C))]

    Uncentred, alpha grows with gamma_p itself, and when ``(1-C)(H(q) - log C) >= E_q[q u^2] / E_q[q u]`` no gamma
    reverses the collapse. For summed log-probs, advantages that are not divided by a std, and large groups.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        gamma_n: per nat, at least 0.
        centered: whether the log-prob is centred within the correct class.

    Returns:
        [...] threshold, infinite where no gamma suffices, 0 where q is uniform.

    Raises:
        InputError: malformed policy, negative gamma_n.

    Example:
        >>> policy, correct = np.log([0.2, 0.1, 0.7]), [True, True, False]
        >>> round(float(critical_gamma(policy, correct)), 3), float(critical_gamma(policy, correct, centered=False))
        (0.757, inf)
    """
    log_p, flags = checked(log_base, correct)
    gamma_n = number("gamma_n", gamma_n, least=0.0)
    log_q, log_s = within(log_p, flags), within(log_p, ~flags)
    log_c, log_w = log_sum(log_p, flags), log_sum(log_p, ~flags)
    u = surprise(log_q)
    first, second = _tilt(log_q, u), mean(2 * log_q, u**2)
    wrong = np.exp(log_w)
    lead = wrong * (1 + gamma_n * (entropy(log_s) - log_w)) * first
    drag = second - (0.0 if centered else wrong * (entropy(log_q) - log_c) * first)
    uniform = (np.where(flags, log_p, -np.inf).max(-1) - np.where(flags, log_p, np.inf).min(-1)) <= 1e-12
    threshold = np.where(drag > 0, lead / np.where(drag > 0, drag, 1.0), math.inf)
    return np.where(uniform, 0.0, threshold)[()]


def _tilt(log_q: Floats, u: Floats) -> Any:
    """[...] ``E_q[q u]``, where ``E_q[u] = 0``, as a covariance: near uniform q the terms themselves would cancel."""
    off_q = np.exp(log_q) - mean(log_q, np.exp(log_q))[..., None]
    off_u = np.where(np.isneginf(log_q), 0.0, u) - mean(log_q, u)[..., None]
    return mean(log_q, off_q * off_u)


def potential(log_base: ArrayLike, correct: ArrayLike, *, gamma_p: float, gamma_n: float = 0.0) -> Any:
    """What on-policy smoothing climbs: ``J = (1 + gamma_p + gamma_n) C + gamma_p H_P - gamma_n H_N``.

    ``H_X = -sum_X pi log pi``. The exact gradient of J in the logits is ``pi (R - E[R])`` with the smoothed reward R of
    the sampling policy. For gamma_p > 0 its only global maximiser is C = 1 with q uniform, and it has no other
    interior stationary point; a global entropy bonus stops short at ``C < 1``.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        gamma_p: per nat, >= 0.
        gamma_n: likewise.

    Raises:
        InputError: malformed policy, a negative gamma.

    Example:
        >>> round(float(potential(np.log([0.25, 0.25, 0.5]), [True, True, False], gamma_p=1.0)), 4)  # 2 C + log(4)/2
        1.6931
    """
    log_p, flags = checked(log_base, correct)
    gamma_p, gamma_n = number("gamma_p", gamma_p, least=0.0), number("gamma_n", gamma_n, least=0.0)
    surprise = np.exp(log_p) * -log_p
    smooth = np.where(flags, gamma_p * surprise, -gamma_n * surprise).sum(-1)
    return (1 + gamma_p + gamma_n) * np.exp(log_sum(log_p, flags)) + smooth


def iterate_equivalent(
    log_base: ArrayLike,
    correct: ArrayLike,
    *,
    gamma_p: float,
    gamma_n: float = 0.0,
    learning_rate: float,
    steps: int,
) -> Tilt:
    """Where T mirror steps of on-policy smoothing lead: a :func:`tilt` of the base.

    A mirror step is ``pi' ~ pi exp(eta R(pi))`` (a KL term to the *previous* iterate, coefficient 1/eta). After T::

        a = 1 - (1 - eta gamma_p)^T,   b = (1 + eta gamma_n)^T - 1,   kappa by the recursion of the two constants

    so smoothing against the sampling policy equals smoothing against the base at other coefficients, as the paper
    says, while without any KL term a *frozen* base would be a fixed reward, whose optimum is the single least likely
    correct completion.

    Args:
        log_base: [n] nats.
        correct: [n] bool.
        gamma_p: per nat, >= 0.
        gamma_n: likewise.
        learning_rate: eta > 0.
        steps: T >= 0.

    Raises:
        InputError: malformed base, more than one prompt, exponents that overflow.

    Example:
        >>> exponents = iterate_equivalent(
        ...     np.log([0.3, 0.2, 0.5]), [True, True, False], gamma_p=0.5, learning_rate=1, steps=2
        ... )
        >>> exponents.a, exponents.b
        (0.75, 0.0)
    """
    log_p, flags = checked(log_base, correct)
    if log_p.ndim != 1:
        raise InputError(f"iterate_equivalent takes one prompt, [n]; found shape {log_p.shape}")
    gamma_p, gamma_n = number("gamma_p", gamma_p, least=0.0), number("gamma_n", gamma_n, least=0.0)
    eta = number("learning_rate", learning_rate, above=0.0)
    shrink, grow = 1 - eta * gamma_p, 1 + eta * gamma_n
    power_p, power_n, const_p, const_n = 1.0, 1.0, 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(whole("steps", steps, least=0)):
            power_p, power_n = shrink * power_p, grow * power_n
            const_p, const_n = shrink * const_p + eta, grow * const_n
            scores = np.where(flags, power_p * log_p + const_p, power_n * log_p + const_n)
            finite(scores, what="the iterate", hint="fewer steps, or a smaller learning rate")
            total = float(log_sum(scores))
            const_p, const_n = const_p - total, const_n - total
    return Tilt(1 - power_p, power_n - 1, const_p - const_n)


def fixed_point_exponents(*, gamma_p: float, gamma_n: float = 0.0, beta: float) -> Exponents:
    """Where on-policy smoothing with a KL term to a fixed base rests: ``pi ~ p^(beta/(beta+gamma_p))`` on P.

    On N the power is ``beta / (beta - gamma_n)``. For gamma_n >= beta there is no such point: s runs to the single
    most likely wrong completion. Solving anew against the previous solution converges iff gamma_p < beta and
    gamma_n < beta; small steps also converge for larger gamma_p.

    Args:
        gamma_p: per nat, at least 0.
        gamma_n: likewise.
        beta: of the KL term, above 0.

    Raises:
        InputError: a negative gamma, beta not above 0, gamma_n >= beta.

    Example:
        >>> fixed_point_exponents(gamma_p=1.0, gamma_n=0.5, beta=1.0)
        Exponents(correct=0.5, wrong=2.0)
    """
    gamma_p, gamma_n = number("gamma_p", gamma_p, least=0.0), number("gamma_n", gamma_n, least=0.0)
    beta = number("beta", beta, above=0.0)
    if gamma_n >= beta:
        raise InputError(
            f"need gamma_n < beta for a fixed point; found gamma_n {gamma_n:g} and beta {beta:g}",
            hint="beyond it the wrong completions collapse onto the most likely one",
        )
    return Exponents(beta / (beta + gamma_p), beta / (beta - gamma_n))
