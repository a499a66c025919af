"""Pull the levers: evaluate the base and all models that were kept at other temperatures and shares of the base."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from unsharpen.comparison.cells import Cell
from unsharpen.comparison.levers import AVERAGE, BASE, FOLDER, Levers
from unsharpen.comparison.pool import threads_each
from unsharpen.comparison.store import Store, scored
from unsharpen.comparison.worker import stop_with
from unsharpen.errors import UnsharpenError
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import append_jsonl, read_jsonl, write_atomically


class Evaluator(Protocol):
    """:class:`unsharpen.training.kept.KeptModels`."""

    def evaluate(
        self, models: Sequence[Path], *, temperature: float, base_share: float, seed: int
    ) -> dict[str, Any]: ...


MakeEvaluator = Callable[[RunConfig], Evaluator]
"""With several jobs it must be picklable."""


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: the base (no models), one model, or the mean of several."""

    name: str
    path: Path
    models: tuple[Path, ...]
    cell: Cell
    run: str


@dataclass(frozen=True)
class _Point:
    """One evaluation that is missing."""

    subject: _Subject
    base_share: float
    temperature: float

    def __str__(self) -> str:
        share = f", {self.base_share:g} of the base" if self.base_share else ""
        return f"{self.subject.name} at temperature {self.temperature:g}{share}"


_Outcome = tuple[_Point, dict[str, Any] | UnsharpenError]


def pull(
    levers: Levers,
    cells: Sequence[Cell],
    store: Store,
    *,
    evaluator: MakeEvaluator,
    say: Callable[[str], None],
    jobs: int = 1,
) -> None:
    """Evaluate what is missing. One line is on disk as soon as it is known, and nothing is evaluated twice.

    Runs without weights (taken over from elsewhere, or finished without ``--keep-models``) and models that fail are
    named and left out.
    """
    finished = [cell for cell in cells if store.record(cell) is not None]
    if not levers or not finished:
        return
    points = [point for subject in _subjects(levers, finished, store, say) for point in _missing(levers, subject)]
    failed: set[str] = set()
    outcomes = _one_by_one(points, evaluator, failed) if jobs == 1 else _at_once(points, evaluator, jobs)
    for number, (point, row) in enumerate(outcomes, start=1):
        subject = point.subject
        if not isinstance(row, UnsharpenError):
            append_jsonl(subject.path, {"run": subject.run, "num_models": len(subject.models), **row})
            say(f"{point}: done, {number} of {len(points)}")
        elif subject.name not in failed:
            failed.add(subject.name)
            say(f"{subject.name}: left out of the levers: {row.message}")


def _subjects(levers: Levers, finished: Sequence[Cell], store: Store, say: Callable[[str], None]) -> Iterator[_Subject]:
    folder = store.root / FOLDER
    yield _Subject(BASE, folder / f"{BASE}.jsonl", (), finished[0], _scored(store, finished[0], 0))
    kept: dict[str, list[_Subject]] = {}
    for cell in finished:
        if not levers.include(cell.arm) or len(kept.get(cell.arm, ())) == levers.seeds:
            continue
        if not (weights := store.root / "models" / cell.path).is_dir():
            say(f"{cell}: no weights were kept; left out of the levers")
            continue
        path = folder / cell.arm / f"{cell.name}.jsonl"
        subject = _Subject(str(cell), path, (weights,), cell, _scored(store, cell))
        kept.setdefault(cell.arm, []).append(subject)
        yield subject
    for arm, seeds in kept.items():
        if levers.average_seeds and levers.mixes(arm) and len(seeds) > 1:
            models = tuple(model for seed in seeds for model in seed.models)
            run = "+".join(seed.run for seed in seeds)
            yield _Subject(
                f"{arm}, mean of {len(seeds)} seeds", folder / arm / f"{AVERAGE}.jsonl", models, seeds[0].cell, run
            )


def _missing(levers: Levers, subject: _Subject) -> Iterator[_Point]:
    """What is yet to be evaluated; lines of other runs, and one that a crash cut short, are taken from the disk."""
    rows = [row for row in read_jsonl(subject.path) if row["run"] == subject.run]
    subject.path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(subject.path, "".join(json.dumps(row) + "\n" for row in rows))
    own = float(subject.cell.config.trl.get("temperature", 1.0))
    known = {(row["base_share"], row["temperature"]) for row in rows}
    if len(subject.models) < 2:
        known.add((0.0, own))  # the run's own evaluation
    mixed = levers.mixes(subject.cell.arm)
    points = levers.of_a_model(own, mixed=mixed) if subject.models else levers.of_the_base(own)
    yield from (_Point(subject, *point) for point in points if point not in known)


def _one_by_one(points: Sequence[_Point], evaluator: MakeEvaluator, failed: set[str]) -> Iterator[_Outcome]:
    made: dict[str, Evaluator] = {}
    for point in points:
        if point.subject.name not in failed:
            yield point, _evaluate(made, evaluator, point)


def _at_once(points: Sequence[_Point], evaluator: MakeEvaluator, jobs: int) -> Iterator[_Outcome]:
    """In processes that end with this one, and at once after Ctrl-C: what they hold is only what they are at."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _prepare, (threads_each(jobs), os.getpid())) as pool:
        try:
            futures = {pool.submit(_evaluate_here, evaluator, point): point for point in points}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UnsharpenError(
                "a process that evaluates at the levers has ended early",
                hint="memory may have run out; the same command with a smaller --jobs continues",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare(threads: str, parent: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", threads)  # torch reads it when it is imported, which comes later
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=stop_with, args=(parent,), daemon=True).start()


def _evaluate(made: dict[str, Evaluator], evaluator: MakeEvaluator, point: _Point) -> dict[str, Any] | UnsharpenError:
    cell = point.subject.cell
    try:
        if cell.base_fingerprint not in made:
            made[cell.base_fingerprint] = evaluator(cell.config)
        return made[cell.base_fingerprint].evaluate(
            point.subject.models, temperature=point.temperature, base_share=point.base_share, seed=cell.config.seed
        )
    except UnsharpenError as error:
        return error


_made: dict[str, Evaluator] = {}


def _evaluate_here(evaluator: MakeEvaluator, point: _Point) -> dict[str, Any] | UnsharpenError:
    """In a process of a pool, which keeps the problems that it has read."""
    return _evaluate(_made, evaluator, point)


def _scored(store: Store, cell: Cell, line: int = -1) -> str:
    record = store.record(cell)
    assert record is not None
    return scored(record, line)
