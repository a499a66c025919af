"""A warning while the run goes on: a callback for any Hugging Face trainer."""

from __future__ import annotations

import warnings
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from unsharpen.diagnosis.diagnose import Diagnosis
from unsharpen.diagnosis.watch import CollapseWatch, in_words
from unsharpen.errors import UnsharpenWarning


class CollapseMonitor(TrainerCallback):
    """Warns once per onset when correct solutions become fewer while the first try gets no worse.

    It reads what the trainer logs. With ``DiverseGRPOTrainer`` that is ``effective_solutions``, ``pass@G`` and
    ``pass@1``; with plain TRL only ``reward`` and ``entropy``, which are weak evidence: it then warns if entropy has
    fallen by three tenths while the reward rises, and says that this is no proof. A resumed run is silent about what
    was told before: its state is rebuilt from the trainer's ``log_history``.

    Use ``trainer.add_callback(CollapseMonitor())``; log often (``logging_steps=1``), since the first look comes after
    24 entries. `alarms` holds the diagnoses that were told.

    The warning is an :class:`~unsharpen.errors.UnsharpenWarning`, from the main process only.
    """

    def __init__(self) -> None:
        self.alarms: list[Diagnosis] = []
        self._watch = CollapseWatch()

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take up what a resumed run has logged before, without a word."""
        self._watch = CollapseWatch()
        self._watch.update(state.log_history)

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Look at the log, if it is time."""
        if not state.is_world_process_zero:
            return
        found = self._watch.update(state.log_history)
        if found is not None:
            self.alarms.append(found)
            warnings.warn(in_words(found), UnsharpenWarning, stacklevel=2)
