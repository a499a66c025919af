"""The sample store: an append-only JSONL file that a killed run leaves whole, and the table that it comes to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation.folder import PROBLEMS, SAMPLES, SETTINGS, read_problems, read_settings
from unsharpen.evaluation.lock import lock_folder
from unsharpen.evaluation.rows import Row, RowChecker, check_row, parse_line, read_lines, to_line
from unsharpen.metrics.samples import SampleTable

_SYNC_SECONDS: Final = 5.0
TORN: Final = "samples.torn"
"""Where the bytes of a torn last line are kept."""


class SampleStore:
    """The samples of one evaluation, on disk as soon as they exist. Use as a context manager.

    What holds after :meth:`append` has returned: the rows survive the end of this process, however it comes (kill -9
    too), because one ``write`` has handed the whole lines to the operating system. They survive a power failure from
    the next ``fsync`` on: the first append 5 seconds or more after the last one makes one, and so does closing.
    Opening repairs the one thing that a crash can leave behind, a last line that was cut short.

    Args:
        folder: made if it is not there; holds ``samples.jsonl``.

    Raises:
        InputError: another process has the store open, or the folder can't be written.
        DataError: a line other than the last is broken, a row has another schema, task or model, or comes twice;
            the file is left as it is, and the message names the line.

    Attributes:
        torn_bytes: how many bytes of a torn last line were moved to ``samples.torn`` on opening.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / SAMPLES
        self.torn_bytes = 0
        self._checker = RowChecker()
        self._synced = time.monotonic()
        try:
            self._lock = lock_folder(folder, "writing to")
        except OSError as error:
            raise InputError(f"can't write to {folder}: {error.strerror}", hint="choose another --output") from error
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                self._scan()
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            os.close(self._lock)
            raise InputError(f"can't write {self.path}: {error.strerror}", hint="choose another --output") from error
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> SampleStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return sum(map(len, self._checker.known.values()))

    def missing(self, problem_id: str, num_samples: int) -> tuple[int, ...]:
        """The sample ids below ``num_samples`` that the problem lacks, ascending."""
        known = self._checker.known.get(problem_id, set())
        return tuple(i for i in range(num_samples) if i not in known)

    @property
    def problem_ids(self) -> Iterable[str]:
        """The problems that have samples."""
        return self._checker.known.keys()

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows, all of them or, on an error, none.

        Raises:
            DataError: a row has another schema, task or model, or its (problem_id, sample_id) is there already.
            InputError: the disk is full, or the file can't be written for another reason.
        """
        seen = RowChecker(task=self._checker.task, model=self._checker.model)
        for row in rows:
            where = f"sample {row.get('sample_id')} of problem {row.get('problem_id')!r}"
            seen.add(check_row(row, where), where)
            if row["sample_id"] in self._checker.known.get(row["problem_id"], ()):
                raise DataError(f"{where} is there already")
        self._write(b"".join(map(to_line, rows)))
        self._checker.task, self._checker.model = seen.task, seen.model
        for problem_id, ids in seen.known.items():
            self._checker.known.setdefault(problem_id, set()).update(ids)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Wait until all rows are on the disk itself."""
        os.fsync(self._file)
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and release the lock; a second call does nothing."""
        if self._file < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._file)
            os.close(self._lock)
            self._file = -1

    def _write(self, data: bytes) -> None:
        size = os.fstat(self._file).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            os.ftruncate(self._file, size)
            raise InputError(f"can't write {self.path}: {error.strerror}") from error

    def _scan(self) -> None:
        for number, offset, line in read_lines(self.path):
            where = f"{self.path}, line {number}"
            if line.endswith(b"\n"):
                self._checker.add(parse_line(line, where), where)
                continue
            try:
                row = parse_line(line, where)
            except DataError:
                self._cut(offset, line)
            else:  # whole but for its newline
                self._checker.add(row, where)
                self._write(b"\n")
            return

    def _cut(self, offset: int, torn: bytes) -> None:
        with self.path.with_name(TORN).open("ab") as file:
            file.write(torn + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(self._file, offset)
        self.torn_bytes = len(torn)


def load_evaluation(folder: Path | str, *, completions: bool = True) -> SampleTable:
    """The samples of an evaluation folder as columns, also while it is being written.

    Rows are read one by one. A last line that is not complete is left out, as it is when the run is resumed.

    Args:
        folder: what ``unsharpen eval`` wrote.
        completions: keep the texts, most of the memory; metrics of counts and answers don't need them.

    Raises:
        DataError: the folder holds no evaluation, or a line is broken; names the line.
    """
    folder = Path(folder)
    if not (folder / SAMPLES).is_file():
        raise DataError(
            f"{folder} must be a folder with {SAMPLES}, {PROBLEMS} and {SETTINGS}; it has no {SAMPLES}",
            hint="unsharpen eval writes such a folder",
        )
    settings = read_settings(folder) or {}
    checker = RowChecker()
    rows = _rows(folder / SAMPLES, checker, completions)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{folder / SAMPLES} holds no samples yet")
    label = str(settings.get("label") or first["model"])
    problems = {problem["problem_id"]: problem for problem in read_problems(folder)}
    return SampleTable.from_rows(_chain(first, rows), label=label, problems=problems, settings=settings)


def read_samples(folder: Path) -> Iterator[Row]:
    """The samples of an evaluation folder, one by one, checked; a last line that is cut short is left out.

    Raises:
        DataError: the folder has no samples, or a line is broken; names the line.
    """
    if not (folder / SAMPLES).is_file():
        raise DataError(f"{folder} must be a folder of `unsharpen eval`; it has no {SAMPLES}")
    return _rows(folder / SAMPLES, RowChecker(), completions=True)


def _rows(path: Path, checker: RowChecker, completions: bool) -> Iterator[Row]:
    for number, _, line in read_lines(path):
        where = f"{path}, line {number}"
        try:
            row = parse_line(line, where)
        except DataError:
            if line.endswith(b"\n"):
                raise
            return
        checker.add(row, where)
        if not completions:
            del row["completion"]
        yield row


def _chain(first: Row, rest: Iterator[Row]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest
