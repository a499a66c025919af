"""Progress over the cells of a comparison; plain lines where there is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.progress import TaskID, TimeElapsedColumn

from unsharpen.cli.progress import Bars
from unsharpen.comparison.cells import Cell


class CellsProgress(Bars):
    """One bar for all cells, and one for each that is running; a :class:`unsharpen.comparison.runner.Listener`."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, width=30, time=TimeElapsedColumn())
        self._all: TaskID | None = None
        self._running: dict[Cell, tuple[TaskID, float]] = {}

    def begin(self, num_cells: int, num_done: int) -> None:
        """A stage of the study begins."""
        if self._all is not None:
            self._progress.remove_task(self._all)
        self._all = self._progress.add_task("runs", total=num_cells, completed=num_done, numbers="")
        if num_cells > num_done or not self._progress.disable:
            self.console.print(f"{num_cells} runs, {num_done} of them done or failed before", highlight=False)

    def started(self, cell: Cell) -> None:
        task = self._progress.add_task(escape(str(cell)), total=None, numbers="evaluating the base model, or loading")
        self._running[cell] = (task, time.monotonic())

    def step(self, cell: Cell, step: int, total: int, metrics: dict[str, float]) -> None:
        limit = cell.config.max_minutes
        numbers = f"reward {metrics.get('reward', float('nan')):.3f}"
        if limit is not None:
            numbers += f", {limit:g} minutes"
        task, _ = self._running[cell]
        self._progress.update(task, completed=step, total=step if limit is not None else total, numbers=numbers)

    def done(self, cell: Cell) -> None:
        self._ended(cell, "done")

    def failed(self, cell: Cell, reason: str) -> None:
        self._ended(cell, f"failed: {reason}")

    def say(self, line: str) -> None:
        """A line above the bars."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _ended(self, cell: Cell, how: str) -> None:
        task, start = self._running.pop(cell)
        self._progress.remove_task(task)
        if self._all is not None:
            self._progress.advance(self._all)
        self.say(f"{cell}: {how}, {time.monotonic() - start:.0f} s")
