"""Which variant beats GRPO, by multiplicity: tables trained in worlds of shared strategies.

python runs/theory/simulations.py --seeds 5
"""

from __future__ import annotations

import argparse
import time
from typing import Any, get_args

from unsharpen import Method, get_method
from unsharpen.theory import Estimate, compare_methods
from unsharpen.theory.worlds import Multiplicity

METHODS: dict[str, Method] = {
    "grpo": get_method("grpo"),
    "grpo-low-lr": get_method("grpo-low-lr"),
    "grpo-kl .05": get_method("grpo-kl", kl_coef=0.05),
    "dr-grpo": get_method("dr-grpo"),
    "maxrl": get_method("maxrl"),
    "entropy-bonus-seq .1": get_method("entropy-bonus-seq", gamma=0.1),
    "ds-grpo .05/.05 (published)": get_method("ds-grpo"),
    "ds-grpo-sum .3": get_method("ds-grpo-sum"),
    "ds-grpo-sum .3/.3 (tied)": get_method("ds-grpo-sum", gamma_n=0.3),
    "ds-grpo-robust .2": get_method("ds-grpo-robust"),
    "ds-grpo-robust .4": get_method("ds-grpo-robust", gamma_p=0.4),
    "ds-grpo-robust .2/.2 (tied)": get_method("ds-grpo-robust", gamma_n=0.2),
    "ds-grpo-centered .2": get_method("ds-grpo-centered"),
    "ds-grpo-centered .4": get_method("ds-grpo-centered", kappa=0.4),
}


def interval(x: Estimate, sign: bool = False) -> str:
    return f"{x.value:{'+' if sign else ''}.3f} [{x.low:.3f}, {x.high:.3f}]"


def verdict(x: Estimate) -> str:
    return "+" if x.low > 0 else "-" if x.high < 0 else "0"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args()
    start, wall = time.process_time(), time.perf_counter()
    summary: dict[str, list[str]] = {name: [] for name in METHODS}
    levels: tuple[Any, ...] = get_args(Multiplicity)
    for multiplicity in levels:
        compared = compare_methods(METHODS, multiplicity=multiplicity, seeds=args.seeds, steps=args.steps)
        base = ", ".join(f"Pass@{k} {compared[0].curves[k][0]:.3f}" for k in (1, 8, 64))
        print(f"\n{multiplicity} multiplicity; base: {base}\n")
        head = ["method", "Pass@1", "gain", "Pass@8", "gain", "Pass@64", "gain", "effective"]
        print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
        for c in compared:
            cells = [f"{c.pass_at[k].value:.3f} | {interval(c.gain[k], sign=True)}" for k in (1, 8, 64)]
            print(f"| {c.method} | {' | '.join(cells)} | {c.effective.value:.2f} |", flush=True)
            summary[c.method] += [verdict(c.gain[1]), verdict(c.gain[8])]
    head = " | ".join(f"{level} @1 | {level} @8" for level in levels)
    print(f"\n+ beats GRPO, - loses, 0 interval holds 0\n\n| method | {head} |\n|{'---|' * (1 + 2 * len(levels))}")
    for name, marks in summary.items():
        print(f"| {name} | {' | '.join(marks)} |")
    print(f"\n{time.process_time() - start:.0f} s of CPU, {time.perf_counter() - wall:.0f} s on the clock")


if __name__ == "__main__":
    main()
