"""Several cells at once: one process each, so that one may be killed without the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from unsharpen.comparison.cells import Cell, plain
from unsharpen.comparison.runner import Listener, last_step, missing
from unsharpen.comparison.store import Store
from unsharpen.comparison.worker import FAILED, FINISHED, STOPPED

WORKER = (sys.executable, "-m", "unsharpen.comparison.worker")
_POLL_SECONDS = 0.2
_KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""For glibc: a step frees and takes the same megabytes again and again; 8 % of its time on a CPU."""


@dataclass
class Pool:
    """Runs ``jobs`` cells at a time. ``worker`` is the command that reads a cell from its input and trains it.

    The first cell of each base model goes ahead of the others until the base is evaluated, so that it is evaluated
    once. Ctrl-C is handed on to the processes: once, they stop with a checkpoint; twice, at once.
    """

    store: Store
    listener: Listener
    jobs: int
    keep_models: bool = False
    worker: Sequence[str] = WORKER
    _running: dict[Cell, subprocess.Popen[bytes]] = field(default_factory=dict)
    _interrupts: int = 0

    def run(self, cells: Sequence[Cell], *, retry_failed: bool = False) -> bool:
        """Compute what is missing; whether it came to the end, as :func:`run_cells` has it."""
        waiting = missing(cells, self.store, retry_failed=retry_failed, keep_models=self.keep_models)
        self.listener.begin(len(cells), len(cells) - len(waiting))
        before = None
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, self._interrupt)
        stopped = False
        try:
            while self._running or (waiting and not (stopped or self._interrupts)):
                if not (stopped or self._interrupts):
                    self._start(waiting)
                stopped |= self._collect()
                time.sleep(_POLL_SECONDS)
        finally:
            for process in self._running.values():
                process.terminate()
            if before is not None:
                signal.signal(signal.SIGINT, before)
        return not (stopped or self._interrupts)

    def _interrupt(self, signum: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        for process in self._running.values():
            process.send_signal(signal.SIGINT)

    def _start(self, waiting: list[Cell]) -> None:
        for cell in list(waiting):
            if len(self._running) >= self.jobs:
                return
            base = self.store.base(cell, self._running)
            if base is None and any(c.base_fingerprint == cell.base_fingerprint for c in self._running):
                continue  # the one that is running evaluates it
            waiting.remove(cell)
            self._running[cell] = self._launch(cell)
            self.listener.started(cell)

    def _launch(self, cell: Cell) -> subprocess.Popen[bytes]:
        job = {
            "root": str(self.store.root),
            "stage": cell.stage,
            "arm": cell.arm,
            "name": cell.name,
            "config": plain(cell.config),
            "keep_model": self.keep_models,
            "parent": os.getpid(),
        }
        log = self._log(cell)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.worker,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"OMP_NUM_THREADS": threads_each(self.jobs), **_KEEP_FREED_MEMORY, **os.environ},
                start_new_session=True,  # Ctrl-C reaches it through this process alone
            )
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(job).encode())
            process.stdin.close()
        except BrokenPipeError:  # it has ended already; its exit code says why
            pass
        return process

    def _collect(self) -> bool:
        """Tell the listener what has happened; whether a process was stopped by the user."""
        stopped = False
        for cell, process in list(self._running.items()):
            if (latest := last_step(self.store.work(cell))) is not None:
                self.listener.step(cell, latest[0], int(cell.config.trl["max_steps"]), _numbers(latest[1]))
            code = process.poll()
            if code is None:
                continue
            del self._running[cell]
            self.store.forget_records()
            if code == FINISHED:
                self._log(cell).unlink(missing_ok=True)
                self.listener.done(cell)
            elif code == STOPPED or self._interrupts:
                stopped = True
            else:
                if code != FAILED or self.store.failure(cell) is None:
                    self.store.fail(cell, _ending(code))
                self.listener.failed(cell, str(self.store.failure(cell)))
        return stopped

    def _log(self, cell: Cell) -> Path:
        return self.store.work(cell).with_name(f"{cell.name}.log")


def threads_each(jobs: int) -> str:
    """How many threads each of several processes gets, as a value of ``OMP_NUM_THREADS``."""
    return str(max(1, (os.cpu_count() or 1) // jobs))


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    return f"its process was killed by signal {-code} ({signal.Signals(-code).name}); memory may have run out"


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in row.items() if isinstance(value, int | float)}
