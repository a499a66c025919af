"""Rows of data sets in a declared schema: JSONL, JSON, CSV and Parquet files, and data sets of the hub."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from unsharpen.errors import DataError, InputError, MissingExtraError

Row = dict[str, Any]

_SPLIT = r"(?:[^/\\:\[\]]|\[[^/\\\]]*\])+"  # a slice may hold a colon: train[:10]
_HUB_ID = re.compile(rf"([\w-][\w.-]*/[\w-][\w.-]*)(?::(?:([\w.-]+):)?({_SPLIT}))?")


def read_rows(
    source: str | Path,
    *,
    columns: Sequence[str],
    split: str = "train",
    subset: str | None = None,
    limit: int | None = None,
) -> Iterator[tuple[int, Row]]:
    """Read rows that have the given columns, in order, with their numbers from 1.

    Args:
        source: a file that ends in .jsonl, .json (a list of objects), .csv or .parquet, in any case of
            letters; or a data set of the hub as ``owner/name``, ``owner/name:split`` or
            ``owner/name:subset:split``; or a local folder that is such a data set.
        columns: columns that each row must have; other columns are passed on.
        split: the split of a hub data set that names none.
        subset: the configuration of a hub data set that names none; None is the set's default.
        limit: read the first rows only.

    Returns:
        An iterator over (row number, row). Values of CSV files are text.

    Raises:
        DataError: there is no such source, it can't be read, it has no rows, or a row lacks a column; some of
            this is found only when the iterator comes to the row.
        InputError: the limit is below 1.
        MissingExtraError: the library that the source needs is not installed.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1 or None; found {limit}")
    path = Path(source)
    if os.path.isfile(source):
        reader = _READERS.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{path} must end in {', '.join(_READERS)}; found '{path.suffix}'")
        return _checked(str(path), reader(path), columns, limit)
    hub_id = _HUB_ID.fullmatch(str(source))
    if os.path.isdir(source):
        return _checked(str(path), _read_hub(str(path), split, subset), columns, limit)
    if hub_id is None or path.suffix.lower() in _READERS:
        raise DataError(
            "a data set must be a file, or owner/name, owner/name:split or owner/name:subset:split on the hub; "
            f"found '{source}', which is neither a file nor of that form",
            hint=f"the current folder is {Path.cwd()}; files end in {', '.join(_READERS)}",
        )
    return _checked(str(source), _read_hub(hub_id[1], hub_id[3] or split, hub_id[2] or subset), columns, limit)


def _checked(source: str, rows: Iterable[Any], columns: Sequence[str], limit: int | None) -> Iterator[tuple[int, Row]]:
    number = 0
    for number, row in enumerate(islice(rows, limit), 1):
        if not isinstance(row, dict):
            raise DataError(f"{source}, row {number}: expected an object with columns; found {type(row).__name__}")
        missing = [column for column in columns if column not in row]
        if missing:
            raise DataError(
                f"{source}, row {number}: needs the columns {', '.join(columns)}; "
                f"lacks {', '.join(missing)}; found {', '.join(map(str, row)) or 'none'}"
            )
        yield number, row
    if not number:
        raise DataError(f"{source}: expected at least 1 row; found none")


def _read_jsonl(path: Path) -> Iterator[Any]:
    with _opened(path) as lines:
        for number, line in enumerate(_decoded(path, lines), 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise DataError(f"{path}, line {number}: expected a JSON object; {error}") from error


def _read_json(path: Path) -> Iterator[Any]:
    with _opened(path) as file:
        try:
            rows = json.load(file)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: expected JSON in UTF-8; {error}") from error
    if not isinstance(rows, list):
        raise DataError(f"{path}: expected a list of objects; found {type(rows).__name__}")
    yield from rows


def _read_csv(path: Path) -> Iterator[Any]:
    with _opened(path) as lines:
        rows = csv.DictReader(_decoded(path, lines), strict=True)
        try:
            for number, row in enumerate(rows, 1):
                if None in row or None in row.values():
                    raise DataError(f"{path}, row {number}: expected {len(rows.fieldnames or ())} fields; found others")
                yield row
        except csv.Error as error:
            raise DataError(f"{path}, line {rows.line_num}: expected CSV; {error}") from error


def _read_parquet(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise MissingExtraError(
            f"reading {path} requires pyarrow, which is not installed", hint="pip install pyarrow"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: expected a Parquet file; {error}") from error


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{path} can't be read; {error}") from error


def _decoded(path: Path, lines: TextIO) -> Iterator[str]:
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8; {error}") from error


def _read_hub(name: str, split: str, subset: str | None) -> Iterator[Any]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"'{name}' is no file, and a data set of the hub requires datasets, which is not installed",
            hint="pip install datasets",
        ) from error
    try:
        yield from datasets.load_dataset(name, *([subset] if subset else []), split=split)
    except Exception as error:  # the library passes on errors of many others
        raise DataError(
            f"'{name}' is no file, and no data set of the hub by that name, split '{split}', can be read; "
            f"{type(error).__name__}: {error}",
            hint="check the name, the split and the connection",
        ) from error


_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows to a .jsonl, .csv or .parquet file; an existing file is replaced only once all is written.

    Args:
        path: the file; its folder must exist.
        rows: at least 1, with the columns of the first. Lists in CSV files are written as JSON.

    Returns:
        The number of rows.

    Raises:
        DataError: the ending is another, there are no rows, or a row has other columns than the first.
        MissingExtraError: a Parquet file is asked for and pyarrow is not installed.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise DataError(f"{path} must end in {', '.join(_WRITERS)}; found '{path.suffix}'")
    data = [dict(row) for row in rows]
    if not data:
        raise DataError(f"{path}: expected at least 1 row to write; found none")
    for number, row in enumerate(data, 1):
        if row.keys() != data[0].keys():
            raise DataError(f"row {number} must have the columns {list(data[0])} of row 1; found {list(row)}")
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        writer(unfinished, data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(data)


def _write_jsonl(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()})


def _write_parquet(path: Path, rows: list[Row]) -> None:
    try:
        from pyarrow import Table, parquet
    except ImportError as error:
        raise MissingExtraError(
            "writing Parquet requires pyarrow, which is not installed", hint="pip install pyarrow"
        ) from error
    parquet.write_table(Table.from_pylist(rows), path)


_WRITERS: dict[str, Callable[[Path, list[Row]], None]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
