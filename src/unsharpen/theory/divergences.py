"""How far a policy is from the base: the divergences for which the domination theorem is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Floats, choice, distribution, finite, number

Kind = Literal["reverse-kl", "forward-kl", "mixture-kl", "renyi", "tv", "chi2"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_NEAR_ONE = 1e-7  # from order 1; nearer, Renyi's quotient loses more to rounding than it differs from the reverse KL


def divergence(
    log_policy: ArrayLike, log_base: ArrayLike, kind: Kind = "reverse-kl", *, parameter: float | None = None
) -> Any:
    """Distance of a policy from the base [...], at least 0, in nats where it has a unit.

    ============== ====================================================== ==========================
    kind           formula                                                parameter
    ============== ====================================================== ==========================
    ``reverse-kl`` KL(pi, p) = sum pi log(pi / p)
    ``forward-kl`` KL(p, pi)
    ``mixture-kl`` w KL(pi, p) + (1 - w) KL(p, pi)                        w in [0, 1], default .5
    ``renyi``      log(sum pi^order p^(1 - order)) / (order - 1)          order > 0, not 1; default 2
    ``tv``         sum |pi - p| / 2
    ``chi2``       sum (pi - p)^2 / p
    ============== ====================================================== ==========================

    All are convex in pi (Renyi above order 1: quasi-convex), so each has one minimum along a segment of policies.

    Args:
        log_policy: [..., n] nats.
        log_base: [..., n] nats.
        kind: a row of the table.
        parameter: w or order; None for its default.

    Raises:
        InputError: not normalised, zeros, shapes that do not match, unknown kind, parameter out of range, overflow.

    References:
        arXiv 2511.19942, Theorem 3.4, states its bound for a family of KL measures (read in summaries: K_rho).

    Example:
        >>> policy, base = np.log([0.5, 0.5]), np.log([0.25, 0.75])
        >>> [round(float(divergence(policy, base, kind)), 4) for kind in KINDS]
        [0.1438, 0.1308, 0.1373, 0.2877, 0.25, 0.3333]
    """
    log_pi, log_p = distribution(log_policy, name="log_policy"), distribution(log_base, name="log_base")
    try:
        np.broadcast_shapes(log_pi.shape, log_p.shape)
    except ValueError:
        raise InputError(
            f"`log_policy` and `log_base` must have one shape, found {log_pi.shape} and {log_p.shape}"
        ) from None
    return measure(kind, parameter)(log_pi, log_p)


def measure(kind: Kind, parameter: float | None = None) -> Callable[[Floats, Floats], Any]:
    """The divergence as a function of (log_policy, log_base), which it takes to be well-formed."""
    choice("kind", kind, KINDS)
    checked_parameter = _parameter(kind, parameter)

    def apply(log_pi: Floats, log_p: Floats) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.asarray(_value(kind, log_pi, log_p, checked_parameter))
        finite(value, what=kind, hint="the policy is too far from the base for this divergence")
        return np.maximum(value, 0.0)[()]

    return apply


def _parameter(kind: Kind, parameter: float | None) -> float:
    if kind == "mixture-kl":
        weight = number("weight of the reverse KL", 0.5 if parameter is None else parameter, least=0.0)
        if weight > 1:
            raise InputError(f"weight of the reverse KL must be at most 1, found {weight}")
        return weight
    if kind == "renyi":
        order = number("order", 2.0 if parameter is None else parameter, above=0.0)
        if order == 1:
            raise InputError("order must not be 1", hint="order 1 is 'reverse-kl'")
        return order
    if parameter is not None:
        raise InputError(f"{kind} takes no parameter, found {parameter!r}")
    return 0.0


def _value(kind: Kind, log_pi: Floats, log_p: Floats, parameter: float) -> Any:
    pi, p, gap = np.exp(log_pi), np.exp(log_p), log_pi - log_p
    match kind:
        case "reverse-kl":
            return (pi * gap).sum(-1)
        case "forward-kl":
            return -(p * gap).sum(-1)
        case "mixture-kl":
            return ((parameter * pi - (1 - parameter) * p) * gap).sum(-1)
        case "renyi":
            if abs(parameter - 1) < _NEAR_ONE:
                return _value("reverse-kl", log_pi, log_p, parameter)
            return np.log1p(_excess(log_p, parameter * gap).sum(-1)) / (parameter - 1)
        case "tv":
            return 0.5 * np.abs(pi - p).sum(-1)
        case "chi2":
            return np.where(gap > 1, _excess(log_p, 2 * gap) - 2 * (pi - p), p * np.expm1(gap) ** 2).sum(-1)


def _excess(log_p: Floats, power: Floats) -> Floats:
    """P (e^power - 1), exact for small powers and without 0 * inf for large ones."""
    return np.asarray(np.where(power > 1, np.exp(log_p + power) - np.exp(log_p), np.exp(log_p) * np.expm1(power)))
