"""The callback: hears any trainer, warns once from the main process, is silent when resumed."""

from __future__ import annotations

import warnings

import pytest
from tests.diagnosis.test_diagnose import collapsing
from tests.diagnosis.test_watch import Rows, rows
from transformers import TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from unsharpen.engines.monitor import CollapseMonitor
from unsharpen.errors import UnsharpenWarning


def train(monitor: CollapseMonitor, history: Rows, start: int = 0, *, main: bool = True) -> list[str]:
    """The calls that a Hugging Face trainer makes; the warnings that came of them."""
    state, control = TrainerState(is_world_process_zero=main, log_history=history[:start]), TrainerControl()
    handler = CallbackHandler([monitor], None, None, None, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        handler.on_train_begin(None, state, control)
        for row in history[start:]:
            state.log_history.append(row)
            handler.on_log(None, state, control, row)
    assert all(each.category is UnsharpenWarning for each in caught)
    return [str(each.message) for each in caught]


@pytest.fixture(scope="module")
def history() -> Rows:
    return rows(collapsing(0, 200, 80))


def test_it_warns_once(history: Rows) -> None:
    monitor = CollapseMonitor()
    (text,) = train(monitor, history)
    assert text.startswith("It is collapsing: correct solutions become fewer")
    assert [found.outcome for found in monitor.alarms] == ["collapsing"]


def test_a_resumed_run_is_not_warned_again(history: Rows) -> None:
    assert train(CollapseMonitor(), history, 190) == []
    assert len(train(CollapseMonitor(), history, 100)) == 1


def test_other_processes_are_silent(history: Rows) -> None:
    assert train(CollapseMonitor(), history, main=False) == []
