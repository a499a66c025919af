"""The folder of a run: who owns it, where it stands, and what a resumed run must forget."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation.lock import LOCK, lock_folder
from unsharpen.training.config import RunConfig, differences


class RunFolder:
    """Paths and small files of one run.

    ``config.json`` (settings, versions, command), ``metrics.jsonl`` (a line a step), ``evaluation.jsonl`` (a line an
    evaluation), ``samples/``, ``checkpoint-N/`` (Hugging Face format), ``model/`` (the result), ``report.html``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.json"
        self.metrics = path / "metrics.jsonl"
        self.evaluation = path / "evaluation.jsonl"
        self.samples = path / "samples"
        self.model = path / "model"
        self.report = path / "report.html"
        self._made: list[Path] | None = None
        self._taken_over = 0
        self._lock: int | None = None

    def claim(self, config: RunConfig, record: dict[str, Any], *, resume: bool) -> None:
        """Make the folder this run's own until :meth:`close`, or raise without having changed anything.

        Args:
            config: the run's settings, compared with those that the folder holds.
            record: what else to note beside them (versions, command, ...).
            resume: continue the run that is there; without it a used folder is refused.

        Raises:
            InputError: the folder holds something else, another process trains in it, or it can't be written.
        """
        self._check(config, resume=resume)
        try:
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = lock_folder(self.path, "training in")
            self._check(config, resume=resume)  # again: another process may have come first
            if not self.config.exists():
                self._made = made
                self.samples.mkdir(exist_ok=True)
                write_atomically(self.config, json.dumps({**config.as_dict(), **record}, indent=2, default=str) + "\n")
        except OSError as error:
            self.close()
            raise InputError(f"can't write to {self.path}: {error.strerror}", hint="choose another --output") from error
        except BaseException:
            self.close()
            raise

    def _check(self, config: RunConfig, *, resume: bool) -> None:
        if self.config.exists():
            before = self._read_config()
            changed = differences(before, json.loads(json.dumps(config.as_dict())))
            if changed:
                raise InputError(
                    f"{self.path} holds another run; it differs in " + "; ".join(changed),
                    hint="choose another --output, or give that run's own settings",
                )
            if not resume:
                raise InputError(
                    f"{self.path} already holds this run",
                    hint="--resume continues it; for a new one choose another --output or --seed",
                )
        elif self._holds_something():
            raise InputError(f"{self.path} is not empty and holds no run", hint="choose another --output")

    def _holds_something(self) -> bool:
        try:
            return self.path.exists() and any(path.name != LOCK for path in self.path.iterdir())
        except OSError as error:
            raise InputError(f"can't write to {self.path}: {error.strerror}", hint="choose another --output") from error

    def release(self) -> None:
        """Undo a claim after which nothing was done, so that a corrected attempt may have the folder."""
        done = read_jsonl(self.metrics) or read_jsonl(self.evaluation)[self._taken_over :] or self.last_checkpoint()
        if self._made is None or done:
            return
        for path in self.path.iterdir():  # it was absent or empty: all of this came after the claim
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in self._made:
            folder.rmdir()

    def close(self) -> None:
        """Leave the folder to others; a second call does nothing."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def take_over(self, evaluation: dict[str, Any]) -> None:
        """Begin with an evaluation that another run has made."""
        append_jsonl(self.evaluation, evaluation)
        self._taken_over = 1

    def _read_config(self) -> dict[str, Any]:
        try:
            values = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.config} can't be read: {error}") from error
        if not isinstance(values, dict):
            raise DataError(f"{self.config} must hold an object")
        return values

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        return max(filter(_is_complete, self.path.glob("checkpoint-*")), key=_step_of, default=None)

    def rewind(self, step: int) -> None:
        """Forget the lines after ``step``, which a resumed run writes again."""
        for path in (self.metrics, self.evaluation):
            kept = [row for row in read_jsonl(path) if row["step"] <= step]
            write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))

    def evaluated_steps(self) -> set[tuple[int, int]]:
        """(step, samples per problem) of every evaluation on disk."""
        return {(row["step"], row["num_samples"]) for row in read_jsonl(self.evaluation)}

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return (self.model / "config.json").exists() or (self.model / "adapter_config.json").exists()


def _is_complete(checkpoint: Path) -> bool:
    """Whether the file that the trainer writes last is there in full."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def _step_of(path: Path) -> int:
    match = re.search(r"(\d+)$", path.name)
    return int(match.group(1)) if match else -1


def append_jsonl(path: Path, row: dict[str, Any]) -> None:
    """Append one line and hand it to the operating system at once."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise DataError(f"{path}, line {number}, is not JSON: {error}") from error
    return rows


def write_atomically(path: Path, text: str) -> None:
    """Write a neighbour and rename it, so that a crash leaves the old file or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
