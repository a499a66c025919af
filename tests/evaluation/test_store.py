"""The store: what is written is there, whatever ends the process; what is broken is named, and nothing is dropped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsharpen.errors import DataError, InputError
from unsharpen.evaluation import store as store_module
from unsharpen.evaluation.folder import claim, read_problems, read_settings
from unsharpen.evaluation.rows import SCHEMA, to_line
from unsharpen.evaluation.store import TORN, SampleStore, load_evaluation

SETTINGS = {"task": "t", "model": "m", "num_samples": 3, "temperature": 1.0, "versions": {"python": "1"}}
PROBLEMS = [{"problem_id": "p", "text": "?", "answer": "1", "multiplicity": 2}]


def row(problem: str = "p", sample: int = 0, **other: Any) -> dict[str, Any]:
    values = ("t", problem, sample, "m", "text", "stop", 3, -1.5, True, "correct", "1", 7)
    return {**dict(zip(SCHEMA, values, strict=True)), **other}


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    with SampleStore(folder) as store:
        store.append(rows)
    return folder / "samples.jsonl"


def test_rows_are_written_as_the_documented_schema(tmp_path: Path) -> None:
    text = write(tmp_path, row(), row(sample=1, num_tokens=None, logprob=None, canonical=None)).read_text("utf-8")
    first, second = map(json.loads, text.splitlines())
    keys = "task problem_id sample_id model completion finish_reason num_tokens logprob correct reason canonical seed"
    assert list(first) == list(second) == keys.split()
    assert first == row()
    assert second["num_tokens"] is second["logprob"] is second["canonical"] is None


def test_a_reopened_store_knows_what_is_missing(tmp_path: Path) -> None:
    write(tmp_path, row(sample=1), row("q", 0))
    with SampleStore(tmp_path) as store:
        assert len(store) == 2
        assert store.missing("p", 3) == (0, 2)
        assert store.missing("q", 3) == (1, 2)
        assert store.missing("r", 2) == (0, 1)
        store.append([row(sample=0)])
        assert store.missing("p", 2) == ()


@given(st.text(), st.floats(), st.none() | st.text())
def test_any_text_survives(completion: str, logprob: float, canonical: str | None) -> None:
    line = to_line(row(completion=completion, logprob=logprob, canonical=canonical))
    assert len(line.decode().splitlines()) == 1
    read = json.loads(line.decode())
    assert (read["completion"], read["canonical"]) == (completion, canonical)
    assert read["logprob"] == (logprob if np.isfinite(logprob) else None)


def test_half_a_surrogate_pair_becomes_the_replacement_character(tmp_path: Path) -> None:
    write(tmp_path, row(completion="a\ud800b \U0001f600"))
    assert load_evaluation(tmp_path).completions == ("a\ufffdb \U0001f600",)


def test_an_answer_of_ten_megabytes(tmp_path: Path) -> None:
    text = "\\frac{" * 1_700_000
    write(tmp_path, row(completion=text), row(sample=1))
    table = load_evaluation(tmp_path)
    assert table.completions is not None
    assert table.completions[0] == text
    assert len(table.problem) == 2


# ------------------------------------------------------------------------------------------------ torn lines

WHOLE = to_line(row()) + to_line(row(sample=1))


@pytest.mark.parametrize("kept", [1, 20, len(to_line(row(sample=2))) - 2])
def test_a_torn_last_line_is_cut_off_and_kept_elsewhere(tmp_path: Path, kept: int) -> None:
    torn = to_line(row(sample=2))[:kept]
    path = tmp_path / "samples.jsonl"
    path.write_bytes(WHOLE + torn)
    assert len(load_evaluation(tmp_path).problem) == 2  # a reader leaves the file as it is
    assert path.read_bytes() == WHOLE + torn
    with SampleStore(tmp_path) as store:
        assert store.torn_bytes == kept
        assert store.missing("p", 3) == (2,)
        store.append([row(sample=2)])
    assert path.read_bytes() == WHOLE + to_line(row(sample=2))
    assert (tmp_path / TORN).read_bytes() == torn + b"\n"


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(WHOLE[:-1])
    with SampleStore(tmp_path) as store:
        assert store.torn_bytes == 0
        assert store.missing("p", 2) == ()
    assert path.read_bytes() == WHOLE


def test_a_torn_character_and_zeros_are_torn_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    for torn in (to_line(row(sample=2, completion="\u00e9"))[:90].rstrip() + b"\xc3", b"\0" * 4096):
        path.write_bytes(WHOLE + torn)
        with SampleStore(tmp_path) as store:
            assert (len(store), store.torn_bytes) == (2, len(torn))


# ---------------------------------------------------------------------------------------------- broken files


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"task": "t", "prob\n', "line 2: expected a JSON object"),
        (b"\n", "line 2: expected a JSON object"),
        (b"[1]\n", "line 2: expected an object; found list"),
        (b"[" * 100_000 + b"\n", "line 2: expected a JSON object"),
        (to_line(row(sample=1)).replace(b"text", b"t\xe9xt"), "line 2: expected UTF-8; byte 79 is 0xe9"),
        (to_line(row(sample=1)).replace(b', "seed": 7', b""), r"line 2: needs the keys .*; lacks \['seed'\]"),
        (to_line({**row(sample=1), "other": 1}), r"line 2: .* has also \['other'\]"),
        (to_line(row(sample=1, correct=1)), "line 2: correct must be bool; found '1'"),
        (to_line(row(sample=1, num_tokens=1.5)), "line 2: num_tokens must be int or null"),
        (to_line(row(sample=1, num_tokens=10**30)), "line 2: `num_tokens` must be a whole number from 0 to 1,000"),
        (to_line(row(sample=1)).replace(b"-1.5", b"9" * 400), "line 2: `logprob` must be a number that a float can"),
        (to_line(row(sample=-1)), "line 2: sample_id must be at least 0; found -1"),
        (to_line(row()), "line 2: sample 0 of problem 'p' is there already"),
        (to_line(row(sample=1, task="u")), "line 2: all samples of a file must have one task, here 't'; found 'u'"),
        (to_line(row(sample=1, model="n")), "line 2: all samples of a file must have one model, here 'm'; found 'n'"),
    ],
)
@pytest.mark.parametrize("opened", [SampleStore, load_evaluation])
def test_a_broken_line_is_an_error_with_its_number(
    tmp_path: Path, line: bytes, expected: str, opened: Callable[[Path], Any]
) -> None:
    path = tmp_path / "samples.jsonl"
    data = to_line(row()) + line + to_line(row(sample=2))
    path.write_bytes(data)
    with pytest.raises(DataError, match=expected):
        opened(tmp_path)
    assert path.read_bytes() == data
    path.write_bytes(to_line(row()))
    SampleStore(tmp_path).close()  # the failed attempt holds no lock


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ([row(sample=5), row(sample=5)], "sample 5 of problem 'p' is there already"),
        ([row(sample=5), row()], "sample 0 of problem 'p' is there already"),
        ([row(sample=5), row(sample=6, model="n")], "one model"),
        ([row(sample=5), row(sample="6")], "sample_id must be int"),
        ([row(sample=5), {}], "needs the keys"),
    ],
)
def test_an_append_with_a_bad_row_writes_nothing(tmp_path: Path, bad: list[dict[str, Any]], expected: str) -> None:
    path = write(tmp_path, row())
    with SampleStore(tmp_path) as store:
        with pytest.raises(DataError, match=expected):
            store.append(bad)
        assert store.missing("p", 6) == (1, 2, 3, 4, 5)
        store.append([row(sample=5)])
    assert path.read_bytes() == to_line(row()) + to_line(row(sample=5))


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.write, [30, 0]

    def limited(file: int, data: Any) -> int:
        if not (left := room.pop(0)):
            raise OSError(28, "No space left on device")
        return real(file, data[:left])

    with SampleStore(tmp_path) as store:
        store.append([row()])
        monkeypatch.setattr(store_module.os, "write", limited)
        with pytest.raises(InputError, match="No space left"):
            store.append([row(sample=1)])
        monkeypatch.undo()
        assert store.path.read_bytes() == to_line(row())
        store.append([row(sample=1)])
    assert store.path.read_bytes() == WHOLE


# ------------------------------------------------------------------------------------------------- the lock

LOCKED = """
import sys
from pathlib import Path
from unsharpen.errors import InputError
from unsharpen.evaluation.store import SampleStore
try:
    SampleStore(Path(sys.argv[1]))
except InputError as error:
    print(error)
"""


def test_two_processes_cannot_write_one_store(tmp_path: Path) -> None:
    with SampleStore(tmp_path):
        done = subprocess.run([sys.executable, "-c", LOCKED, tmp_path], capture_output=True, text=True, timeout=240)
        assert "another process is writing to" in done.stdout
        with pytest.raises(InputError, match="another process"):
            SampleStore(tmp_path)
        load = [row()]
    with SampleStore(tmp_path) as store:
        store.append(load)
        assert len(load_evaluation(tmp_path).problem) == 1  # reading needs no lock


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't write to"):
        SampleStore(tmp_path / "file" / "folder")


# -------------------------------------------------------------------------------------------- settings.json


def test_settings_are_written_once_and_compared(tmp_path: Path) -> None:
    claim(tmp_path, SETTINGS, PROBLEMS)
    first = (tmp_path / "settings.json").read_bytes()
    assert read_problems(tmp_path) == PROBLEMS
    claim(tmp_path, {**SETTINGS, "versions": {"python": "2"}}, PROBLEMS)
    assert (tmp_path / "settings.json").read_bytes() == first
    with pytest.raises(InputError, match=r"differs in temperature: 1\.0 there, 0\.7 here; top_p: None there, 1 here"):
        claim(tmp_path, {**SETTINGS, "temperature": 0.7, "top_p": 1}, PROBLEMS)
    with pytest.raises(InputError, match="problems_sha256"):
        claim(tmp_path, SETTINGS, [{**PROBLEMS[0], "answer": "2"}])
    assert (tmp_path / "settings.json").read_bytes() == first


def test_more_samples_may_be_asked_for_and_fewer_not(tmp_path: Path) -> None:
    claim(tmp_path, SETTINGS, PROBLEMS)
    claim(tmp_path, {**SETTINGS, "num_samples": 5}, PROBLEMS)
    settings = read_settings(tmp_path)
    assert settings is not None
    assert settings["num_samples"] == 5
    with pytest.raises(InputError, match="5 samples per problem; asked for are 4"):
        claim(tmp_path, {**SETTINGS, "num_samples": 4}, PROBLEMS)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"num_samples": "3"}', "\xff"])
def test_broken_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text, "latin-1")
    with pytest.raises(DataError, match=r"settings\.json"):
        claim(tmp_path, SETTINGS, PROBLEMS)


def test_samples_without_settings_are_not_taken_over(tmp_path: Path) -> None:
    write(tmp_path, row())
    with pytest.raises(DataError, match=r"has samples\.jsonl and no settings\.json"):
        claim(tmp_path, SETTINGS, PROBLEMS)


@pytest.mark.parametrize("line", [b"1\n", b'{"problem_id": 1}\n', b'{"problem_id": "p"}\n' * 2, b"\xff\n"])
def test_broken_problems(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "problems.jsonl").write_bytes(line)
    with pytest.raises(DataError, match=r"problems\.jsonl"):
        read_problems(tmp_path)


# --------------------------------------------------------------------------------------------------- readers


def test_load_evaluation_gives_the_columns(tmp_path: Path) -> None:
    claim(tmp_path, SETTINGS, PROBLEMS)
    wrong = row(sample=1, correct=False, canonical=None, reason="no_answer", logprob=None, num_tokens=None)
    path = write(tmp_path, row(), wrong)
    path.write_bytes(path.read_bytes() + to_line(row(sample=2)).replace(b"-1.5", b"-Infinity"))
    table = load_evaluation(tmp_path)
    assert (table.label, table.problem_ids, table.problem_texts) == ("m", ("p",), ("?",))
    assert table.settings["temperature"] == 1.0
    assert table.multiplicity is not None
    assert table.logprobs is not None
    assert table.lengths is not None
    assert table.multiplicity.tolist() == [2]
    assert table.correct.tolist() == [True, False, True]
    assert table.answers.tolist() == [0, -1, 0]
    assert table.reasons == ("correct", "no_answer", "correct")
    np.testing.assert_array_equal(table.logprobs, [-1.5, np.nan, np.nan])
    assert table.lengths.tolist() == [3, 0, 3]
    assert load_evaluation(str(tmp_path), completions=False).completions is None


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.touch()])
def test_a_folder_without_samples(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "samples.jsonl")
    with pytest.raises(DataError, match=r"samples\.jsonl"):
        load_evaluation(tmp_path)


def test_pandas_reads_it_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, row(completion="\u2028 \U0001f600\n", canonical="1e5"), row("007", num_tokens=None))
    frame = pd.read_json(path, lines=True, dtype=False)
    assert list(frame) == list(SCHEMA)
    assert frame.completion.tolist() == ["\u2028 \U0001f600\n", "text"]
    assert frame.canonical.tolist() == ["1e5", "1"]
    assert frame.groupby("problem_id").correct.mean().to_dict() == {"p": 1.0, "007": 1.0}


def test_datasets_reads_it_in_one_line(tmp_path: Path) -> None:
    import datasets

    path = write(tmp_path, row(), row("q", num_tokens=None, logprob=None, canonical=None))
    data = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert data.column_names == list(SCHEMA)
    assert data[0] == row()
    assert data[1]["logprob"] is None
