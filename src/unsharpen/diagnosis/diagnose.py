"""From curves to an answer: collapsing or not, since when, on which evidence, how sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unsharpen.diagnosis.evidence import Evidence, gather, gather_first_try
from unsharpen.diagnosis.logs import TrainingLog
from unsharpen.diagnosis.signals import find_signals

Outcome = Literal["collapsing", "degrading", "possible", "not seen", "can't tell"]
Confidence = Literal["high", "moderate", "low", "none"]

OUTCOMES: Mapping[Outcome, str] = {
    "collapsing": "It is collapsing: correct solutions become fewer while the first try gets no worse.",
    "degrading": "It is getting worse: the first try falls as well. That is no sharpening.",
    "possible": "It may be collapsing: there are signs, but no proof.",
    "not seen": "No collapse is to be seen.",
    "can't tell": "These metrics can't tell.",
}
ALARM = 0.01
"""Largest p-value, after Holm's correction, that proves a collapse."""

_HIGH = 0.001
_FINE, _COARSE = 0.05, 0.2  # shares of its level: a fall that would be found for a sure "not seen", for any answer


@dataclass(frozen=True)
class Diagnosis:
    """What a training log says about diversity.

    Attributes:
        outcome: a key of :data:`OUTCOMES`.
        since: step of the onset, where there is one.
        confidence: in the outcome.
        summary: two or three sentences.
        evidence: curves that were looked at: the first try, those that prove a collapse, the rest.
        caveats: what weakens the answer, and what is missing.
        steps: first and last step of the log.
    """

    outcome: Outcome
    since: float | None
    confidence: Confidence
    summary: str
    evidence: tuple[Evidence, ...]
    caveats: tuple[str, ...]
    steps: tuple[float, float]


def diagnose(log: TrainingLog, *, since: float = -math.inf, level: float = ALARM) -> Diagnosis:
    """Whether a run is collapsing, since when, and how sure that is.

    A collapse is proved by curves that count: effective correct solutions per prompt, or the share of problems solved
    in many tries, falling (p < .01 after Holm's correction, by an amount that matters) while the first try does not
    fall. Falling entropy and ever more uniform groups come with every successful training, too: alone they are signs.

    Args:
        log: curves of one run.
        since: earlier steps are left out (a monitor begins anew after a recovery).
        level: largest p-value that proves a collapse.

    Returns:
        Diagnosis; its outcome is "can't tell" where curves are missing, too short or too noisy.
    """
    keep = log.steps >= since
    steps = log.steps[keep]
    found = {kind: {k: v[keep] for k, v in curves.items()} for kind, curves in find_signals(log).items()}
    evidence = gather(steps, found)
    falling = [e for e in evidence if e.is_strong and e.speaks]
    onset = _onset(falling, evidence)
    first = gather_first_try(steps, found, onset)
    outcome, confidence = _judge(evidence, falling, first, level)
    if outcome in ("not seen", "can't tell"):
        onset = None
    ends = (float(steps[0]), float(steps[-1])) if steps.size else (math.nan, math.nan)
    return Diagnosis(
        outcome,
        onset,
        confidence,
        _summary(outcome, onset == ends[0], onset, falling, first),
        (*([first] if first else ()), *evidence),
        (*_caveats(outcome, evidence, first), *log.notes),
        ends,
    )


def _onset(falling: list[Evidence], evidence: list[Evidence]) -> float | None:
    """That of the clearest curve that proves it; else the earliest of the signs."""
    if falling:
        return falling[0].since
    return min((e.since for e in evidence if e.since is not None), default=None)


def _judge(
    evidence: list[Evidence], falling: list[Evidence], first: Evidence | None, level: float
) -> tuple[Outcome, Confidence]:
    sure = [e for e in falling if e.p <= level]
    if sure:
        clear = sure[0].p <= _HIGH or len(sure) > 1
        if first is not None and first.trend == "falls":
            return "degrading", "high" if clear else "moderate"
        known = first is not None and first.trend != "unknown"
        return "collapsing", "high" if clear and known else "moderate"
    if falling:
        return "possible", "low"
    usable = [e for e in evidence if e.is_strong and e.p_value is not None]
    if not usable:
        signs = any(e.kind == "entropy" and e.speaks for e in evidence)
        return ("possible", "low") if signs and first and first.trend == "rises" else ("can't tell", "none")
    finest = min(e.resolution / max(abs(e.start), 1e-12) for e in usable)
    if not finest <= _COARSE:
        return "can't tell", "none"
    if any(e.trend == "falls" for e in usable):
        return "not seen", "low"
    return "not seen", "high" if finest <= _FINE else "moderate"


def _summary(
    outcome: Outcome, throughout: bool, onset: float | None, falling: list[Evidence], first: Evidence | None
) -> str:
    parts = [OUTCOMES[outcome]]
    if onset is not None:
        parts.append("From the start of the log." if throughout else f"Since about step {onset:g}.")
    if falling:
        parts.append(f"The clearest curve: {falling[0].text}.")
        if first is not None and first.trend != "unknown":
            parts.append(f"Meanwhile {first.key} {'shows no trend' if first.trend == 'level' else first.trend}.")
    return " ".join(parts)


def _caveats(outcome: Outcome, evidence: list[Evidence], first: Evidence | None) -> list[str]:
    out = []
    proof = [e for e in evidence if e.is_strong]
    if not proof:
        out.append(
            "No curve counts correct solutions or problems solved in many tries (effective_solutions, pass@G, best@N). "
            "Entropy and reward alone can't prove a collapse: successful training lowers entropy, too."
        )
    elif all(e.p_value is None for e in proof):
        out.append(f"What would prove it can't be used: {proof[0].text}.")
    elif outcome == "can't tell":
        out.append("The curves are so noisy that a fall by a fifth could hide in them. Log longer, or larger batches.")
    if first is None:
        out.append("No curve of Pass@1 or of the reward, so sharpening can't be told from a run that gets worse.")
    elif not first.key.endswith("pass@1"):
        out.append(f"{first.key} stands for Pass@1; a reward that also pays for form or length may rise without it.")
    if outcome == "not seen" and any(e.speaks for e in evidence):
        out.append("Entropy or uniform groups moved as in a collapse; with no fewer solutions that is plain progress.")
    return out
