"""What each curve of a log did, and whether that speaks for a collapse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unsharpen.diagnosis.logs import Floats
from unsharpen.diagnosis.signals import SIGNALS, Kind, Signal, first_try
from unsharpen.diagnosis.trend import MIN_POINTS, Turn, find_turn, rank_trend

HINT = 0.05
"""Largest p-value of a curve that speaks for a collapse; after Holm's correction over the curves that prove one."""

Trend = Literal["falls", "rises", "level", "unknown"]
Curves = Mapping[Kind, Mapping[str, Floats]]


@dataclass(frozen=True)
class Evidence:
    """One curve.

    Attributes:
        kind: what it counts.
        key: its name in the log.
        points: how many values it has.
        text: what it did, in words.
        trend: over the whole log; since `since` where it speaks.
        since: onset, where it speaks for a collapse.
        start: level there, or in the first third.
        end: level at the end, or in the last third.
        p_value: of a fall (a rise of uniform groups) to the end, corrected; None where it can't be had.
        ongoing: whether the later half of the fall goes on falling, where that can be told.
        resolution: a smaller fall can hide in the noise.
        speaks: whether it speaks for a collapse.
    """

    kind: Kind
    key: str
    points: int
    text: str
    trend: Trend = "unknown"
    since: float | None = None
    start: float = math.nan
    end: float = math.nan
    p_value: float | None = None
    ongoing: bool | None = None
    resolution: float = math.nan
    speaks: bool = False

    @property
    def is_strong(self) -> bool:
        """Whether its fall is what is meant by a collapse."""
        return SIGNALS[self.kind].strong

    @property
    def p(self) -> float:
        """The p-value, 1 where there is none."""
        return 1.0 if self.p_value is None else self.p_value


def gather(steps: Floats, found: Curves) -> list[Evidence]:
    """Evidence of every curve but that of the first try; those that prove a collapse first."""
    turns = {
        (kind, key): find_turn(steps, values, rising=SIGNALS[kind].rising)
        for kind, curves in found.items()
        if kind != "first try"
        for key, values in curves.items()
    }
    corrected = _holm({k: t.p_value for k, t in turns.items() if t is not None and SIGNALS[k[0]].strong})
    out = [
        _describe(SIGNALS[kind], key, steps, found[kind][key], turn, corrected.get((kind, key)))
        for (kind, key), turn in turns.items()
    ]
    return sorted(out, key=lambda e: (not e.is_strong, not e.speaks, e.p))


def gather_first_try(steps: Floats, found: Curves, onset: float | None) -> Evidence | None:
    """What Pass@1 or the reward did since the onset, or over the whole log where too little is left."""
    curve = first_try(found)
    if curve is None:
        return None
    key, values = curve
    since = -math.inf if onset is None else onset
    trend, start, end = rank_trend(steps, values, since=since)
    if trend == "unknown":
        since, (trend, start, end) = -math.inf, rank_trend(steps, values)
    points = _count(values)
    if trend == "unknown":
        text = f"{key}: {_too_short(points)}"
    else:
        where = f" since step {since:g}" if math.isfinite(since) else ""
        text = f"{key}{where}: {_words(trend)} ({start:.3g}, then {end:.3g})"
    return Evidence("first try", key, points, text, trend, None, start, end)


def _describe(
    signal: Signal, key: str, steps: Floats, values: Floats, turn: Turn | None, corrected: float | None
) -> Evidence:
    points = _count(values)
    if turn is None:
        why = _too_short(points) if points < MIN_POINTS else "it never changes"
        return Evidence(signal.kind, key, points, f"{key}: {why}")
    p_value = turn.p_value if corrected is None else corrected
    change = abs(turn.end - turn.start)
    matters = change >= signal.least * (abs(turn.start) if signal.relative else 1.0)
    known = Evidence(signal.kind, key, points, "", p_value=p_value, ongoing=turn.ongoing, resolution=turn.resolution)
    if matters and p_value <= HINT:
        word: Trend = "rises" if signal.rising else "falls"
        text = f"{key} {word} from {turn.start:.3g} to {turn.end:.3g} since step {turn.onset:g} (p {_p(p_value)})"
        text += "; lately no further change can be measured" if turn.ongoing is False else ""
        return replace(known, text=text, trend=word, since=turn.onset, start=turn.start, end=turn.end, speaks=True)
    trend, start, end = rank_trend(steps, values)
    text = f"{key}: {_words(trend)} ({start:.3g} in the first third, {end:.3g} in the last)"
    if p_value <= HINT:
        text += ", a change too small to matter"
    elif signal.strong:
        text += f"; less than {turn.resolution:.2g} could hide in the noise"
    return replace(known, text=text, trend=trend, start=start, end=end)


def _holm(p_values: dict[tuple[Kind, str], float]) -> dict[tuple[Kind, str], float]:
    """Holm's step-down correction: any false alarm among the curves at the level of one."""
    out, running = {}, 0.0
    for rank, (key, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min(1.0, p * (len(p_values) - rank)))
        out[key] = running
    return out


def _count(values: Floats) -> int:
    return int(np.isfinite(values).sum())


def _too_short(points: int) -> str:
    return f"only {points} value{'s' * (points != 1)}, {MIN_POINTS} are needed"


def _words(trend: Trend) -> str:
    return "no measurable trend" if trend == "level" else trend


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
