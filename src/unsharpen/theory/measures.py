"""What a policy gets right, and how variedly: masses and diversities of the correct class.

``C = pi(P)`` is Pass@1, ``q = pi(. | P)``, ``s = pi(. | N)``. Near ``C = 1`` the logit keeps digits that C has lost.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.theory._checks import Bools, Floats, checked, choice, log_sum, mean

Class = Literal["correct", "wrong"]


def conditional(log_policy: ArrayLike, correct: ArrayLike, *, of: Class = "correct") -> Floats:
    """Log-probabilities within a class: ``q = pi(. | P)`` or ``s = pi(. | N)``; -inf outside it.

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.
        of: which class.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> np.exp(conditional(np.log([0.3, 0.1, 0.6]), [True, True, False])).round(3).tolist()
        [0.75, 0.25, 0.0]
    """
    log_pi, flags = checked(log_policy, correct, name="log_policy")
    choice("of", of, get_args(Class))
    return within(log_pi, flags if of == "correct" else ~flags)


def correct_mass(log_policy: ArrayLike, correct: ArrayLike) -> Any:
    """Pass@1: ``C = sum_P pi`` [...]. Near 1 use :func:`logit_mass`, which keeps all digits.

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> round(float(correct_mass(np.log([0.3, 0.1, 0.6]), [True, True, False])), 12)
        0.4
    """
    log_pi, flags = checked(log_policy, correct, name="log_policy")
    return np.exp(log_sum(log_pi, flags))


def logit_mass(log_policy: ArrayLike, correct: ArrayLike) -> Any:
    """``logit C = log sum_P pi - log sum_N pi`` [...], nats.

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> base, correct = np.log([0.25, 0.25, 0.5]), [True, True, False]
        >>> from unsharpen.theory import vanilla
        >>> policy = vanilla(base, correct, beta=0.01)
        >>> float(correct_mass(policy, correct)), round(float(logit_mass(policy, correct)), 9)
        (1.0, 100.0)
    """
    log_pi, flags = checked(log_policy, correct, name="log_policy")
    return log_sum(log_pi, flags) - log_sum(log_pi, ~flags)


def shannon(log_policy: ArrayLike, correct: ArrayLike) -> Any:
    """Entropy of the correct completions: ``H(q) = -sum q log q`` [...], nats; at most log n_P.

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> round(float(shannon(np.log([0.2, 0.2, 0.6]), [True, True, False])), 6)  # log 2
        0.693147
    """
    log_pi, flags = checked(log_policy, correct, name="log_policy")
    return entropy(within(log_pi, flags))


def effective_number(log_policy: ArrayLike, correct: ArrayLike) -> Any:
    """Effective number of correct completions: ``1 / sum q^2`` [...], in [1, n_P].

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.

    Raises:
        InputError: malformed policy, an empty class.

    References:
        Hill 1973, order 2; the same as :func:`unsharpen.metrics.effective_number`, of a policy instead of counts.

    Example:
        >>> round(float(effective_number(np.log([0.3, 0.1, 0.6]), [True, True, False])), 12)  # 1 / (9/16 + 1/16)
        1.6
    """
    log_pi, flags = checked(log_policy, correct, name="log_policy")
    return np.exp(-log_sum(2 * within(log_pi, flags), flags))


def normalised_variance(log_policy: ArrayLike, correct: ArrayLike) -> Any:
    """Concentration of q: variance over squared mean, ``n_P sum q^2 - 1`` [...], in [0, n_P - 1]; 0 is uniform.

    The paper measures diversity by a normalised variance over the correct completions; its formula could not be read,
    and this is the plain reading. The domination theorem needs no more than that a diversity is Schur-concave in q,
    which the negative of this is.

    Args:
        log_policy: [..., n] nats.
        correct: [..., n] or [n] bool.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> round(float(normalised_variance(np.log([0.3, 0.1, 0.6]), [True, True, False])), 12)  # 2 * 10/16 - 1
        0.25
    """
    _, flags = checked(log_policy, correct, name="log_policy")
    return flags.sum(axis=-1) / effective_number(log_policy, correct) - 1


def within(log_pi: Floats, members: Bools) -> Floats:
    """Log-probabilities given the class; -inf outside it."""
    return np.asarray(np.where(members, log_pi - log_sum(log_pi, members, keepdims=True), -np.inf))


def entropy(log_q: Floats) -> Any:
    """``-sum q log q`` over the last axis; entries of -inf count 0."""
    return 0.0 - mean(log_q, log_q)


def surprise(log_q: Floats) -> Floats:
    """``u = log q + H(q)``: how much likelier than typical, nats; 0 outside the class."""
    return np.asarray(np.where(np.isneginf(log_q), 0.0, log_q + entropy(log_q)[..., None]))


def assemble(log_q: Floats, log_s: Floats, logit: float) -> Floats:
    """The policy with the given conditionals (-inf outside their class) and ``logit C``."""
    log_c, log_w = -np.logaddexp(0.0, -logit), -np.logaddexp(0.0, logit)
    return np.asarray(np.where(np.isneginf(log_q), log_w + log_s, log_c + log_q))
