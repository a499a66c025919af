"""How often noise alone is called a collapse, and how near the onset is to a known turning point.

python benchmarks/diagnosis.py            # minutes on one core; the tables of docs/diagnose.md
"""

from __future__ import annotations

import sys

import numpy as np

from unsharpen.diagnosis import TrainingLog, diagnose, find_turn


def noise(rho: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """AR(1) of unit variance; with rho 0 independent."""
    white, out = rng.normal(size=length + 100), np.zeros(length + 100)
    for i in range(1, length + 100):
        out[i] = rho * out[i - 1] + np.sqrt(1 - rho**2) * white[i]
    return out[100:]


def healthy(kind: str, length: int, seed: int) -> TrainingLog:
    """Pass@1 rises, diversity stays; noise as of 32 prompts x 16 completions."""
    rng, steps = np.random.default_rng(seed), np.arange(length, dtype=float)

    def e() -> np.ndarray:
        return rng.standard_t(3, size=length) / np.sqrt(3) if kind == "heavy" else noise(float(kind), length, rng)

    columns = {"effective_solutions": 2.7 + 0.3 * e(), "pass@16": 0.95 + 0.04 * e()}
    return TrainingLog("made", steps, columns | {"pass@1": 0.4 + 0.1 * steps / length + 0.05 * e()})


def main(runs: int) -> None:
    print("steps noise alarm possible")
    for length in (12, 40, 120, 400):
        for kind in ("0", "heavy", ".5", ".8"):
            outcomes = [diagnose(healthy(kind, length, seed)).outcome for seed in range(runs)]
            alarms = np.mean([outcome in ("collapsing", "degrading") for outcome in outcomes])
            print(f"{length:5} {kind:>5} {alarms:.3f} {np.mean([o == 'possible' for o in outcomes]):.3f}", flush=True)
    print("steps turn found(p < .01) onset - turn: 5, 50, 95 % quantile")
    for length, at in ((120, 60), (200, 50), (200, 120), (400, 200)):
        steps, found = np.arange(length), []
        curve = np.where(steps < at, 2 + 0.8 * steps / at, 2.8 - (steps - at) / (length - at))
        for seed in range(runs // 2):
            turn = find_turn(steps, curve + 0.25 * np.random.default_rng(seed).normal(size=length))
            if turn is not None and turn.p_value < 0.01:
                found.append(turn.onset - at)
        print(length, at, f"{len(found)}/{runs // 2}", np.quantile(found, [0.05, 0.5, 0.95]), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
