"""A study from start to end: tuning where it is asked for, then the test runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unsharpen.comparison.cells import TUNING, Cell, result_cells, tuning_cells
from unsharpen.comparison.pool import WORKER, Pool
from unsharpen.comparison.pull import Evaluator, pull
from unsharpen.comparison.runner import Listener, Train, run_cells
from unsharpen.comparison.spec import Study
from unsharpen.comparison.store import Store
from unsharpen.comparison.tuning import best_reference, choose, other_cells, reference_cells, rule
from unsharpen.errors import InputError
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import write_atomically


@dataclass(frozen=True, kw_only=True)
class How:
    """How the cells of a study are computed; nothing of it changes a result.

    Attributes:
        train: :func:`unsharpen.training.run.train`.
        check: raises on a configuration that the trainer would refuse.
        listener: hears of every step.
        jobs: how many cells, and evaluations at the levers, at once.
        keep_models: keep the weights of finished cells.
        retry_failed: try failed cells again.
        elsewhere: another comparison, whose finished runs are taken over where they agree.
        worker: the command of one of several processes.
        evaluator: :class:`unsharpen.training.kept.KeptModels`, for studies with levers.
        say: hears a line for each evaluation of theirs.
    """

    train: Train
    check: Callable[[RunConfig], object]
    listener: Listener
    jobs: int = 1
    keep_models: bool = False
    retry_failed: bool = False
    elsewhere: Path | None = None
    worker: Sequence[str] = WORKER
    evaluator: Callable[[RunConfig], Evaluator] | None = None
    say: Callable[[str], None] = print


def run_study(study: Study, root: Path, how: How) -> bool:
    """Compute a study, or what is missing of it.

    Args:
        study: what to compare.
        root: the folder of the comparison.
        how: how to compute it.

    Returns:
        Whether it came to the end; False after Ctrl-C, and the same call continues.

    Raises:
        UnsharpenError: settings that contradict each other, or a folder that holds something else; nothing has been
            trained or overwritten then.
    """
    how = dataclasses.replace(how, keep_models=how.keep_models or bool(study.levers))
    if how.jobs < 1:
        raise InputError(f"--jobs must be at least 1, found {how.jobs}")
    store = Store(root, how.elsewhere)
    first = reference_cells(study) if study.tuning else result_cells(study)
    _check(study, first, store, how)
    _check_base(study, store)
    with store.lock():
        _write_study(study, store)
        chosen = None
        if study.tuning:
            if not _run(first, store, how):
                return False
            for others in other_cells(study, best_reference(study, store), store):
                _check(study, others, store, how)
                if not _run(others, store, how):
                    return False
            chosen = choose(study, store)
        cells = result_cells(study, chosen)
        _check(study, cells, store, how)
        return _run(cells, store, how) and _pull(study, cells, store, how)


def plan_study(study: Study, root: Path, how: How) -> tuple[list[Cell], list[Cell]]:
    """Check all settings as :func:`run_study` would; nothing is trained or written.

    Returns:
        The tuning runs, of which there may be fewer in the end, as some depend on others; and the test runs, those of a
        tuned study with settings of which the tuning will choose others.

    Raises:
        UnsharpenError: as :func:`run_study`.
    """
    store, results = Store(root, how.elsewhere), result_cells(study)
    tuning = [cell for arm in study.arms for cell in tuning_cells(study, [arm.label])] if study.tuning else []
    _check(study, tuning or results, store, how)
    _check_base(study, store)
    return tuning, results


def _pull(study: Study, cells: Sequence[Cell], store: Store, how: How) -> bool:
    """Evaluate at the study's levers; whether it came to the end."""
    if study.levers:
        assert how.evaluator is not None
        try:
            pull(study.levers, cells, store, evaluator=how.evaluator, say=how.say, jobs=how.jobs)
        except KeyboardInterrupt:
            return False
    return True


def _check(study: Study, cells: Sequence[Cell], store: Store, how: How) -> None:
    store.check(cells)
    for cell in {cell.fingerprint: cell for cell in cells if store.record(cell) is None}.values():
        try:
            how.check(cell.config)
        except InputError as error:
            raise type(error)(f"{cell.arm}: {error.message}", hint=error.hint) from error


def _check_base(study: Study, store: Store) -> None:
    """Refuse a folder with runs of another base before anything is tuned: that does not depend on the tuning."""
    arm = study.arms[0]
    store.check_base(result_cells(study, {arm.label: (arm.method_args, arm.rates[0])})[0])


def _run(cells: Sequence[Cell], store: Store, how: How) -> bool:
    if how.jobs > 1:
        pool = Pool(store, how.listener, how.jobs, how.keep_models, how.worker)
        return pool.run(cells, retry_failed=how.retry_failed)
    return run_cells(
        cells,
        store,
        train=how.train,
        listener=how.listener,
        keep_models=how.keep_models,
        retry_failed=how.retry_failed,
    )


def _write_study(study: Study, store: Store) -> None:
    """Note what is compared, and by which rule settings are chosen, before the first run.

    Raises:
        InputError: the rule differs from that of the tuning runs that are there.
    """
    path = store.root / "study.json"
    words = rule(study) if study.tuning else None
    if path.exists() and any((store.root / TUNING).glob("*/*/config.json")):
        before = read_study_record(store.root).get("rule")
        if before is not None and words is not None and before != words:
            raise InputError(
                f"the rule of the choice has changed since the first tuning run of {store.root}; it was: {before}",
                hint="keep the rule, or tune again in another --output",
            )
    record = {
        "reference": study.reference,
        "best_reference": study.best_reference,
        "arms": [arm.label for arm in study.arms],
        "rule": words,
        "study": asdict(study),
    }
    write_atomically(path, json.dumps(record, indent=2, default=str) + "\n")


def read_study_record(root: Path) -> dict[str, Any]:
    """What ``study.json`` holds; empty where there is none."""
    path = root / "study.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {error}", hint="delete it; the next start writes it anew") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold an object", hint="delete it; the next start writes it anew")
    return values
