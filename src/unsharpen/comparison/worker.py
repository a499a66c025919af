"""The process that trains one cell of several: reads the cell from its input, and answers with its exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from unsharpen.comparison.cells import Cell
from unsharpen.comparison.runner import Train, compute
from unsharpen.comparison.spec import Rate
from unsharpen.comparison.store import Store
from unsharpen.training.config import RunConfig

FINISHED, FAILED, STOPPED = 0, 4, 130
_WATCH_SECONDS = 1.0


class _Outcome:
    """Remembers how the cell ended; the steps are read from its folder by the process that started this one."""

    code = STOPPED

    def begin(self, num_cells: int, num_done: int) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def step(self, cell: Cell, step: int, total: int, metrics: dict[str, float]) -> None: ...

    def done(self, cell: Cell) -> None:
        self.code = FINISHED

    def failed(self, cell: Cell, reason: str) -> None:
        self.code = FAILED


def main(train: Train | None = None) -> int:
    """Train the cell that stands in the input as JSON; the exit code."""
    job = json.loads(sys.stdin.read())
    threading.Thread(target=stop_with, args=(job["parent"],), daemon=True).start()
    return work(job, train or _real_train())


def work(job: dict[str, Any], train: Train) -> int:
    """Train one cell."""
    config = RunConfig.from_dict(job["config"])
    cell = Cell(job["stage"], job["arm"], job["name"], config, {}, Rate())
    outcome = _Outcome()
    try:
        compute(cell, Store(Path(job["root"])), train=train, listener=outcome, keep_model=job["keep_model"])
    except KeyboardInterrupt:
        return STOPPED
    return outcome.code


def _real_train() -> Train:
    from unsharpen.training.run import train

    return train


def stop_with(parent: int) -> None:
    """Stop, with a checkpoint, when the process that started this one is gone."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
