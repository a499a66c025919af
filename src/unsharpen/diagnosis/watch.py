"""The same detection while a run goes on: looks now and then, speaks once for each onset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unsharpen.diagnosis.diagnose import Diagnosis, diagnose
from unsharpen.diagnosis.logs import TrainingLog

LEVEL = 0.001
"""Largest p-value of an alarm: stricter than after the fact, since a run is looked at many times."""

_FIRST = 24  # log entries before the first look
_GROWTH = 1.1  # entries of one look over those of the one before
_IN_A_ROW = 2  # looks that agree before anything is said, or taken back
_DEEP = 0.3  # share by which entropy alone must have fallen


class CollapseWatch:
    """Looks at a growing log, and says what it finds once.

    A look costs some milliseconds and comes when the log has grown by a tenth, 24 entries at first. A collapse is told
    when two looks in a row find one at p < .001; then it is silent, until two looks in a row find none any more: it has
    recovered, and what comes after is judged anew.
    """

    def __init__(self) -> None:
        self.since = -math.inf
        self._looked = 0
        self._agreeing = 0
        self._told = False

    def update(self, history: Sequence[Mapping[str, Any]]) -> Diagnosis | None:
        """The collapse that is found now and was not told yet, or None.

        Args:
            history: log entries from the first one on, each with its step; longer than at the call before. A call with
                many new entries goes through the same looks as one call for each.
        """
        for size in range(self._looked + 1, len(history) + 1):
            if size < max(_FIRST, math.ceil(self._looked * _GROWTH)):
                continue
            self._looked = size
            found = self._look(history[:size])
            if found is not None and size == len(history):
                return found
        return None

    def _look(self, history: Sequence[Mapping[str, Any]]) -> Diagnosis | None:
        found = diagnose(TrainingLog.from_rows(history, source="the log so far"), since=self.since, level=LEVEL)
        self._agreeing = self._agreeing + 1 if _is_alarm(found) is not self._told else 0
        if self._agreeing < _IN_A_ROW:
            return None
        self._agreeing, self._told = 0, not self._told
        if self._told:
            return found
        self.since = found.steps[1]
        return None


def _is_alarm(found: Diagnosis) -> bool:
    if found.outcome == "collapsing":
        return True
    counts = any(e.is_strong and e.p_value is not None for e in found.evidence)
    deep = any(
        e.kind == "entropy" and e.speaks and e.p <= LEVEL and e.end < (1 - _DEEP) * e.start for e in found.evidence
    )
    return found.outcome == "possible" and deep and not counts


def in_words(found: Diagnosis) -> str:
    """One warning: what is found, how sure, what to do."""
    if found.outcome == "collapsing":
        return f"{found.summary} `unsharpen diagnose` on this run says more, and what to try."
    weak = next(e for e in found.evidence if e.kind == "entropy" and e.speaks)
    return (
        f"This run may be collapsing: {weak.text}, while the reward rises. That is weak evidence, since successful "
        "training lowers entropy, too; to know, log Pass@G and effective_solutions (DiverseGRPOTrainer does) or sample "
        "a checkpoint many times per problem."
    )
