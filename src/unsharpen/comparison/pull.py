"""Pull the levers: evaluate the base and all models that were kept at other temperatures and shares of the base."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from unsharpen.comparison.cells import Cell, fingerprint
from unsharpen.comparison.levers import AVERAGE, BASE, FOLDER, Levers
from unsharpen.comparison.store import Store
from unsharpen.errors import UnsharpenError
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import append_jsonl, read_jsonl, write_atomically


class Evaluator(Protocol):
    """:class:`unsharpen.training.kept.KeptModels`."""

    def evaluate(
        self, models: Sequence[Path], *, temperature: float, base_share: float, seed: int
    ) -> dict[str, Any]: ...


def pull(
    levers: Levers,
    cells: Sequence[Cell],
    store: Store,
    *,
    evaluator: Callable[[RunConfig], Evaluator],
    say: Callable[[str], None],
) -> None:
    """Evaluate what is missing. One line is on disk as soon as it is known, and nothing is evaluated twice.

    Runs without weights (taken over from elsewhere, or finished without ``--keep-models``) and models that fail are
    named and left out.
    """
    finished = [cell for cell in cells if store.record(cell) is not None]
    if not levers or not finished:
        return
    made: dict[str, Evaluator] = {}

    def evaluate(name: str, path: Path, models: Sequence[Path], cell: Cell, run: str) -> None:
        rows = [row for row in read_jsonl(path) if row["run"] == run]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows))  # without a line that a crash cut short
        own = float(cell.config.trl.get("temperature", 1.0))
        known = {(row["base_share"], row["temperature"]) for row in rows}
        if len(models) < 2:
            known.add((0.0, own))  # the run's own evaluation
        for share, temperature in levers.points(own):
            if (share, temperature) in known or (share and not models):
                continue
            if cell.base_fingerprint not in made:
                made[cell.base_fingerprint] = evaluator(cell.config)
            ask = made[cell.base_fingerprint].evaluate
            row = ask(models, temperature=temperature, base_share=share, seed=cell.config.seed)
            append_jsonl(path, {"run": run, "num_models": len(models), **row})
            say(f"{name} at temperature {temperature:g}{f', {share:g} of the base' if share else ''}: done")

    folder = store.root / FOLDER
    evaluate(BASE, folder / f"{BASE}.jsonl", [], finished[0], _identity(store, finished[0], 0))
    kept: dict[str, list[Cell]] = {}
    for cell in finished:
        if not levers.include(cell.arm):
            continue
        if not _weights(store, cell).is_dir():
            say(f"{cell}: no weights were kept; left out of the levers")
            continue
        kept.setdefault(cell.arm, []).append(cell)
        with _naming(str(cell), say):
            path, run = folder / cell.arm / f"{cell.name}.jsonl", _identity(store, cell)
            evaluate(str(cell), path, [_weights(store, cell)], cell, run)
    for arm, seeds in kept.items():
        if levers.average_seeds and len(seeds) > 1:
            name = f"{arm}, mean of {len(seeds)} seeds"
            run = "+".join(_identity(store, cell) for cell in seeds)
            models = [_weights(store, cell) for cell in seeds]
            with _naming(name, say):
                evaluate(name, folder / arm / f"{AVERAGE}.jsonl", models, seeds[0], run)


def _identity(store: Store, cell: Cell, line: int = -1) -> str:
    """Tells a run from one that was trained in its place: by what it scored, which no later version of us changes."""
    record = store.record(cell)
    assert record is not None
    return fingerprint(read_jsonl(record / "evaluation.jsonl")[line])


def _weights(store: Store, cell: Cell) -> Path:
    return store.root / "models" / cell.path


@contextmanager
def _naming(name: str, say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except UnsharpenError as error:
        say(f"{name}: left out of the levers: {error.message}")
