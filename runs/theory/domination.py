"""Random search for violations of Theorem 3.4 of arXiv 2511.19942, divergence by divergence.

    python runs/theory/domination.py --instances 10000

Each instance: 1 to 5 correct and 1 to 5 wrong completions, Dirichlet weights with concentration .2, .5, 1 or 3 (floored
at 1e-6), gamma and beta log-uniform in [.02, 20]. Three checks that share no code with the verdict: a match is rebuilt
from its coefficients and measured; a violation is attacked with 400 random smoothed policies; and a lever of at least
0 must never come with a violation.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

import numpy as np

from unsharpen.theory import (
    Match,
    divergence,
    dominate,
    entropy_bonus,
    entropy_proxy,
    logit_mass,
    shannon,
    smoothed,
)

KINDS: list[tuple[Any, float | None]] = [
    ("reverse-kl", None),
    ("forward-kl", None),
    ("mixture-kl", None),
    ("renyi", 0.5),
    ("renyi", 2.0),
    ("tv", None),
    ("chi2", None),
]
ATTACKS, TOLERANCE = 400, 1e-7
STRICT = 1e-10  # for attacks: nearly tied instances lose by less than TOLERANCE
Array = np.ndarray


def draw(rng: np.random.Generator) -> tuple[Array, Array, float, float]:
    right, wrong = rng.integers(1, 6, size=2)
    p = np.maximum(rng.dirichlet(np.full(right + wrong, rng.choice([0.2, 0.5, 1.0, 3.0]))), 1e-6)
    gamma, beta = np.exp(rng.uniform(np.log(0.02), np.log(20), size=2))
    return np.log(p / p.sum()), np.arange(right + wrong) < right, float(gamma), float(beta)


def wins(
    policies: Array, rival: Array, log_p: Array, flags: Array, kind: Any, q: Any, tolerance: float = TOLERANCE
) -> Array:
    """Which policies are as good as the rival in all three respects."""
    far = divergence(rival, log_p, kind, parameter=q)
    return (
        (logit_mass(policies, flags) >= logit_mass(rival, flags) - tolerance)
        & (shannon(policies, flags) >= shannon(rival, flags) - tolerance)
        & (divergence(policies, log_p, kind, parameter=q) <= far + tolerance * (1 + far))
    )


def rebuilt(log_p: Array, flags: Array, match: Match) -> Array:
    return smoothed(log_p, flags, gamma_p=match.gamma_p, gamma_n=match.gamma_n, beta=match.beta, offset=match.offset)


def attackers(rng: np.random.Generator, log_p: Array, flags: Array, least: float) -> Array:
    """Smoothed policies: a from ``least`` on, mostly close to it, b mostly 0, any 1/beta > 0."""
    a = least + rng.choice([0.0, 1.0], ATTACKS) * rng.exponential(0.1, ATTACKS)
    b = rng.choice([0.0, 0.0, 1.0], ATTACKS) * rng.exponential(0.2, ATTACKS)
    kappa = np.exp(rng.uniform(-12, 3, ATTACKS))
    scores = np.where(flags, (1 - a)[:, None] * log_p + kappa[:, None], (1 + b)[:, None] * log_p)
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)


def search(form: Any, instances: int, seed: int) -> dict[tuple[Any, Any], Counter[str]]:
    rng = np.random.default_rng(seed)
    counts: dict[tuple[Any, Any], Counter[str]] = {key: Counter() for key in KINDS}
    for _ in range(instances):
        log_p, flags, gamma, beta = draw(rng)
        rival = (entropy_bonus if form == "bonus" else entropy_proxy)(log_p, flags, gamma=gamma, beta=beta)
        policies = None
        for kind, q in KINDS:
            count = counts[kind, q]
            setting: dict[str, Any] = {"gamma": gamma, "beta": beta, "form": form, "kind": kind, "parameter": q}
            free = dominate(log_p, flags, **setting)
            lever = free.lever >= 0
            count["lever"] += lever
            if free.feasible:
                if free.beta < 1e9:
                    count["rebuilt"] += 1
                    count["rebuilt, fails"] += not wins(rebuilt(log_p, flags, free), rival, log_p, flags, kind, q)
            else:
                count["violated"] += 1
                count["violated at lever >= 0"] += lever
                policies = attackers(rng, log_p, flags, free.a) if policies is None else policies
                count["attack succeeds"] += bool(wins(policies, rival, log_p, flags, kind, q, STRICT).any())
            centered = dominate(log_p, flags, **setting, centered=True)
            count["centered violated"] += not centered.feasible
            if centered.beta < 1e9:
                built = rebuilt(log_p, flags, centered)
                count["centered, fails"] += not wins(built, rival, log_p, flags, kind, q)
            if lever:
                count["tied violated at lever >= 0"] += not dominate(log_p, flags, **setting, tied=True).feasible
    return counts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--form", choices=["bonus", "proxy"], action="append", help="default: both")
    args = parser.parse_args()
    start = time.process_time()
    head = ["divergence", "violated", "of those at L >= 0", "attack finds a way", "L >= 0", "tied: violated at L >= 0"]
    head += ["centred: violated", "matches rebuilt", "of those wrong"]
    for form in args.form or ("bonus", "proxy"):
        print(f"\n{form}, {args.instances} instances a divergence\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for (kind, q), count in search(form, args.instances, args.seed).items():
            share = count["violated"] / args.instances
            tied = count["tied violated at lever >= 0"] / max(1, count["lever"])
            cells = [kind if q is None else f"{kind} {q:g}", f"{count['violated']} ({share:.1%})"]
            cells += [str(count["violated at lever >= 0"]), str(count["attack succeeds"]), str(count["lever"])]
            cells += [f"{count['tied violated at lever >= 0']} ({tied:.1%})"]
            cells += [str(count["centered violated"] + count["centered, fails"])]
            cells += [str(count["rebuilt"]), str(count["rebuilt, fails"])]
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} s of CPU")


if __name__ == "__main__":
    main()
