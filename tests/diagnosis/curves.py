"""Made training curves with known turning points, and noise of several kinds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unsharpen.diagnosis import TrainingLog

Curve = np.ndarray


def noise(kind: str, length: int, rng: np.random.Generator) -> Curve:
    """Unit variance: "normal", "heavy" tails (t with 3 degrees of freedom), or "sticky" (AR(1), rho .5)."""
    if kind == "heavy":
        return rng.standard_t(3, size=length) / np.sqrt(3)
    white = rng.normal(size=length + 50)
    if kind == "normal":
        return white[50:]
    out = np.zeros(length + 50)
    for i in range(1, length + 50):
        out[i] = 0.5 * out[i - 1] + np.sqrt(1 - 0.25) * white[i]
    return out[50:]


def turning(length: int, at: int, *, level: float = 2.8, rise: float = 0.8, fall: float = 1.0) -> Curve:
    """Rises to `level` at step `at`, then falls; in straight lines."""
    steps = np.arange(length)
    before = level - rise * (at - steps) / max(at, 1)
    return np.where(steps < at, before, level - fall * (steps - at) / (length - at))


def log(columns: Mapping[str, Curve]) -> TrainingLog:
    length = len(next(iter(columns.values())))
    return TrainingLog("made", np.arange(length, dtype=float), {k: np.asarray(v, float) for k, v in columns.items()})


def flat(seed: int, length: int, kind: str = "normal") -> dict[str, Curve]:
    """A run that learns and keeps its diversity, as noisy as 32 prompts x 16 completions are."""
    rng = np.random.default_rng(seed)
    return {
        "pass@1": 0.4 + 0.1 * np.arange(length) / length + 0.05 * noise(kind, length, rng),
        "pass@16": 0.95 + 0.04 * noise(kind, length, rng),
        "effective_solutions": 2.7 + 0.3 * noise(kind, length, rng),
    }
