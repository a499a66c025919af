"""What the keys of a training log mean, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unsharpen.diagnosis.logs import Floats, TrainingLog

Kind = Literal["solutions", "many tries", "first try", "entropy", "uniform groups", "length"]


@dataclass(frozen=True)
class Signal:
    """One kind of curve.

    Attributes:
        kind: its name.
        rising: a collapse makes it rise.
        strong: it counts correct solutions or tries, so that its fall is what is meant by a collapse.
        least: smallest change that matters; a share of the starting level, or absolute.
        relative: whether `least` is a share.
        patterns: regular expressions for keys, the better ones first.
        name: in a sentence.
    """

    kind: Kind
    name: str
    patterns: tuple[str, ...]
    rising: bool = False
    strong: bool = False
    least: float = 0.1
    relative: bool = True


SIGNALS = {
    signal.kind: signal
    for signal in (
        Signal(
            "solutions",
            "distinct correct solutions per prompt",
            (r"effective_solutions", r"distinct_correct"),
            strong=True,
            least=0.05,
        ),
        Signal(
            "many tries",
            "problems solved in many tries",
            (r"pass@(?!1$)\d+", r"val.*/(?:acc|reward|score)/best@\d+/mean", r".*best@\d+/mean"),
            strong=True,
            least=0.01,
            relative=False,
        ),
        Signal(
            "first try",
            "right at the first try",
            (
                *(r"pass@1", r"critic/score/mean", r"reward", r"critic/rewards/mean", r"rewards/.*/mean"),
                *(r"val.*/(?:acc|reward|score)/mean@\d+", r"eval_reward"),
            ),
        ),
        Signal("entropy", "entropy per token", (r"entropy", r"actor/entropy", r"actor/entropy_loss")),
        Signal(
            "uniform groups",
            "groups without a difference between rewards",
            (r"uniform_groups", r"frac_reward_zero_std"),
            rising=True,
            least=0.05,
            relative=False,
        ),
        Signal(
            "length",
            "tokens per completion",
            (r"completions/mean_length", r"response_length/mean", r"completion_length"),
            least=0.2,
        ),
    )
}
_PREFIX = re.compile(r"^(train|unsharpen)/")
_MOST = 8
"""Curves of one kind that are looked at."""


def find_signals(log: TrainingLog) -> dict[Kind, dict[str, Floats]]:
    """The curves of each kind, by key: those that the first pattern with a match finds.

    Of several numbers of tries on the same problems the largest one is taken. Keys may carry a prefix: ``train/``, or
    ``unsharpen/`` as in verl's logs.
    """
    found: dict[Kind, dict[str, Floats]] = {}
    for kind, signal in SIGNALS.items():
        for pattern in signal.patterns:
            keys = [key for key in log.columns if re.fullmatch(pattern, _PREFIX.sub("", key))]
            keys = [key for key in keys if not np.isnan(log.columns[key]).all()]
            if keys:
                kept = _largest_k(keys) if kind == "many tries" else keys
                found[kind] = {key: log.columns[key] for key in kept[:_MOST]}
                break
    return found


def _largest_k(keys: list[str]) -> list[str]:
    best: dict[str, str] = {}
    for key in keys:
        family = re.sub(r"@\d+", "@", key)
        best[family] = max(best.get(family, key), key, key=lambda k: int(re.search(r"@(\d+)", k)[1]))  # type: ignore[index]
    return list(best.values())


def first_try(found: Mapping[Kind, Mapping[str, Floats]]) -> tuple[str, Floats] | None:
    """The one curve of Pass@1, or of the reward that stands for it; the best-filled one."""
    curves = found.get("first try")
    if not curves:
        return None
    return max(curves.items(), key=lambda item: int((~np.isnan(item[1])).sum()))
