"""Rows from local files and from the hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import DataError, InputError, MissingExtraError
from unsharpen.tasks.hub import read_rows, write_rows

ROWS = [
    {"problem": "1+1", "answer": "2"},
    {"problem": "é ×", "answer": "3,\n4"},
    {"problem": "", "answer": '"'},
]


def read(source: Path | str, columns: tuple[str, ...] = ("problem",), **options: Any) -> list[dict[str, Any]]:
    pairs = list(read_rows(source, columns=columns, **options))
    assert [number for number, _ in pairs] == list(range(1, len(pairs) + 1))
    return [row for _, row in pairs]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.Parquet", "a.CSV"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    assert write_rows(tmp_path / name, ROWS) == 3
    assert read(tmp_path / name) == ROWS
    assert read(str(tmp_path / name), limit=2) == ROWS[:2]
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_json_is_a_list_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS))
    assert read(path) == ROWS
    path.write_text(json.dumps({"data": ROWS}))
    with pytest.raises(DataError, match="expected a list of objects; found dict"):
        read(path)


def test_jsonl_allows_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"problem": 1}\r\n\r\n{"problem": 2}')
    assert read(path) == [{"problem": 1}, {"problem": 2}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"problem": 1}\n{"problem": \n', "line 2: expected a JSON object"),
        ("a.jsonl", b"[" * 100_000, "line 1: expected a JSON object"),
        ("a.jsonl", b"\xff\xfe", "expected UTF-8"),
        ("a.jsonl", b"", "expected at least 1 row; found none"),
        ("a.jsonl", b"\n \n", "expected at least 1 row; found none"),
        ("a.jsonl", b"3\n", "row 1: expected an object with columns; found int"),
        ("a.jsonl", b'{"answer": 1}\n', "row 1: needs the columns problem; lacks problem; found answer"),
        ("a.jsonl", b"{}\n", "found none"),
        ("a.json", b"[1, 2", "expected JSON in UTF-8"),
        ("a.json", b"\xff\xfe", "expected JSON in UTF-8"),
        ("a.json", b"[]", "expected at least 1 row; found none"),
        ("a.csv", b"", "expected at least 1 row; found none"),
        ("a.csv", b"problem,answer\n", "expected at least 1 row; found none"),
        (
            "a.csv",
            b"Problem,answer\n1,2\n",
            "row 1: needs the columns problem; lacks problem; found Problem, answer",
        ),
        ("a.csv", b"problem,answer\n1,2\n1\n", "row 2: expected 2 fields"),
        ("a.csv", b"problem,answer\n1,2,3\n", "row 1: expected 2 fields"),
        ("a.csv", b'problem,answer\n1,"2\n', "expected CSV"),
        ("a.csv", b"problem\n\xff\n", "expected UTF-8"),
        ("a.parquet", b"PAR1 is not enough", "expected a Parquet file"),
        ("a.parquet", b"", "expected a Parquet file"),
        ("a.txt", b"problem", r"must end in .jsonl, .json, .csv, .parquet; found '.txt'"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "source", ["missing.jsonl", "data/missing.csv", "word", "a/b/c", "", "../x/y", "C:\\x", "a/b:c:d:e"]
)
def test_what_is_neither_file_nor_hub_id(source: str) -> None:
    with pytest.raises(DataError, match="neither a file nor of that form"):
        read_rows(source, columns=())


def test_limit_is_checked_at_once() -> None:
    with pytest.raises(InputError, match="limit must be at least 1"):
        read_rows("a.jsonl", columns=(), limit=0)


@pytest.mark.parametrize(
    ("source", "options", "split"),
    [
        ("owner/name", {}, "train"),
        ("owner/na-me.2", {"split": "test"}, "test"),
        ("owner/name:validation", {"split": "test"}, "validation"),
        ("owner/name:train[:10]", {}, "train[:10]"),
        ("owner/name:main:train[:10]", {}, "main train[:10]"),
        ("owner/name:test", {"subset": "main"}, "main test"),
        ("owner/name:train[:5]+test[:5]", {}, "train[:5]+test[:5]"),
    ],
)
def test_hub(monkeypatch: pytest.MonkeyPatch, source: str, options: dict[str, str], split: str) -> None:
    import datasets

    calls = []

    def load_dataset(name: str, *subset: str, split: str) -> Any:
        calls.append((name, " ".join((*subset, split))))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read(source, **options) == ROWS
    assert calls == [(source.split(":")[0], split)]
    with pytest.raises(DataError, match="row 1: needs the columns question; lacks question; found problem, answer"):
        read(source, ("question",))


def test_hub_failures_name_their_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, *, split: str) -> Any:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match="ConnectionError: no route") as caught:
        read("owner/name")
    assert isinstance(caught.value.__cause__, ConnectionError)


def test_local_folder_goes_through_the_hub_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    write_rows(tmp_path / "data" / "train.jsonl", ROWS)
    assert read(tmp_path / "data") == ROWS


@pytest.mark.parametrize(("module", "name"), [("datasets", "owner/name"), ("pyarrow", "a.parquet")])
def test_missing_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    (tmp_path / "a.parquet").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=f"{module}, which is not installed"):
        read(name)


def test_write_rows_checks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must end in"):
        write_rows(tmp_path / "a.txt", ROWS)
    with pytest.raises(DataError, match="at least 1 row"):
        write_rows(tmp_path / "a.jsonl", [])
    with pytest.raises(DataError, match="row 2 must have the columns"):
        write_rows(tmp_path / "a.jsonl", [{"a": 1}, {"b": 1}])
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_rows(path, ROWS)
    with pytest.raises(TypeError):
        write_rows(path, [{"a": 1}, {"a": object()}])
    assert read(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]
