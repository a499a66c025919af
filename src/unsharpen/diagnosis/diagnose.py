"""From curves to an answer: collapsing or not, since when, on which evidence, how sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unsharpen.diagnosis.logs import Floats, TrainingLog
from unsharpen.diagnosis.signals import SIGNALS, Kind, Signal, find_signals, first_try
from unsharpen.diagnosis.trend import MIN_POINTS, Turn, find_turn, rank_trend

Outcome = Literal["collapsing", "degrading", "possible", "not seen", "can't tell"]
Confidence = Literal["high", "moderate", "low", "none"]

OUTCOMES: Mapping[Outcome, str] = {
    "collapsing": "It is collapsing: correct solutions become fewer while the first try gets no worse.",
    "degrading": "It is getting worse: both the first try and the many tries fall. That is no sharpening.",
    "possible": "It may be collapsing: there are signs, but no proof.",
    "not seen": "No collapse is to be seen.",
    "can't tell": "These metrics can't tell.",
}
ALARM, HINT = 0.01, 0.05  # p-values, after Holm's correction over the curves that count as proof
_HIGH = 0.001
_COARSE = 0.2  # of its level: a curve in which only larger falls would be found can't rule a collapse out
_FINE = 0.05


@dataclass(frozen=True)
class Evidence:
    """One curve: what it did, and whether that speaks for a collapse."""

    kind: Kind
    key: str
    points: int
    trend: str  # "falls", "rises", "level" or "unknown"
    since: float | None
    start: float
    end: float
    p_value: float | None  # corrected
    ongoing: bool | None
    resolution: float  # a smaller fall can hide in the noise
    speaks: bool
    text: str

    @property
    def is_usable(self) -> bool:
        return self.p_value is not None


@dataclass(frozen=True)
class Diagnosis:
    """What a training log says about diversity.

    Attributes:
        outcome: a key of :data:`OUTCOMES`.
        since: step of the onset, where there is one.
        confidence: in the outcome.
        summary: two or three sentences.
        evidence: curves that were looked at: the first try, what counts as proof, the rest.
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


def diagnose(log: TrainingLog, *, since: float = -math.inf) -> Diagnosis:
    """Whether a run is collapsing, since when, and how sure that is.

    A collapse is proved by curves that count: effective correct solutions per prompt, or the share of problems solved
    in many tries, falling (p < .01 after Holm's correction, by an amount that matters) while the first try does not
    fall. Falling entropy and ever more uniform groups come with every successful training, too: alone they are signs.

    Args:
        log: curves of one run.
        since: earlier steps are left out (a monitor begins anew after a recovery).

    Returns:
        Diagnosis; its outcome is "can't tell" where curves are missing, too short or too noisy.
    """
    keep = log.steps >= since
    steps = log.steps[keep]
    found = {kind: {k: v[keep] for k, v in curves.items()} for kind, curves in find_signals(log).items()}
    evidence = _evidence(steps, found)
    proof = [e for e in evidence if SIGNALS[e.kind].strong]
    signs = [e for e in evidence if not SIGNALS[e.kind].strong and e.kind != "first try" and e.speaks]
    falling = sorted((e for e in proof if e.speaks), key=lambda e: e.p_value or 0.0)
    chosen = next((e for e in falling if (e.p_value or 0) <= ALARM), falling[0] if falling else None)
    onset = _onset(chosen, falling, signs)
    first = _first_try(steps, found, onset)
    outcome, confidence = _judge(proof, falling, signs, first)
    if outcome in ("not seen", "can't tell"):
        onset = None
    ordered = [*([first] if first else []), *sorted(evidence, key=_weight)]
    ends = (float(steps[0]), float(steps[-1])) if steps.size else (math.nan, math.nan)
    return Diagnosis(
        outcome,
        onset,
        confidence,
        _summary(outcome, onset, ends[0], chosen, first),
        tuple(ordered),
        tuple(_caveats(proof, signs, first, outcome)) + log.notes,
        ends,
    )


def _weight(evidence: Evidence) -> tuple[bool, bool, float]:
    return not SIGNALS[evidence.kind].strong, not evidence.speaks, evidence.p_value or 1.0


def _evidence(steps: Floats, found: Mapping[Kind, Mapping[str, Floats]]) -> list[Evidence]:
    turns = {
        (kind, key): find_turn(steps, values, rising=SIGNALS[kind].rising)
        for kind, curves in found.items()
        if kind != "first try"
        for key, values in curves.items()
    }
    corrected = _holm({k: t.p_value for k, t in turns.items() if t is not None and SIGNALS[k[0]].strong})
    out = []
    for (kind, key), turn in turns.items():
        p = corrected.get((kind, key), turn.p_value if turn else None)
        out.append(_describe(SIGNALS[kind], key, steps, found[kind][key], turn, p))
    return out


def _holm(p_values: dict[tuple[Kind, str], float]) -> dict[tuple[Kind, str], float]:
    """Holm's step-down correction: any false alarm among the curves at the level of one."""
    out, running = {}, 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, p * (len(p_values) - rank)))
        out[key] = running
    return out


def _describe(
    signal: Signal, key: str, steps: Floats, values: Floats, turn: Turn | None, p_value: float | None
) -> Evidence:
    points = int((values == values).sum())
    if turn is None or p_value is None:
        why = f"only {points} values, {MIN_POINTS} are needed" if points < MIN_POINTS else "it never changes"
        return Evidence(signal.kind, key, points, "unknown", None, math.nan, math.nan, None, None, math.nan, False, f"{key}: {why}")
    change = turn.end - turn.start
    matters = abs(change) >= signal.least * (abs(turn.start) if signal.relative else 1.0)
    speaks = matters and p_value <= HINT
    if speaks:
        word = "rises" if signal.rising else "falls"
        text = f"{key} {word} from {turn.start:.3g} to {turn.end:.3g} since step {turn.onset:g} (p {_p(p_value)})"
        text += "; lately no further change can be measured" if turn.ongoing is False else ""
        return Evidence(
            signal.kind, key, points, word, turn.onset, turn.start, turn.end, p_value, turn.ongoing, turn.resolution, True, text
        )
    trend, start, end = rank_trend(steps, values)
    text = f"{key}: {_level(trend)} ({start:.3g} in the first third, {end:.3g} in the last)"
    if p_value <= HINT and not matters:
        text += ", a change too small to matter"
    elif signal.strong:
        text += f"; less than {turn.resolution:.2g} could hide in the noise"
    return Evidence(signal.kind, key, points, trend, None, start, end, p_value, None, turn.resolution, False, text)


def _onset(chosen: Evidence | None, falling: list[Evidence], signs: list[Evidence]) -> float | None:
    """The earliest onset of the curves that prove it; else of the clearest one, else of the signs."""
    sure = [e.since for e in falling if (e.p_value or 0) <= ALARM and e.since is not None]
    if sure:
        return min(sure)
    if chosen is not None:
        return chosen.since
    return min((e.since for e in signs if e.since is not None), default=None)


def _first_try(
    steps: Floats, found: Mapping[Kind, Mapping[str, Floats]], onset: float | None
) -> Evidence | None:
    """What Pass@1 or the reward did since the onset, or over the whole log where too little is left."""
    curve = first_try(found)
    if curve is None:
        return None
    key, values = curve
    since = -math.inf if onset is None else onset
    trend, start, end = rank_trend(steps, values, since=since)
    if trend == "unknown":
        since, (trend, start, end) = -math.inf, rank_trend(steps, values)
    points = int((values == values).sum())
    where = "" if since == -math.inf else f" since step {since:g}"
    text = (
        f"{key}: only {points} values, {MIN_POINTS} are needed"
        if trend == "unknown"
        else f"{key}{where}: {_level(trend)} ({start:.3g}, then {end:.3g})"
    )
    return Evidence("first try", key, points, trend, None, start, end, None, None, math.nan, False, text)


def _judge(
    proof: list[Evidence], falling: list[Evidence], signs: list[Evidence], first: Evidence | None
) -> tuple[Outcome, Confidence]:
    sure = [e for e in falling if (e.p_value or 0) <= ALARM]
    down = first is not None and first.trend == "falls"
    if sure and down:
        return "degrading", "high" if len(sure) > 1 else "moderate"
    if sure:
        known = first is not None and first.trend != "unknown"
        strong = (sure[0].p_value or 0) <= _HIGH or len(sure) > 1
        return "collapsing", "high" if strong and known else "moderate"
    if falling:
        return "possible", "low"
    usable = [e for e in proof if e.is_usable]
    if not usable:
        entropy = any(e.kind == "entropy" for e in signs)
        return ("possible", "low") if entropy and first is not None and first.trend == "rises" else ("can't tell", "none")
    finest = min(e.resolution / max(abs(e.start), 1e-12) for e in usable)
    if not finest <= _COARSE:  # NaN as well
        return "can't tell", "none"
    if any(e.trend == "falls" for e in usable):
        return "not seen", "low"
    return "not seen", "high" if finest <= _FINE else "moderate"


def _summary(outcome: Outcome, onset: float | None, start: float, chosen: Evidence | None, first: Evidence | None) -> str:
    parts = [OUTCOMES[outcome]]
    if onset is not None:
        parts.append("From the start of the log." if onset == start else f"Since about step {onset:g}.")
    if chosen is not None and outcome in ("collapsing", "degrading", "possible"):
        parts.append(f"The clearest curve: {chosen.text}.")
        if first is not None and first.trend != "unknown":
            parts.append(f"Meanwhile {first.key} {_verb(first.trend)}.")
    return " ".join(parts)


def _caveats(
    proof: list[Evidence], signs: list[Evidence], first: Evidence | None, outcome: Outcome
) -> list[str]:
    out = []
    if not proof:
        out.append(
            "No curve counts correct solutions or problems solved in many tries (effective_solutions, pass@G, best@N). "
            "Entropy and reward alone can't prove a collapse: successful training lowers entropy, too."
        )
    elif not any(e.is_usable for e in proof):
        out.append(f"What would prove it can't be used: {proof[0].text}.")
    elif outcome == "can't tell":
        out.append("The curves are so noisy that a fall by a fifth could hide in them. Log longer, or larger batches.")
    if first is None:
        out.append("No curve of Pass@1 or of the reward, so sharpening can't be told from a run that gets worse.")
    elif first.key not in ("pass@1", "train/pass@1"):
        out.append(f"{first.key} stands for Pass@1; a reward that also pays for form or length may rise without it.")
    if outcome == "not seen" and signs:
        out.append("Entropy or uniform groups moved as in a collapse; without fewer solutions that is ordinary progress.")
    return out


def _level(trend: str) -> str:
    return {"level": "no measurable trend", "rises": "rises", "falls": "falls"}.get(trend, "unknown")


def _verb(trend: str) -> str:
    return {"level": "shows no trend", "rises": "rises", "falls": "falls"}[trend]


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
