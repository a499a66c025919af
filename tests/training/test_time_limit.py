"""``max_minutes``: the budget counts all steps, whatever is logged of them, and over all starts of a run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tests.cli.command import lines
from transformers import TrainerControl, TrainerState

from unsharpen.training import callbacks
from unsharpen.training.callbacks import TimeLimit, logged_seconds
from unsharpen.training.config import RunConfig
from unsharpen.training.run import RunResult, train

SMALL = {
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "num_generations": 4,
    "max_completion_length": 14,
    "max_steps": 8,
}


@pytest.fixture(autouse=True)
def ten_seconds_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the callbacks is read before and after each step."""
    torch.set_num_threads(1)
    ticks = count(step=10)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Callable[..., RunResult]:
    def start(*, seconds: float, stop_at: int = 0, resume: bool = False, **fields: Any) -> RunResult:
        config = RunConfig(
            method="grpo",
            data=str(data),
            num_eval=4,
            eval_samples=2,
            eval_every=0,
            max_minutes=seconds / 60,
            trl={**SMALL, **fields},
        )

        def report(step: int, total: int, metrics: dict[str, float]) -> None:
            if step == stop_at:
                signal.raise_signal(signal.SIGINT)

        return train(config, tmp_path / "run", resume=resume, report=report)

    return start


def last_step(result: RunResult) -> int:
    return int(lines(result.folder.evaluation)[-1]["step"])


@pytest.mark.parametrize(
    "logging", [{}, {"logging_steps": 2}, {"logging_steps": 50}, {"logging_strategy": "no"}], ids=str
)
def test_the_budget_does_not_depend_on_the_logging(run: Callable[..., RunResult], logging: dict[str, Any]) -> None:
    result = run(seconds=25, **logging)  # 20 after the second step, 30 after the third
    assert result.finished
    assert last_step(result) == 3


@pytest.mark.parametrize(("logging_steps", "reached"), [(1, 3), (2, 3), (3, 4)])
def test_a_resumed_run_has_the_rest_of_the_budget(
    run: Callable[..., RunResult], logging_steps: int, reached: int
) -> None:
    stopped = run(seconds=45, stop_at=reached - 1, logging_steps=logging_steps, save_steps=50)
    assert not stopped.finished
    assert [path.name for path in stopped.folder.path.glob("checkpoint-*")] == [f"checkpoint-{reached}"]
    resumed = run(seconds=45, logging_steps=logging_steps, save_steps=50, resume=True)
    assert resumed.finished
    assert last_step(resumed) == 5


def test_used_up_before_the_start_ends_at_once() -> None:
    limit, state = TimeLimit(30, spent=0, period=1), TrainerState(global_step=4, max_steps=9)
    state.stateful_callbacks = {"TimeLimit": TimeLimit(30, spent=31.5, period=1).state()}
    limit.on_train_begin(None, state, TrainerControl())
    assert (limit.spent, state.max_steps) == (31.5, 4)


def test_a_checkpoint_of_an_older_version_counts_what_was_logged() -> None:
    limit, state = TimeLimit(30, spent=12, period=1), TrainerState(global_step=4, max_steps=9)
    limit.on_train_begin(None, state, TrainerControl())
    assert (limit.spent, state.max_steps) == (12, 9)
    assert state.stateful_callbacks["TimeLimit"]["args"]["spent"] == 12  # the trainer looks for it as it saves


def test_the_end_is_at_a_multiple_of_the_period() -> None:
    limit, control = TimeLimit(15, spent=0, period=2), TrainerControl()
    state = TrainerState(max_steps=9, stateful_callbacks=[limit])
    limit.on_train_begin(None, state, control)
    for step in (1, 2, 3):
        limit.on_step_begin(None, state, control)
        state.global_step = step
        limit.on_step_end(None, state, control)
        assert control.should_training_stop is (step >= 2)
        if control.should_training_stop:
            break
    assert (state.global_step, state.max_steps, limit.spent) == (2, 2, 20)


def test_a_line_stands_for_the_steps_since_the_one_before() -> None:
    # 2 steps of 3 s each and 1 of 5
    assert logged_seconds([{"step": 2, "step_time": 3.0}, {"step": 3, "step_time": 5.0}]) == 11.0
    assert logged_seconds([]) == 0
