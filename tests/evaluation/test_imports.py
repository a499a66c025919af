"""Imports: our own folders, plain files, grading anew, and what is refused."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.evaluation.exports import answers, correct, dump, harness, newer, own, write

from unsharpen.errors import DataError, InputError, UnknownNameError
from unsharpen.evaluation.imports import FORMATS, load_samples
from unsharpen.metrics import summarise
from unsharpen.tasks.hub import write_rows

# ------------------------------------------------------------------------------------------------ our own


def test_an_evaluation_folder(tmp_path: Path) -> None:
    rows = [own("p", 0), own("p", 1, correct=False, canonical=None, reason="malformed", logprob=None, num_tokens=None)]
    write(tmp_path / "samples.jsonl", [*rows, own("q", 0)])
    write(
        tmp_path / "problems.jsonl",
        [{"problem_id": p, "text": f"T{p}", "answer": None, "multiplicity": 6} for p in "pq"],
    )
    (tmp_path / "settings.json").write_text(json.dumps({"model": "the model", "temperature": 1.0}), "utf-8")
    for path in (tmp_path, tmp_path / "samples.jsonl"):
        table = load_samples(path)
        assert table.label == "the model"
        assert correct(table) == {"p": [True, False], "q": [True]}
        assert answers(table) == ["1+2", None, "1+2"]
        assert table.reasons == ("correct", "malformed", "correct")
        assert table.problem_texts == ("Tp", "Tq")
        assert table.multiplicity is not None
        assert table.multiplicity.tolist() == [6, 6]
        assert table.lengths is not None
        assert table.lengths.tolist() == [3, 0, 3]
        assert table.settings["temperature"] == 1.0
        assert (table.settings["format"], table.settings["task"], table.settings["notes"]) == ("unsharpen", "t", ())


def test_problems_without_samples_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "samples.jsonl", [own("p", 0)])
    write(tmp_path / "problems.jsonl", [{"problem_id": p, "text": p, "answer": None, "multiplicity": 1} for p in "pqr"])
    assert load_samples(tmp_path).settings["notes"] == ("2 of 3 problems have no samples yet",)


def test_a_torn_last_line_is_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", [own("p", 0), own("p", 1)], tail='{"task": "t", "problem_id": "p", "comp')
    table = load_samples(path)
    assert table.num_samples.tolist() == [2]
    (note,) = table.settings["notes"]
    assert "line 3: the last line is half-written (38 bytes)" in note
    assert note in summarise(table).notes
    # torn inside a character of several bytes
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b'\n{"completion": "\xc3')
    assert load_samples(path).num_samples.tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "tail", "message"),
    [
        ([own(), own("p", 1), own("p", 0)], "", "line 3: sample ids must differ within a problem; sample 0 of 'p'"),
        ([own(), own("p", 9_999), own("p", 9_999)], "", "line 3: sample ids must differ"),
        ([own(), own("q", 0, task="other")], "", "line 2: one task at a time; found 'other' after 't'"),
        ([own(), own("q", 0, model="other")], "", "line 2: one model a file; found 'other' after 'm'"),
        ([own(), own("q", 0, correct=0.4)], "", "line 2: `correct` must be true, false, 0 or 1; found '0.4'"),
        ([own(), own("q", 0, correct=None)], "", "line 2: `correct` must be true, false, 0 or 1; found 'None'"),
        ([own(), {"problem_id": "q"}], "", "line 2: needs the columns .*; lacks sample_id, completion, correct"),
        ([own()], "{torn}\n", "line 2: expected a JSON object"),
        ([own()], "[1]\n", "line 2: expected an object with columns; found list"),
        ([own(), own("q", 0, canonical=["x"])], "", "line 2: `canonical` must be text; found"),
        ([own(), own("q", 0, logprob="x")], "", "line 2: `logprob` must be a number; found 'x'"),
        ([own(), own("q", 0, logprob=-(10**400))], "", "line 2: `logprob` must be a number that a float can hold"),
        ([own(), own("q", 0, num_tokens=10**30)], "", "line 2: `num_tokens` must be a whole number from 0 to 1,0"),
        ([own(), own("q", 0, num_tokens=10**400)], "", "line 2: `num_tokens` must be a whole number from 0 to 1,0"),
        ([own(), own("q", 0, problem_id=None)], "", "line 2: `problem_id` must name the problem; found None"),
        ([own(), own("q", 0, problem_id="")], "", "line 2: `problem_id` must name the problem; found ''"),
        ([own(), own("q", 0, problem_id=float("nan"))], "", "line 2: `problem_id` must name the problem; found nan"),
        ([], "", "the file is empty"),
        ([], '{"half', "at least 1 whole row"),
    ],
)
def test_a_bad_file_names_the_row(tmp_path: Path, rows: list[Any], tail: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_samples(write(tmp_path / "samples.jsonl", rows, tail))


def test_a_bad_number_of_solutions_names_the_row(tmp_path: Path) -> None:
    write(tmp_path / "samples.jsonl", [own("p")])
    write(tmp_path / "problems.jsonl", [{"problem_id": "o", "text": "o"}, {"problem_id": "p", "multiplicity": 10**30}])
    with pytest.raises(DataError, match=r"problems\.jsonl, line 2: `multiplicity` must be a whole number from 0"):
        load_samples(tmp_path)


@pytest.mark.parametrize("row", [own, lambda _, i, logprob: {"problem": "p", "correct": 1, "logprob": logprob}])
def test_an_infinite_log_prob_is_unknown_and_noted(tmp_path: Path, row: Any) -> None:
    values = [-1.5, -math.inf, math.nan, None, math.inf]
    table = load_samples(write(tmp_path / "run.jsonl", [row("p", i, logprob=v) for i, v in enumerate(values)]))
    assert table.logprobs is not None
    assert np.isnan(table.logprobs).tolist() == [False, True, True, True, True]
    assert table.settings["notes"] == ("infinite log-probs, taken as unknown: 2",)  # NaN says unknown by itself
    summarise(table)


def test_not_utf_8(tmp_path: Path) -> None:
    path = write(tmp_path / "samples.jsonl", [own()])
    path.write_bytes(path.read_bytes() + b'{"x": "\xff"}\n' + json.dumps(own("q")).encode() + b"\n")
    with pytest.raises(DataError, match="line 2: expected UTF-8"):
        load_samples(path)


def test_an_answer_of_10_megabytes(tmp_path: Path) -> None:
    long = "9" * 10_000_000
    table = load_samples(write(tmp_path / "s.jsonl", [own("p", i, completion=long, canonical=long) for i in range(2)]))
    assert summarise(table).measures["distinct_correct"].interval.value == 1
    write(tmp_path / "s.jsonl", [])
    with (tmp_path / "s.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["problem", "completion", "correct"], ["p", long, "1"]])
    limit = csv.field_size_limit()
    assert load_samples(tmp_path / "s.csv").completions == (long,)
    assert csv.field_size_limit() == limit


# ---------------------------------------------------------------------------------------------------- plain


def test_plain_files(tmp_path: Path) -> None:
    rows = [{"problem": "a", "completion": "x", "correct": i % 2, "answer": str(i % 2)} for i in range(4)]
    for ending in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"run.{ending}"
        write_rows(path, rows)
        table = load_samples(path)
        assert correct(table) == {"a": [False, True, False, True]}
        assert answers(table) == ["0", "1", "0", "1"]
        assert table.label == "run"
        assert table.settings["format"] == "plain"


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = write(
        tmp_path / "run.jsonl",
        [{"q": 1, "said": "x", "points": 0.7, "final": "3"}, {"q": 2, "said": "y", "points": 0, "final": None}],
    )
    with pytest.raises(
        DataError, match=r"not recognised; found the columns q, said, points, final\. Looked for: unsharpen"
    ) as caught:
        load_samples(path)
    assert all(name in str(caught.value) for name in FORMATS)
    names = {"problem_column": "q", "completion_column": "said", "correct_column": "points", "answer_column": "final"}
    table = load_samples(path, format="plain", threshold=0.5, label="mine", **names)
    assert correct(table) == {"1": [True], "2": [False]}
    assert (answers(table), table.label) == (["3", None], "mine")
    with pytest.raises(DataError, match="has no column 'nope'; found q, said"):
        load_samples(path, format="plain", problem_column="nope")
    with pytest.raises(DataError, match="has no column for the correct"):
        load_samples(path, format="plain", problem_column="q")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"problem": "a", "correct": 1}, {"problem": "b"}], "line 2: lacks the columns correct"),
        ([{"problem": "a", "correct": 1}, {"problem": None, "correct": 1}], "line 2: `problem` must name the problem"),
        (
            [{"problem": "a", "correct": 1, "task": "s"}, {"problem": "b", "correct": 1, "task": "t"}],
            "found 't' after 's'",
        ),
        ([{"problem": "a", "correct": 1, "sample_id": "x"}] * 2, "sample x of 'a' comes again"),
        ([{"problem": "a", "correct": 1, "logprob": "low"}], "line 1: `logprob` must be a number; found 'low'"),
        ([{"problem": "a", "correct": 1, "logprob": 10**400}], "line 1: `logprob` must be a number that a float can"),
        ([{"problem": "a", "correct": 1, "num_tokens": 10**30}], "line 1: `num_tokens` must be a whole number from 0"),
        ([{"problem": "a", "correct": 1, "multiplicity": 1e13}], "line 1: `multiplicity` must be a whole number"),
        ([{"problem": "a", "correct": 1, "answer": 3}, {"problem": "a", "answer": 3}], "lacks the columns correct"),
        ([{"problem": float("nan"), "correct": 1}], "line 1: `problem` must name the problem; found nan"),
    ],
)
def test_bad_plain_rows(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_samples(write(tmp_path / "run.jsonl", rows))


# ---------------------------------------------------------------------------------------------- grade anew


def test_countdown_rows_are_graded_anew(tmp_path: Path) -> None:
    right, same, wrong = (f"so <answer>{text}</answer>" for text in ("(3+5)*3", "3*(5+3)", "3+5+3"))
    expected = {"3,3,5=24": [True, True, False]}
    verl = [dump("p", output=t, gts={"numbers": [3, 5, 3], "target": 24}, score=0.1) for t in (right, same, wrong)]
    plain = [
        {"problem": "p", "completion": t, "correct": "unknown", "nums": [5, 3, 3], "target": 24}
        for t in (right, same, wrong)
    ]
    ours = [own("3,3,5=24", i, completion=t) for i, t in enumerate((right, same, wrong))]
    log = [
        harness(doc={"nums": [3, 3, 5], "target": 24}, resps=[[right, same, wrong]], metrics=["f1", "x"], f1=0.3, x=1)
    ]
    details = newer(metric={"avg@n:n=3": 0.0}, model_response={"text": [right, same, wrong]})
    details["doc"]["specific"] = {"numbers": [3, 5, 3], "target": 24}
    write_rows(tmp_path / "d.parquet", [details])
    for name, rows in (("v", verl), ("p", plain), ("o", ours), ("l", log), ("d", None)):
        path = tmp_path / "d.parquet" if rows is None else write(tmp_path / f"{name}.jsonl", rows)
        table = load_samples(path, task="countdown")
        assert correct(table) == expected, name
        codes = table.answers.tolist()
        assert codes[0] == codes[1] != codes[2]
        assert table.reasons == ("correct", "correct", "wrong_value")
        assert table.multiplicity is not None
        assert table.multiplicity.tolist() == [1]
        assert table.settings["notes"] == ("graded anew with the task countdown, answer format tags",)


def test_grading_anew_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [own()])
    with pytest.raises(DataError, match="line 1: CountDown needs the numbers and the target"):
        load_samples(path, task="countdown")
    with pytest.raises(UnknownNameError, match="graded anew for the task countdown; found 'x'"):
        load_samples(path, task="x")
    with pytest.raises(DataError, match="line 1: nums must hold integers"):
        load_samples(write(tmp_path / "t.jsonl", [own(nums=[1.5, 2], target=3)]), task="countdown")
    bare = write(tmp_path / "u.jsonl", [{"problem": "3,5=8", "correct": 1}])
    with pytest.raises(DataError, match="no completion of its own"):
        load_samples(bare, task="countdown")


# --------------------------------------------------------------------------------------------- recognition


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a file or folder of samples; there is none"):
        load_samples(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"expected a folder with samples\.jsonl .* found none of these"):
        load_samples(tmp_path)
    with pytest.raises(DataError, match="found none of verl"):
        load_samples(tmp_path, format="verl")
    (tmp_path / "x.txt").write_text("x", "utf-8")
    with pytest.raises(DataError, match=r"must end in \.jsonl, \.json, \.csv, \.parquet; found '\.txt'"):
        load_samples(tmp_path / "x.txt")
    with pytest.raises(UnknownNameError, match="format must be one of unsharpen, lm-eval, lighteval, verl, plain"):
        load_samples(tmp_path, format="helm")


def test_an_option_without_use_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "20.jsonl", [dump()])
    with pytest.raises(InputError, match="the format verl has no use for filter"):
        load_samples(path, filter="x")


def test_a_format_may_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [own("p", 0), own("p", 1, correct=False)])
    assert correct(load_samples(path, format="plain")) == {"p": [True, False]}
    with pytest.raises(DataError, match="needs the columns input, output, score"):
        load_samples(path, format="verl")
