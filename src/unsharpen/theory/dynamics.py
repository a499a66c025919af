"""What one step of training does in expectation: why collapse happens, and how much smoothing turns it round.

Softmax policy over n completions with logits theta; ``C = pi(P)``, ``q = pi(. | P)``, ``s = pi(. | N)``. A completion
y in a group of G moves the logits by ``A_y (e_y - pi) / G``, times the learning rate: one on-policy update, as the
first step of GRPO's inner loop is. Arguments named ``log_base`` are the *current* policy here; at step 0 it is the
base. Selection and reinforcement bias are the paper's terms (arXiv 2511.19942, section 3, read in summaries).
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.errors import InputError
from unsharpen.theory._checks import Bools, Floats, checked, choice, log_sum, mean, number, whole
from unsharpen.theory.measures import surprise, within

Scale = Literal["std", "none"]
Stage = Literal["reward", "advantage"]


def selection_probability(log_base: ArrayLike, correct: ArrayLike, *, group_size: int) -> Floats:
    """Selection bias: how likely a completion is in a group that teaches.

    ``P(i) = 1 - (1 - p_i)^G - [M^G - (M - p_i)^G]``, M = C for correct and 1 - C for wrong ones: it is sampled, and
    the group is not uniform. Rare correct completions are selected in proportion to p, common ones nearly always.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        group_size: G >= 1.

    Returns:
        [..., n] probabilities.

    Raises:
        InputError: malformed policy, G not a whole number of at least 1.

    Example:
        >>> selection_probability(np.log([0.5, 0.25, 0.25]), [True, True, False], group_size=2).round(9).tolist()
        [0.25, 0.125, 0.375]
    """
    log_p, flags = checked(log_base, correct)
    size = whole("group_size", group_size)
    p = np.exp(log_p)
    log_mass = np.where(flags, log_sum(log_p, flags, keepdims=True), log_sum(log_p, ~flags, keepdims=True))
    share = np.minimum(np.exp(log_p - log_mass), 1.0)
    with np.errstate(divide="ignore"):
        sampled = -np.expm1(size * np.log1p(-p))
        uniform = -np.exp(size * log_mass) * np.expm1(size * np.log1p(-share))
    return np.asarray(np.clip(sampled - uniform, 0.0, 1.0))


def expected_grpo_update(
    log_base: ArrayLike,
    correct: ArrayLike,
    *,
    group_size: int,
    scale: Scale = "std",
    ddof: int = 0,
    eps: float = 0.0,
    learning_rate: float = 1.0,
) -> Floats:
    """Expected change of the logits in one GRPO step, exactly: ``eta q_i m`` on P and ``-eta s_i m`` on N.

    ``m = E_{K ~ Bin(G, C)} sqrt(K (G - K)) / G`` with std scaling (ddof 0, eps 0), ``C (1 - C)(1 - 1/G)`` without.
    It is proportional to p within a class: what is likely gains most. Divided by :func:`selection_probability` it is
    the reinforcement bias, the update of a completion *given* that it was selected.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        group_size: G >= 1.
        scale: ``"std"`` (GRPO) or ``"none"`` (Dr. GRPO).
        ddof: of the std; TRL 1 and 1e-4.
        eps: likewise.
        learning_rate: eta.

    Returns:
        [..., n]; sums to 0.

    Raises:
        InputError: malformed policy, G below 1 (below 2 for ddof 1), eps negative.

    Example:
        >>> update = expected_grpo_update(np.log([0.25, 0.25, 0.5]), [True, True, False], group_size=2)
        >>> update.tolist()  # m = P(K = 1) / 2 = 1/4
        [0.125, 0.125, -0.25]
    """
    log_p, flags = checked(log_base, correct)
    step = number("learning_rate", learning_rate) * _pull(log_p, flags, group_size, scale, ddof, eps)[..., None]
    q, s = np.exp(within(log_p, flags)), np.exp(within(log_p, ~flags))
    return np.asarray(step * (q - s))


def expected_smoothed_update(
    log_base: ArrayLike,
    correct: ArrayLike,
    *,
    gamma_p: float,
    gamma_n: float = 0.0,
    group_size: int | None = None,
    stage: Stage = "reward",
    ddof: int = 0,
    eps: float = 0.0,
    learning_rate: float = 1.0,
) -> Floats:
    """Expected change of the logits under smoothing against the policy that samples (summed log-probs).

    With ``B_i = -gamma_p log pi_i`` on P, ``+gamma_n log pi_i`` on N and ``R_i = 1[i in P] + B_i``::

        reward:     eta (1 - 1/G) pi_i (R_i - E[R])              smooth, then centre in the group (ds-grpo-reward)
        advantage:  GRPO + eta pi_i (B_i - E[B])                 smooth after scaling, Eq. 6 (ds-grpo-sum)

    The first without a group size is the exact gradient of :func:`potential`.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        gamma_p: per nat, >= 0.
        gamma_n: likewise.
        group_size: G; None for the limit of large groups (reward stage only).
        stage: where the bonus enters.
        ddof: of the std in the advantage stage.
        eps: likewise.
        learning_rate: eta.

    Returns:
        [..., n]; sums to 0.

    Raises:
        InputError: malformed policy, negative gamma, advantage stage without group size.

    References:
        arXiv 2511.19942, Eq. 6, for the advantage stage.

    Example:
        >>> policy, correct = np.log([0.25, 0.25, 0.5]), [True, True, False]
        >>> expected_smoothed_update(policy, correct, gamma_p=0.0).tolist()  # the policy gradient p (r - C)
        [0.125, 0.125, -0.25]
    """
    log_p, flags = checked(log_base, correct)
    choice("stage", stage, get_args(Stage))
    bonus = _bonus(log_p, flags, gamma_p, gamma_n)
    rate = number("learning_rate", learning_rate)
    if stage == "reward":
        share = 1.0 if group_size is None else 1 - 1 / whole("group_size", group_size)
        return rate * share * _gradient(log_p, flags + bonus)
    if group_size is None:
        raise InputError("the advantage stage needs a group_size", hint="its pull towards correctness depends on G")
    grpo = expected_grpo_update(log_p, flags, group_size=group_size, ddof=ddof, eps=eps, learning_rate=learning_rate)
    return grpo + rate * _gradient(log_p, bonus)


def collapse_rate(log_base: ArrayLike, correct: ArrayLike) -> Floats:
    """Exact collapse law of the policy gradient: ``d log q_i / d logit C = (q_i - sum q^2) / (sum q^2 + sum s^2)``.

    So ``d log(q_i / q_j) / d logit C = (q_i - q_j) / (sum q^2 + sum s^2)``, whatever the group size, the scaling or
    the step size, as long as steps are small: what leads among the correct ones runs away while Pass@1 rises. On N
    the entry is ``d log s_i / d logit C = -(s_i - sum s^2) / (...)``: wrong completions even out.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.

    Returns:
        [..., n] rates per nat of logit C.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> collapse_rate(np.log([0.3, 0.1, 0.6]), [True, True, False]).round(4).tolist()  # sum q^2 = .625, sum s^2 = 1
        [0.0769, -0.2308, 0.0]
    """
    log_p, flags = checked(log_base, correct)
    log_q, log_s = within(log_p, flags), within(log_p, ~flags)
    squares_q, squares_s = np.exp(log_sum(2 * log_q, keepdims=True)), np.exp(log_sum(2 * log_s, keepdims=True))
    lead = np.where(flags, np.exp(log_q) - squares_q, squares_s - np.exp(log_s))
    return np.asarray(lead / (squares_q + squares_s))


def entropy_rate(log_base: ArrayLike, correct: ArrayLike, update: ArrayLike) -> Any:
    """Change of ``H(q)`` for a small change of the logits: ``dH = -sum_P q_i u_i dtheta_i``, ``u_i = log q_i + H``.

    Args:
        log_base: [..., n] current policy, nats.
        correct: [..., n] or [n] bool.
        update: [..., n] change of the logits, such as :func:`expected_grpo_update` returns.

    Raises:
        InputError: malformed policy, an empty class.

    Example:
        >>> policy, correct = np.log([0.3, 0.1, 0.6]), [True, True, False]
        >>> bool(entropy_rate(policy, correct, expected_grpo_update(policy, correct, group_size=8)) < 0)
        True
    """
    log_p, flags = checked(log_base, correct)
    log_q = within(log_p, flags)
    return -mean(log_q, surprise(log_q) * np.asarray(update, dtype=np.float64))


def _pull(log_p: Floats, flags: Bools, group_size: int, scale: str, ddof: int, eps: float) -> Floats:
    """The m of :func:`expected_grpo_update` [...]: E of (1/G) sum of the advantages of the correct completions."""
    size = whole("group_size", group_size)
    choice("scale", scale, get_args(Scale))
    eps = number("eps", eps, least=0.0)
    if ddof not in (0, 1) or size <= ddof:
        raise InputError(f"need ddof 0 or 1 and group_size above ddof; found ddof {ddof!r}, group_size {size}")
    log_c, log_w = log_sum(log_p, flags), log_sum(log_p, ~flags)
    if scale == "none":
        return np.asarray(np.exp(log_c + log_w) * (1 - 1 / size))
    count = np.arange(1, size)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log(size - count + 1.0) - np.log(count))])[1:]
    chance = np.exp(log_choose + count * log_c[..., None] + (size - count) * log_w[..., None])
    variance = count * (size - count) / size**2
    sigma = np.sqrt(variance * size / (size - ddof))
    return np.asarray((chance * variance / (sigma + eps)).sum(-1))


def _bonus(log_p: Floats, flags: Bools, gamma_p: float, gamma_n: float) -> Floats:
    gamma_p, gamma_n = number("gamma_p", gamma_p, least=0.0), number("gamma_n", gamma_n, least=0.0)
    return np.where(flags, -gamma_p * log_p, gamma_n * log_p)


def _gradient(log_p: Floats, reward: Floats) -> Floats:
    """Return pi (R - E[R])."""
    return np.asarray(np.exp(log_p) * (reward - mean(log_p, reward)[..., None]))
