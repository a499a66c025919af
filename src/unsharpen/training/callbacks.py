"""What happens between the steps of a run: logging, evaluation, a progress bar, a clean stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_callback import ExportableState

from unsharpen.training.folder import RunFolder, append_jsonl

Evaluate = Callable[[int, int], None]
"""(step, samples per problem): evaluates the present weights and writes the result."""

Report = Callable[[int, int, dict[str, float]], None]
"""(step, last step, metrics): shows how far the run is."""


class MetricsWriter(TrainerCallback):
    """Writes every log of the trainer as a line of ``metrics.jsonl`` and shows it."""

    def __init__(self, folder: RunFolder, report: Report) -> None:
        self.folder = folder
        self.report = report

    def on_log(
        self, args: Any, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        row = {key: value for key, value in logs.items() if isinstance(value, int | float)}
        append_jsonl(self.folder.metrics, {"step": state.global_step, **row})
        self.report(state.global_step, state.max_steps, row)


class Evaluator(TrainerCallback):
    """Evaluates before the first step, every so many steps, and at the end; not again what a resumed run has."""

    def __init__(
        self, evaluate: Evaluate, *, every: int, samples: int, samples_during: int, done: set[tuple[int, int]]
    ) -> None:
        self.evaluate = evaluate
        self.every = every
        self.samples = samples
        self.samples_during = samples_during
        self.done = done

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if (0, self.samples) not in self.done:
            self.evaluate(0, self.samples)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.every and state.global_step % self.every == 0 and state.global_step < state.max_steps:
            self.evaluate(state.global_step, self.samples_during)

    def on_train_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps and (state.global_step, self.samples) not in self.done:
            self.evaluate(state.global_step, self.samples)


class NothingLeftToTrain(Exception):
    """The run stopped after its last step: what is left is the evaluation and the result."""


class NoStepTooMany(TrainerCallback):
    """Raises instead of the additional step that the trainer would make from the checkpoint of the last step."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            raise NothingLeftToTrain


class TimeLimit(TrainerCallback, ExportableState):
    """Makes the step at which the time is used up the last one; what is used is in each checkpoint, for a resumed run.

    Args:
        seconds: in optimiser steps, evaluations not counted.
        spent: of these, before this start, where the checkpoint does not say.
        period: optimiser steps that share one batch of completions; the run ends at a multiple of it.
    """

    def __init__(self, seconds: float, *, spent: float, period: int) -> None:
        self.seconds = seconds
        self.spent = spent
        self.period = period
        self._began = 0.0

    def state(self) -> dict[str, Any]:
        """What the trainer writes into a checkpoint."""
        settings = {"seconds": self.seconds, "spent": self.spent, "period": self.period}
        return {"args": settings, "attributes": {}}

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        stored = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self.spent = float(stored["args"]["spent"])
        if self.spent >= self.seconds and state.global_step:
            state.max_steps = state.global_step

    def on_step_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.spent += time.perf_counter() - self._began
        used_up = any(gather_object([self.spent >= self.seconds]))  # all processes stop at the same step
        if used_up and state.global_step % self.period == 0:
            state.max_steps = state.global_step
            control.should_training_stop = True
            control.should_save = True


def logged_seconds(rows: Iterable[dict[str, Any]]) -> float:
    """The time in steps by the lines of ``metrics.jsonl``, where ``step_time`` is a mean since the line before."""
    seconds, before = 0.0, 0
    for row in rows:
        seconds += (row["step"] - before) * row.get("step_time", 0.0)
        before = row["step"]
    return seconds


class CleanStop(TrainerCallback):
    """The first Ctrl-C ends the run after the batch in hand, with a checkpoint; the second one ends it at once.

    Args:
        period: optimiser steps that share one batch of completions; the checkpoint lies at a multiple of it.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.requested = False
        self._before: Any = None

    def __enter__(self) -> CleanStop:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this batch, with a checkpoint; Ctrl-C again stops at once", file=sys.stderr)  # noqa: T201

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        at_boundary = state.global_step % self.period == 0
        requested = any(gather_object([self.requested]))  # all processes stop at the same step
        if requested and at_boundary and state.global_step < state.max_steps:
            control.should_training_stop = True
            control.should_save = True
