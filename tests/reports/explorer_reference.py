"""The numbers of the interactive page, from the Python functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from unsharpen import theory

Settings = dict[str, Any]
KS = sorted({round(2 ** (i / 8)) for i in range(65)})
FRONTIER_POINTS, PAGE_POINTS = 6, 201  # every fortieth point of the page's line; Python is slower


def ladder(count: int, lead: float) -> np.ndarray:
    """A class whose most likely completion is ``lead`` times as likely as its least likely one, in log space."""
    logs = -np.log(lead) * np.arange(count) / max(count - 1, 1)
    return logs - np.logaddexp.reduce(logs)


def world(s: Settings) -> tuple[np.ndarray, np.ndarray]:
    right, wrong = ladder(s["correct"], s["lead_correct"]), ladder(s["wrong"], s["lead_wrong"])
    logs = np.concatenate([np.log(s["mass"]) + right, np.log1p(-s["mass"]) + wrong])
    return logs, np.arange(len(logs)) < s["correct"]


def described(logs: np.ndarray, base: np.ndarray, flags: np.ndarray) -> dict[str, Any]:
    mass = theory.correct_mass(logs, flags)
    return {
        "log_policy": logs,
        "logit": theory.logit_mass(logs, flags),
        "mass": mass,
        "entropy": theory.shannon(logs, flags),
        "effective": theory.effective_number(logs, flags),
        "divergence": theory.divergence(logs, base),
        "pass_at": [1 - (1 - mass) ** k for k in KS],
    }


def matched(match: theory.Match) -> dict[str, Any]:
    return {
        **{name: getattr(match, name) for name in ("feasible", "gamma_p", "beta", "offset", "a", "kappa", "lever")},
        "divergence": match.smoothed.divergence,
        "logit": match.smoothed.logit,
        "entropy": match.smoothed.diversity,
    }


def trained(s: Settings, base: np.ndarray, flags: np.ndarray, gamma_p: float, gamma_n: float) -> dict[str, Any]:
    runs, logs = [base], base
    for _ in range(s["steps"]):
        if gamma_p == gamma_n == 0:
            scale = "std" if s["stage"] == "advantage" else "none"
            update = theory.expected_grpo_update(logs, flags, group_size=s["group_size"], scale=scale)
        else:
            update = theory.expected_smoothed_update(
                logs, flags, gamma_p=gamma_p, gamma_n=gamma_n, group_size=s["group_size"], stage=s["stage"]
            )
        logs = logs + s["learning_rate"] * update
        logs = logs - np.logaddexp.reduce(logs)
        runs.append(logs)
    table = np.stack(runs)
    return {
        "logit": theory.logit_mass(table, flags),
        "entropy": theory.shannon(table, flags),
        "effective": theory.effective_number(table, flags),
        "log_policy": table,
    }


def numbers(s: Settings) -> dict[str, Any]:
    """What ``window.unsharpen.compute(s)`` should return."""
    base, flags = world(s)
    beta, gamma, gamma_p, gamma_n = (s[name] for name in ("beta", "gamma", "gamma_p", "gamma_n"))
    policies = {
        "base": base,
        "vanilla": theory.vanilla(base, flags, beta=beta),
        "bonus": theory.entropy_bonus(base, flags, gamma=gamma, beta=beta),
        "smoothed": theory.smoothed(base, flags, gamma_p=gamma_p, gamma_n=gamma_n, beta=beta),
    }
    budget = float(theory.divergence(policies[s["budget_of"]], base))
    line = theory.frontier(base, flags, budget=budget, points=FRONTIER_POINTS)
    return {
        "log_base": base,
        "correct": flags,
        "ks": KS,
        "policies": {name: described(logs, base, flags) for name, logs in policies.items()},
        "entropy_slope": theory.entropy_slope(base, flags, gamma=gamma, beta=beta, form="bonus"),
        "critical_gamma": {
            "centered": theory.critical_gamma(base, flags, gamma_n=gamma_n),
            "uncentered": theory.critical_gamma(base, flags, gamma_n=gamma_n, centered=False),
        },
        "selection": theory.selection_probability(base, flags, group_size=s["group_size"]),
        "budget": budget,
        "frontier": [
            {"a": x.a, "logit": x.logit, "mass": x.correct, "entropy": x.entropy, "effective": x.effective}
            for x in line
        ],
        "match": matched(theory.dominate(base, flags, gamma=gamma, beta=beta)),
        "match_centered": matched(theory.dominate(base, flags, gamma=gamma, beta=beta, centered=True)),
        "training": {
            "grpo": trained(s, base, flags, 0.0, 0.0),
            "smoothed": trained(s, base, flags, gamma_p, gamma_n),
        },
    }
