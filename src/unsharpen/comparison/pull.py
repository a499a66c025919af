"""Pull the levers: evaluate the base and all models that were kept at other temperatures and shares of the base."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from unsharpen.comparison.cells import Cell
from unsharpen.comparison.levers import BASE, FOLDER, Levers
from unsharpen.comparison.store import Store
from unsharpen.errors import UnsharpenError
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import append_jsonl, read_jsonl, write_atomically


class Evaluator(Protocol):
    """:class:`unsharpen.training.kept.KeptModels`."""

    def evaluate(self, model: Path | None, *, temperature: float, base_share: float, seed: int) -> dict[str, Any]: ...


def pull(
    levers: Levers,
    cells: Sequence[Cell],
    store: Store,
    *,
    evaluator: Callable[[RunConfig], Evaluator],
    say: Callable[[str], None],
) -> None:
    """Evaluate what is missing. One line is on disk as soon as it is known, and nothing is evaluated twice.

    Runs without weights (taken over from elsewhere, or finished without ``--keep-models``) and runs that fail are
    named and left out.
    """
    if not levers or not cells:
        return
    made: dict[str, Evaluator] = {}

    def evaluate(cell: Cell, path: Path, model: Path | None) -> None:
        run = cell.base_fingerprint if model is None else cell.fingerprint
        rows = [row for row in read_jsonl(path) if row["run"] == run]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))  # without a line that a crash cut short
        done = {(row["base_share"], row["temperature"]) for row in rows}
        for share, temperature in levers.points(trained_at(cell), base=model is None):
            if (share, temperature) not in done:
                if cell.base_fingerprint not in made:
                    made[cell.base_fingerprint] = evaluator(cell.config)
                ask = made[cell.base_fingerprint].evaluate
                row = ask(model, temperature=temperature, base_share=share, seed=cell.config.seed)
                append_jsonl(path, {"run": run, **row})
                mixed = f", {share:g} of the base" if share else ""
                say(f"{BASE if model is None else cell} at temperature {temperature:g}{mixed}: done")

    evaluate(cells[0], store.root / FOLDER / f"{BASE}.jsonl", None)
    for cell in cells:
        model = store.root / "models" / cell.path
        if store.record(cell) is None or not levers.include(cell.arm):
            continue
        if not model.is_dir():
            say(f"{cell}: no weights were kept; left out of the levers")
            continue
        try:
            evaluate(cell, store.root / FOLDER / cell.arm / f"{cell.name}.jsonl", model)
        except UnsharpenError as error:
            say(f"{cell}: left out of the levers: {error.message}")


def trained_at(cell: Cell) -> float:
    """The temperature of a run's own sampling."""
    return float(cell.config.trl.get("temperature", 1.0))
