"""Compute the cells that are missing: one after the other in this process, or several in processes of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from unsharpen.comparison.cells import Cell
from unsharpen.comparison.store import Store
from unsharpen.errors import UnsharpenError

Train = Callable[..., Any]
"""The signature of :func:`unsharpen.training.run.train`."""


class Listener(Protocol):
    """Hears what happens; draws a progress bar, or writes lines."""

    def begin(self, num_cells: int, num_done: int) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def step(self, cell: Cell, step: int, total: int, metrics: dict[str, float]) -> None: ...
    def done(self, cell: Cell) -> None: ...
    def failed(self, cell: Cell, reason: str) -> None: ...


def missing(
    cells: Sequence[Cell], store: Store, *, retry_failed: bool = False, keep_models: bool = False
) -> list[Cell]:
    """The cells to compute: neither finished nor failed (with ``retry_failed`` the failed ones too).

    Takes over what another comparison has finished, tidies up after a process that was killed between a cell's end and
    its clean-up, and forgets the failures that are tried again.

    Raises:
        InputError: a folder holds another run than its cell.
    """
    store.check(cells)
    todo = []
    for cell in cells:
        if store.record(cell) is not None or store.adopt(cell):
            store.finish(cell, keep_model=keep_models)
        elif retry_failed or store.failure(cell) is None:
            store.forget_failure(cell)
            todo.append(cell)
    return todo


def run_cells(
    cells: Sequence[Cell],
    store: Store,
    *,
    train: Train,
    listener: Listener,
    keep_models: bool = False,
    retry_failed: bool = False,
) -> bool:
    """Compute what is missing, one cell after the other.

    A cell that fails is noted with its reason, and the others go on.

    Args:
        cells: in the order of computation; finished ones are passed over.
        store: where records and unfinished runs are.
        train: :func:`unsharpen.training.run.train`.
        listener: hears of every step.
        keep_models: keep the weights of finished cells.
        retry_failed: try failed cells again, from their last checkpoint.

    Returns:
        Whether it came to the end; False after Ctrl-C, and the same call continues.
    """
    todo = missing(cells, store, retry_failed=retry_failed, keep_models=keep_models)
    listener.begin(len(cells), len(cells) - len(todo))
    try:
        for cell in todo:
            listener.started(cell)
            if compute(cell, store, train=train, listener=listener, keep_model=keep_models):
                return False
    except KeyboardInterrupt:
        return False
    return True


def compute(cell: Cell, store: Store, *, train: Train, listener: Listener, keep_model: bool) -> bool:
    """Train one cell to its end or to its failure; whether the user asked to stop."""
    with store.own(cell):
        resume, base = store.prepare(cell), store.base(cell)

        def report(step: int, total: int, metrics: dict[str, float]) -> None:
            listener.step(cell, step, total, metrics)

        try:
            result = train(cell.config, store.work(cell), resume=resume, report=report, base_from=base)
        except Exception as error:  # one cell's failure is a result; the others go on
            reason = reason_of(error)
            store.fail(cell, reason)
            listener.failed(cell, reason)
            return False
        if result.finished:
            store.finish(cell, keep_model=keep_model)
            listener.done(cell)
        return bool(result.interrupted or not result.finished)


def reason_of(error: Exception) -> str:
    """What went wrong, in one line; errors that are ours need no name."""
    text = error.message if isinstance(error, UnsharpenError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:500]


def last_step(folder: Path) -> tuple[int, dict[str, float]] | None:
    """The last step that a run has written, from the end of its ``metrics.jsonl``."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 8192))
            lines = file.read().split(b"\n")
        row = json.loads(lines[-2])  # after the last newline stands nothing, or half a line
        return int(row["step"]), row
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return None
