"""What the commands print: rows and curves for one problem, from the functions of the lab."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from unsharpen.theory._checks import checked, number
from unsharpen.theory.divergences import Kind, divergence
from unsharpen.theory.domination import Match, dominate
from unsharpen.theory.dynamics import collapse_rate, expected_grpo_update, selection_probability
from unsharpen.theory.measures import assemble, correct_mass, effective_number, shannon, within
from unsharpen.theory.policies import entropy_bonus, smoothed, vanilla


@dataclass(frozen=True)
class Bias:
    """One completion in one GRPO step: its logit's expected change, and the two factors of that."""

    probability: float
    correct: bool
    selected: float
    update_if_selected: float
    update: float
    collapse: float


@dataclass(frozen=True)
class Outcome:
    """One policy: Pass@1, diversity of its correct completions, distance from the base."""

    policy: str
    pass_at_1: float
    entropy: float
    effective_solutions: float
    reverse_kl: float


def biases_of(log_base: ArrayLike, correct: ArrayLike, *, group_size: int) -> list[Bias]:
    """One row per completion [n]: selection times reinforcement is the expected update.

    Raises:
        InputError: malformed policy, group size below 1.
    """
    log_p, flags = checked(log_base, correct)
    selected = selection_probability(log_p, flags, group_size=group_size)
    update = expected_grpo_update(log_p, flags, group_size=group_size)
    rate = collapse_rate(log_p, flags)
    return [
        Bias(float(np.exp(log)), bool(flag), float(s), float(u / s) if s > 0 else 0.0, float(u), float(r))
        for log, flag, s, u, r in zip(log_p, flags, selected, update, rate, strict=True)
    ]


def bias_curves(mass: float, *, group_size: int, points: int = 121) -> dict[str, list[float]]:
    """Selection and reinforcement of a correct completion as its probability varies and Pass@1 = ``mass`` stays.

    Raises:
        InputError: mass not strictly between 0 and 1, group size below 1.
    """
    p = np.geomspace(1e-4, 0.999, points) * number("mass", mass, above=0.0)
    log_base = np.log(np.stack([p, mass - p, np.full(points, 1 - mass)], axis=1))
    flags = [True, True, False]
    selected = selection_probability(log_base, flags, group_size=group_size)[:, 0]
    update = expected_grpo_update(log_base, flags, group_size=group_size)[:, 0]
    columns = {"probability": p, "selected": selected, "update_if_selected": update / selected, "update": update}
    return {name: column.tolist() for name, column in columns.items()}


def policies_of(log_base: ArrayLike, correct: ArrayLike, *, gamma: float, beta: float) -> list[Outcome]:
    """The base, vanilla RL, a true entropy bonus, smoothing with the same gamma, and smoothing matched to the bonus.

    Raises:
        InputError: malformed base, negative gamma, beta not above 0.
    """
    log_p, flags = checked(log_base, correct)
    policies = {
        "base": log_p,
        "vanilla": vanilla(log_p, flags, beta=beta),
        "entropy bonus": entropy_bonus(log_p, flags, gamma=gamma, beta=beta),
        "smoothing": smoothed(log_p, flags, gamma_p=gamma, beta=beta),
        "smoothing, matched": dominate(log_p, flags, gamma=gamma, beta=beta).log_policy,
    }
    return [
        Outcome(
            name,
            float(correct_mass(policy, flags)),
            float(shannon(policy, flags)),
            float(effective_number(policy, flags)),
            float(divergence(policy, log_p)),
        )
        for name, policy in policies.items()
    ]


def divergence_curve(
    log_base: ArrayLike, correct: ArrayLike, match: Match, kind: Kind, *, points: int = 201
) -> tuple[list[float], list[float]]:
    """(Pass@1, divergence) of the policies with the match's conditionals, by rising Pass@1.

    Raises:
        InputError: malformed base, unknown kind.
    """
    log_p, flags = checked(log_base, correct)
    log_q, log_s = within(match.log_policy, flags), within(match.log_policy, ~flags)
    logits = np.linspace(-6.0, 6.0, points)
    policies = np.stack([assemble(log_q, log_s, float(z)) for z in logits])
    return (1 / (1 + np.exp(-logits))).tolist(), divergence(policies, log_p, kind).tolist()
