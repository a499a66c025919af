"""Optimal policies in closed form.

One prompt, a finite set of ``n`` completions, base policy ``p > 0``, reward 1 on the correct set P and 0 on the wrong
set N. ``C = pi(P)`` is Pass@1, ``q = pi(. | P)``, ``s = pi(. | N)``. Policies are arrays of log-probabilities (nats)
[..., n]; leading axes are independent prompts. All is kept in log space, so ``logit C`` stays exact far beyond
``1 - C = 1e-16``, where ``C`` itself is 1.

Source of the setting and of differential smoothing: arXiv 2511.19942 ("the paper"). The closed forms are the textbook
solution ``pi ~ p exp(reward / beta)`` of ``E[reward] - beta KL(pi, p)``.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Floats, checked, choice, finite, log_sum, mean, number
from unsharpen.theory.measures import within

Form = Literal["bonus", "proxy"]
_OVERFLOW = "smaller coefficients, or a larger beta"


def tilt(log_base: ArrayLike, correct: ArrayLike, *, a: float, b: float, kappa: float) -> Floats:
    """The family that holds every closed form: ``pi ~ p^(1-a) e^kappa`` on P and ``pi ~ p^(1+b)`` on N.

    On ``0 <= a <= 1`` the correct completions become more uniform as ``a`` grows; at 1 they are uniform; beyond it
    rare ones beat common ones.

    Args:
        log_base: [..., n] log-probabilities of the base policy (nats).
        correct: [..., n] or [n] bool.
        a: flattening of P.
        b: sharpening of N.
        kappa: what correctness is worth, in nats of odds.

    Returns:
        [..., n] log-probabilities.

    Raises:
        InputError: malformed base (zeros, not normalised, no correct or no wrong completion); exponents that overflow.

    Example:
        >>> np.exp(tilt(np.log([0.6, 0.2, 0.2]), [True, True, False], a=1, b=0, kappa=0)).round(3).tolist()
        [0.455, 0.455, 0.091]
    """
    log_p, flags = checked(log_base, correct)
    a, b, kappa = number("a", a), number("b", b), number("kappa", kappa)
    with np.errstate(over="ignore", invalid="ignore"):
        scores = np.where(flags, (1 - a) * log_p + kappa, (1 + b) * log_p)
        scores = finite(scores, what=f"tilt(a={a:g}, b={b:g}, kappa={kappa:g})", hint=_OVERFLOW)
        return finite(scores - log_sum(scores, keepdims=True), what="the policy", hint=_OVERFLOW)


def vanilla(log_base: ArrayLike, correct: ArrayLike, *, beta: float) -> Floats:
    """Maximiser of ``E[r] - beta KL(pi, p)``: ``tilt(0, 0, 1/beta)``.

    It keeps q and s as they are and adds 1/beta to logit C: KL-regularised optima do not collapse.

    Args:
        log_base: [..., n] nats.
        correct: [..., n] or [n] bool.
        beta: above 0.

    Raises:
        InputError: malformed base; beta not above 0, or so small that 1/beta overflows.

    Example:
        >>> np.exp(vanilla(np.log([0.3, 0.2, 0.5]), [True, True, False], beta=1.0)).round(3).tolist()
        [0.439, 0.292, 0.269]
    """
    return tilt(log_base, correct, a=0.0, b=0.0, kappa=_inverse(beta))


def entropy_proxy(log_base: ArrayLike, correct: ArrayLike, *, gamma: float, beta: float) -> Floats:
    """Maximiser of ``E[r - gamma log p] - beta KL(pi, p)``: ``tilt(gamma/beta, -gamma/beta, 1/beta)``.

    The bonus rewards surprise under the *base* in every completion, right or wrong. gamma < 0 is a penalty.

    Args:
        log_base: [..., n] nats.
        correct: [..., n] or [n] bool.
        gamma: per nat.
        beta: above 0.

    Raises:
        InputError: malformed base; beta not above 0; exponents that overflow.

    Example:
        >>> policy = entropy_proxy(np.log([0.3, 0.2, 0.5]), [True, True, False], gamma=1.0, beta=1.0)
        >>> np.exp(policy).round(3).tolist()  # exponent 0: all correct alike, all wrong alike
        [0.422, 0.422, 0.155]
    """
    a, kappa = entropy_exponents(gamma, beta, "proxy")
    return tilt(log_base, correct, a=a, b=-a, kappa=kappa)


def entropy_bonus(log_base: ArrayLike, correct: ArrayLike, *, gamma: float, beta: float) -> Floats:
    """Maximiser of ``E[r] + gamma H(pi) - beta KL(pi, p)``: the proxy with beta + gamma in place of beta.

    Its exponent ``gamma / (beta + gamma)`` is always below 1, and what correctness is worth, ``1 / (beta + gamma)``,
    falls with gamma. gamma < 0 is a penalty; beta + gamma must stay above 0.

    Args:
        log_base: [..., n] nats.
        correct: [..., n] or [n] bool.
        gamma: per nat.
        beta: above 0.

    Raises:
        InputError: malformed base; beta or beta + gamma not above 0; exponents that overflow.

    Example:
        >>> base, correct = np.log([0.3, 0.2, 0.5]), [True, True, False]
        >>> bonus = entropy_bonus(base, correct, gamma=0.5, beta=1.0)
        >>> np.allclose(bonus, entropy_proxy(base, correct, gamma=0.5, beta=1.5))
        True
    """
    a, kappa = entropy_exponents(gamma, beta, "bonus")
    return tilt(log_base, correct, a=a, b=-a, kappa=kappa)


def smoothed(
    log_base: ArrayLike,
    correct: ArrayLike,
    *,
    gamma_p: float,
    gamma_n: float = 0.0,
    beta: float,
    offset: float = 0.0,
) -> Floats:
    """Differential smoothing with a KL term: ``tilt(gamma_p/beta, gamma_n/beta, 1/beta - gamma_p offset/beta)``.

    Maximiser of ``E[r_DS] - beta KL(pi, p)`` with ``r_DS = 1 - gamma_p (log p + offset)`` on P and
    ``gamma_n log p`` on N. ``offset = 0`` is the paper's reward; an offset such as ``-E[log p]`` centres the bonus.
    Keep ``gamma_p <= beta``: beyond it rare correct completions beat common ones and diversity falls again.

    Args:
        log_base: [..., n] nats.
        correct: [..., n] or [n] bool.
        gamma_p: per nat, at least 0.
        gamma_n: likewise.
        beta: above 0.
        offset: nats.

    Raises:
        InputError: malformed base; a negative gamma; beta not above 0; exponents that overflow.

    References:
        arXiv 2511.19942, Eq. 4 (read in summaries and in the method's code, not in the paper itself).

    Example:
        >>> np.exp(smoothed(np.log([0.3, 0.2, 0.5]), [True, True, False], gamma_p=0.5, beta=1.0)).round(3).tolist()
        [0.465, 0.379, 0.156]
    """
    gamma_p, gamma_n = number("gamma_p", gamma_p, least=0.0), number("gamma_n", gamma_n, least=0.0)
    kappa, offset = _inverse(beta), number("offset", offset)
    return tilt(log_base, correct, a=gamma_p * kappa, b=gamma_n * kappa, kappa=kappa * (1 - gamma_p * offset))


def entropy_exponents(gamma: float, beta: float, form: Form) -> tuple[float, float]:
    """``(a, kappa)`` of the entropy-regularised optimum, which is ``tilt(a, -a, kappa)``.

    Raises:
        InputError: beta (for the bonus also beta + gamma) not above 0.
    """
    choice("form", form, get_args(Form))
    gamma, beta = number("gamma", gamma), number("beta", beta, above=0.0)
    weight = beta if form == "proxy" else number("beta + gamma", beta + gamma, above=0.0)
    kappa = _inverse(weight)
    return gamma * kappa, kappa


def entropy_slope(
    log_base: ArrayLike, correct: ArrayLike, *, gamma: float = 0.0, beta: float = 1.0, form: Form = "proxy"
) -> Any:
    """What a little more entropy bonus does to correctness: ``d logit C / d gamma`` at fixed beta [...].

    With ``a`` the exponent at (gamma, beta) and ``pi`` the optimum there::

        D(a) = E_q[-log p] - E_s[-log p]
        proxy:  D(a) / beta
        bonus:  (beta D(a) - 1) / (beta + gamma)^2

    At gamma = 0, ``D(0) = H(q_b) - H(s_b) - logit c``: the proxy helps where correct completions are on average more
    surprising than wrong ones (uniform case: ``n_P > n_N c/(1-c)``). The true bonus must earn 1/beta more, because it
    also lowers what correctness is worth: it helps where ``H(q_b) - H(s_b)`` exceeds logit C of *vanilla*. Both are
    statements about small gamma; D can change its sign later.

    Args:
        log_base: [..., n] nats.
        correct: [..., n] or [n] bool.
        gamma: per nat.
        beta: above 0.
        form: which bonus.

    Returns:
        [...] slope, per unit of gamma. With the defaults it is D(0).

    Raises:
        InputError: malformed base; beta (bonus: beta + gamma) not above 0.

    Example:
        >>> base, correct = np.log([0.1, 0.1, 0.1, 0.7]), [True, True, True, False]
        >>> round(float(entropy_slope(base, correct)), 4)  # log 3 - log 1 - log(3/7)
        1.9459
    """
    log_p, flags = checked(log_base, correct)
    a, kappa = entropy_exponents(gamma, beta, form)
    gap = mean(within((1 - a) * log_p, flags), -log_p) - mean(within((1 - a) * log_p, ~flags), -log_p)
    return gap * kappa if form == "proxy" else (beta * gap - 1) * kappa**2


def _inverse(beta: float) -> float:
    beta = number("beta", beta, above=0.0)
    kappa = float(np.float64(1.0) / np.float64(beta)) if beta >= 1e-300 else float("inf")
    if kappa == float("inf"):
        raise InputError(f"1/beta overflows at beta = {beta}", hint="the limit beta -> 0 puts all mass on P")
    return kappa
