"""The folder of a comparison: records that are complete or absent, whatever happens while they are made."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from unsharpen.comparison.cells import (
    RESULTS,
    TUNING,
    Cell,
    base_differences,
    base_fingerprint,
    fingerprint,
    plain,
    recorded,
    train_command,
    weight_differences,
)
from unsharpen.errors import DataError, InputError
from unsharpen.training.config import differences
from unsharpen.training.folder import RunFolder, read_jsonl, write_atomically

_KEPT = re.compile(
    r"step|reward|pass@\d+|distinct_correct|effective_solutions|uniform_groups|entropy|sampling_logprob"
    r"|shaping_ratio|negative_correct|grad_norm|step_time"
)
_PARTIAL = ".record"
"""Ends the name of a folder below ``work/`` in which a record is being made."""


class Store:
    """Everything a comparison keeps.

    ``tuning/`` and ``results/`` hold one folder per finished cell: ``config.json``, ``metrics.jsonl`` (the main
    columns), ``evaluation.jsonl``. They appear by one rename. ``failures/`` holds why a cell failed, ``base/`` the
    evaluation of the base model, ``levers/`` those at other temperatures and shares of the base, ``study.json`` the
    comparison itself. ``work/`` (unfinished runs) and ``models/`` are not for version control.

    Args:
        root: the folder.
        elsewhere: another comparison's folder, whose finished runs are taken over where they agree with a cell.
    """

    def __init__(self, root: Path, elsewhere: Path | None = None) -> None:
        self.root = root
        self._records: dict[str, Path] | None = None
        self._elsewhere = {} if elsewhere is None else Store(elsewhere).records()

    def work(self, cell: Cell) -> Path:
        """Where the cell is trained."""
        return self.root / "work" / cell.path

    def records(self) -> dict[str, Path]:
        """Fingerprint -> folder of every finished run, whatever the folder's name."""
        if self._records is None:
            self._records = {}
            for stage in (TUNING, RESULTS):
                for path in sorted((self.root / stage).glob("*/*/config.json")):
                    values = recorded(read_object(path))
                    if is_finished(path.parent, values):
                        self._records.setdefault(fingerprint(values), path.parent)
        return self._records

    def forget_records(self) -> None:
        """Read the records anew: another process has written some."""
        self._records = None

    def record(self, cell: Cell) -> Path | None:
        """The folder that holds the finished cell."""
        return self.records().get(cell.fingerprint)

    def check(self, cells: Iterable[Cell]) -> None:
        """Refuse a cell whose folder holds another configuration, and test runs beside those of another base.

        Raises:
            InputError: what differs.
        """
        for cell in (cells := list(cells)):
            for folder in (self.root / cell.path, self.work(cell)):
                if not (folder / "config.json").exists():
                    if folder == self.root / cell.path and folder.exists() and any(folder.iterdir()):
                        raise InputError(f"{folder} is not empty and holds no run", hint="move that folder away")
                    continue
                found = recorded(read_object(folder / "config.json"))
                if fingerprint(found) != cell.fingerprint:
                    changed = "; ".join(differences(found, plain(cell.config)))
                    raise InputError(
                        f"{folder} holds another run than the comparison asks for; it differs in {changed}",
                        hint="choose another --output, give the method another label, or move that folder away",
                    )
                if folder == self.root / cell.path and cell.fingerprint not in self.records():
                    raise InputError(f"{folder} holds this run, but not its end", hint="move that folder away")
        for cell in [cell for cell in cells if cell.stage == RESULTS][:1]:  # they have one base
            self.check_base(cell)

    def check_base(self, cell: Cell) -> None:
        """Refuse a test run beside those of another base, and beside tuning and unfinished runs of other weights.

        Raises:
            InputError: what differs.
        """
        asked = cell.as_record
        tests = sorted((self.root / RESULTS).glob("*/*/config.json"))
        others = [*(self.root / TUNING).glob("*/*/config.json"), *(self.root / "work").glob("*/*/*/config.json")]
        others = [path for path in sorted(others) if path.parent.suffix != _PARTIAL]
        for differ, paths in ((base_differences, tests), (weight_differences, others)):
            for path in paths:
                if not (changed := differ(read_object(path), asked)):
                    continue
                raise InputError(
                    f"{path.parent} belongs to another comparison: its base model, problems or sampling differ in "
                    + "; ".join(changed),
                    hint="choose another --output, or move that folder away",
                )

    def failure(self, cell: Cell) -> str | None:
        """Why the cell failed, if it did."""
        path = self._failure_path(cell)
        if not path.exists():
            return None
        record = read_object(path)
        return str(record.get("reason")) if record.get("fingerprint") == cell.fingerprint else None

    def fail(self, cell: Cell, reason: str) -> None:
        """Note why the cell failed; what it has done so far stays, to be continued with --retry-failed."""
        rows = read_jsonl(RunFolder(self.work(cell)).metrics)
        record = {"reason": reason, "step": rows[-1]["step"] if rows else 0, "fingerprint": cell.fingerprint}
        path = self._failure_path(cell)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**record, "config": plain(cell.config)}, indent=2) + "\n")

    def forget_failure(self, cell: Cell) -> None:
        """The cell is tried again, or has succeeded."""
        self._failure_path(cell).unlink(missing_ok=True)

    def _failure_path(self, cell: Cell) -> Path:
        return self.root / "failures" / cell.path.with_name(f"{cell.name}.json")

    def prepare(self, cell: Cell) -> bool:
        """Make the working folder ready; whether it holds a run to be continued."""
        work = self.work(cell)
        ignore = self.root / "work" / ".gitignore"
        if not ignore.exists():
            ignore.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(ignore, "*\n")
        if work.exists() and not (work / "config.json").exists():  # killed before it could say what it is
            shutil.rmtree(work)
        return work.exists()

    def finish(self, cell: Cell, *, keep_model: bool) -> None:
        """Turn the finished run in the working folder into a record; may be repeated after a crash at any point."""
        work = self.work(cell)
        if self.record(cell) is None:
            partial = work.with_name(f"{cell.name}{_PARTIAL}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _write_record(RunFolder(work), RunFolder(partial), cell)
            self._publish(partial, cell)
        self.forget_failure(cell)
        if keep_model and RunFolder(work).finished:
            kept = self.root / "models" / cell.path
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.root / "models" / ".gitignore", "*\n")
            RunFolder(work).model.rename(kept)
        shutil.rmtree(work, ignore_errors=True)

    def adopt(self, cell: Cell) -> bool:
        """Copy the finished cell from the other comparison; whether it has it."""
        source = self._elsewhere.get(cell.fingerprint)
        if source is None or self.record(cell) is not None:
            return source is not None
        if weight_differences(read_object(source / "config.json"), cell.as_record):
            return False
        partial = self.work(cell).with_name(f"{cell.name}{_PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in ("config.json", "metrics.jsonl", "evaluation.jsonl"):
            shutil.copy(source / name, partial / name)
        self._publish(partial, cell)
        return True

    def _publish(self, partial: Path, cell: Cell) -> None:
        target = self.root / cell.path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(target)
        self.records()[cell.fingerprint] = target

    def base(self, cell: Cell, others: Iterable[Cell] = ()) -> Path | None:
        """A folder with the evaluation of the cell's base model, if any cell has made it.

        Args:
            cell: whose base.
            others: cells that are being computed; what they have evaluated already is used too.
        """
        unknown = self.root / "base" / cell.base_fingerprint  # which weights: those of the cell, for all we know
        folder = unknown if cell.weights is None else unknown.with_name(f"{unknown.name}-{_short_name(cell.weights)}")
        for made in (folder, unknown):
            if (made / "evaluation.jsonl").exists():
                return made
        same = [other for other in others if other.base_fingerprint == cell.base_fingerprint]
        done = [path for path in self.records().values() if _base_of(path) == cell.base_fingerprint]
        for path in [*done, *map(self.work, same)]:
            rows = read_jsonl(path / "evaluation.jsonl")
            if not rows or weight_differences(read_object(path / "config.json"), cell.as_record):
                continue
            if (rows[0]["step"], rows[0]["num_samples"]) == (0, cell.config.eval_samples):
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / "evaluation.jsonl", json.dumps(rows[0]) + "\n")
                return folder
        return None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Only one process computes a comparison; the system frees the lock however that process ends."""
        (self.root / "work").mkdir(parents=True, exist_ok=True)
        with (self.root / "work" / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    f"another process is computing {self.root}", hint="wait for it, or use another --output"
                ) from error
            yield

    @contextlib.contextmanager
    def own(self, cell: Cell) -> Iterator[None]:
        """Wait until no process that was left over is at work on the cell."""
        path = self.work(cell).with_name(f"{cell.name}.lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_record(work: RunFolder, record: RunFolder, cell: Cell) -> None:
    rows = [{k: _short(v) for k, v in row.items() if _KEPT.fullmatch(k)} for row in read_jsonl(work.metrics)]
    record.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = {**read_object(work.config), "command": train_command(cell.config)}
    own = config.get("grpo_config", {})
    config["grpo_config"] = {key: value for key, value in own.items() if not key.endswith("_dir")}
    record.config.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    rows = read_jsonl(work.evaluation)
    record.evaluation.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _short_name(weights: str) -> str:
    return weights.partition(":")[2][:16]


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def scored(folder: Path, line: int = -1) -> str:
    """Tells a run from one that was trained in its place: by what it scored, which no later version of us changes."""
    return fingerprint(read_jsonl(folder / "evaluation.jsonl")[line])


def is_finished(folder: Path, values: dict[str, Any]) -> bool:
    """Whether the last evaluation is that of the end."""
    rows = read_jsonl(folder / "evaluation.jsonl")
    if not rows or rows[-1]["step"] == 0 or rows[-1]["num_samples"] != values.get("eval_samples"):
        return False
    steps = dict(values.get("trl") or {}).get("max_steps")
    return values.get("max_minutes") is not None or steps is None or rows[-1]["step"] == steps


def _base_of(folder: Path) -> str:
    return base_fingerprint(recorded(read_object(folder / "config.json")))


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        DataError: it can't be read, or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} must hold an object")
    return values
