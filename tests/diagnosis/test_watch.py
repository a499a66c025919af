"""The watch on a growing log: speaks once for each onset, is silent on noise, and goes on where it stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.diagnosis.curves import flat, turning
from tests.diagnosis.test_diagnose import collapsing

from unsharpen.diagnosis import CollapseWatch, Diagnosis
from unsharpen.diagnosis.watch import in_words

Rows = list[dict[str, Any]]


def rows(curves: dict[str, np.ndarray]) -> Rows:
    return [{"step": i, **{k: float(v[i]) for k, v in curves.items()}} for i in range(len(curves["pass@1"]))]


def feed(watch: CollapseWatch, history: Rows, start: int = 0) -> list[tuple[int, Diagnosis]]:
    told = [(i, watch.update(history[: i + 1])) for i in range(start, len(history))]
    return [(i, found) for i, found in told if found is not None]


def test_an_onset_is_told_once_and_soon() -> None:
    for seed in range(4):
        ((when, found),) = feed(CollapseWatch(), rows(collapsing(seed, 200, 80)))
        assert 90 <= when <= 185
        assert found.outcome == "collapsing"
        assert found.since is not None
        assert abs(found.since - 80) <= 25
        assert "unsharpen diagnose" in in_words(found)


def test_noise_is_never_told() -> None:
    assert [told for seed in range(12) if (told := feed(CollapseWatch(), rows(flat(seed, 250))))] == []


def test_a_resumed_watch_is_in_the_same_state() -> None:
    history = rows(collapsing(0, 200, 80))
    ((when, found),) = feed(CollapseWatch(), history)
    for stop in (when - 20, when + 10):
        resumed = CollapseWatch()
        resumed.update(history[:stop])
        told = feed(resumed, history, stop)
        assert [(i, f.since) for i, f in told] == ([(when, found.since)] if stop < when else [])


def test_after_a_recovery_a_new_onset_is_told() -> None:
    rng = np.random.default_rng(0)
    curve = np.concatenate([turning(150, 40), np.linspace(1.8, 3.2, 280), np.linspace(3.2, 2.2, 320)])
    curves = {
        "pass@1": np.linspace(0.2, 0.6, 750) + 0.02 * rng.normal(size=750),
        "effective_solutions": curve + 0.1 * rng.normal(size=750),
    }
    told = feed(CollapseWatch(), rows(curves))
    assert len(told) == 2
    first, second = (found.since or 0 for _, found in told)
    assert abs(first - 40) <= 25
    assert abs(second - 430) <= 60


def test_entropy_alone_is_told_as_weak() -> None:
    rng = np.random.default_rng(0)
    curves = {"pass@1": np.linspace(0.2, 0.6, 150), "entropy": np.linspace(1, 0.3, 150) + 0.03 * rng.normal(size=150)}
    curves["reward"] = curves["pass@1"] + 0.03 * rng.normal(size=150)
    ((_, found),) = feed(CollapseWatch(), [{k: v for k, v in row.items() if k != "pass@1"} for row in rows(curves)])
    assert found.outcome == "possible"
    assert "weak evidence" in in_words(found)
    curves["entropy"] = np.linspace(1, 0.85, 150) + 0.03 * rng.normal(size=150)  # as in any training that succeeds
    assert feed(CollapseWatch(), rows(curves)) == []
