"""Imports of other tools: rows in the schemas of lm-evaluation-harness, lighteval and verl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.exports import answers, correct, dump, harness, newer, older, write

from unsharpen.errors import DataError
from unsharpen.evaluation.imports import load_samples
from unsharpen.tasks.hub import write_rows

# ------------------------------------------------------------------------------------ lm-evaluation-harness


def test_a_log_of_the_harness(tmp_path: Path) -> None:
    rows = [
        harness(0),
        harness(1, exact_match=0.0, filtered_resps=["4"]),
        harness(2, exact_match=0, filtered_resps=["[invalid]"]),
    ]
    table = load_samples(write(tmp_path / "samples_gsm8k_2025-01-02T03-04-05.678.jsonl", rows))
    assert correct(table) == {"0": [True], "1": [False], "2": [False]}
    assert answers(table) == ["3", "4", None]
    assert table.completions == ("so 3",) * 3
    assert table.problem_texts == ("question 0?", "question 1?", "question 2?")
    assert (table.settings["task"], table.settings["metric"]) == ("gsm8k", "exact_match")


def test_runs_of_the_harness_in_one_folder_are_samples_of_the_same_problems(tmp_path: Path) -> None:
    for day, right in ((2, 1.0), (3, 0.0)):
        write(
            tmp_path / "model" / f"samples_gsm8k_2025-01-0{day}T03-04-05.6.jsonl",
            [harness(d, exact_match=right) for d in (0, 1)],
        )
    assert correct(load_samples(tmp_path)) == {"0": [True, False], "1": [True, False]}
    write(tmp_path / "model" / "samples_math_2025-01-04T03-04-05.6.jsonl", [harness()])
    with pytest.raises(DataError, match="one task at a time; found 'math' after 'gsm8k'"):
        load_samples(tmp_path)


def test_models_of_the_harness_are_not_one(tmp_path: Path) -> None:
    name = "samples_gsm8k_2025-01-02T03-04-05.6.jsonl"
    for model, right in (("base", 0.0), ("trained", 1.0)):
        write(tmp_path / model / name, [harness(d, exact_match=right) for d in (0, 1)])
    with pytest.raises(DataError, match=r"the files of one run folder at a time; found .*base, .*trained") as caught:
        load_samples(tmp_path)
    assert f"hint: name one: {tmp_path / 'base'} (" in str(caught.value)
    assert correct(load_samples(tmp_path / "trained")) == {"0": [True], "1": [True]}
    with pytest.raises(DataError, match="line 1: `doc_id` must name the problem; found None"):
        load_samples(write(tmp_path / "s.jsonl", [harness(doc_id=None)]))


def test_filters_of_the_harness(tmp_path: Path) -> None:
    rows = [harness(0), harness(0, filter="flexible-extract", exact_match=0.0)]
    path = write(tmp_path / "s.jsonl", rows)
    with pytest.raises(DataError, match=r"several filters \(flexible-extract, strict-match\)"):
        load_samples(path)
    assert correct(load_samples(path, filter="strict-match")) == {"0": [True]}
    assert correct(load_samples(path, filter="flexible-extract")) == {"0": [False]}
    with pytest.raises(DataError, match="no row has the filter 'x'; found flexible-extract, strict-match"):
        load_samples(path, filter="x")


def test_repeats_of_the_harness(tmp_path: Path) -> None:
    three = {"resps": [["so 3", "so 4", "so 3."]]}
    listed = write(tmp_path / "a.jsonl", [harness(**three, filtered_resps=[["3", "4", "3"]], exact_match=[1, 0, 1])])
    assert correct(load_samples(listed)) == {"0": [True, False, True]}
    assert answers(load_samples(listed)) == ["3", "4", "3"]
    against_target = write(tmp_path / "b.jsonl", [harness(**three, filtered_resps=[["3", "4", "3"]], exact_match=1.0)])
    table = load_samples(against_target)
    assert correct(table) == {"0": [True, False, True]}
    assert "each is held against the target" in table.settings["notes"][0]
    voted = write(tmp_path / "c.jsonl", [harness(**three, filter="maj@3", filtered_resps=["3"], exact_match=1.0)])
    with pytest.raises(DataError, match="`exact_match` has one value for 3 responses: which of them are right"):
        load_samples(voted)
    # the metric says wrong although the first answer is the target as text: it judged something else
    other = write(tmp_path / "d.jsonl", [harness(**three, filtered_resps=[["3", "4", "3"]], exact_match=0.0)])
    with pytest.raises(DataError, match="one value for 3 responses"):
        load_samples(other)


def test_multiple_choice_of_the_harness_has_no_texts(tmp_path: Path) -> None:
    row = harness(metrics=["acc", "acc_norm"], acc=1.0, acc_norm=0.0, resps=[[["-1.5", "False"]], [["-2.5", "True"]]])
    row["filtered_resps"] = [["-1.5", "False"], ["-2.5", "True"]]
    path = write(tmp_path / "s.jsonl", [row])
    table = load_samples(path)  # one response, whatever the number of choices
    assert correct(table) == {"0": [True]}
    assert table.completions is None


def test_metrics_of_the_harness(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [harness(metrics=["f1", "rouge"], f1=0.7, rouge=0.2)])
    with pytest.raises(DataError, match=r"which metric says whether a response is right\? found f1, rouge"):
        load_samples(path)
    with pytest.raises(DataError, match=r"`f1` must be true, false, 0 or 1; found '0\.7'"):
        load_samples(path, metric="f1")
    assert correct(load_samples(path, metric="f1", threshold=0.5)) == {"0": [True]}
    with pytest.raises(DataError, match="has no metric 'em'; it has f1, rouge"):
        load_samples(path, metric="em")


# ------------------------------------------------------------------------------------------------ lighteval


@pytest.mark.parametrize(
    "rows",
    [
        [newer()],
        [{f"__{name}__": value for name, value in newer().items()}],
        [{name: str(value) for name, value in newer().items()}],  # nested columns forced to text
        [older()],
        [{name: value if isinstance(value, str) else str(value) for name, value in older().items()}],
    ],
)
def test_details_of_lighteval(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "details_lighteval|aime24|0_2025-01-02T03-04-05.678.parquet"
    write_rows(path, rows)
    for source in (path, tmp_path):
        table = load_samples(source)
        assert correct(table) == {"2+1?": [True]}
        assert answers(table) == ["3"]
        assert table.completions == ("so 3",)
        assert (table.settings["format"], table.settings["task"]) == ("lighteval", "lighteval|aime24|0")


def test_models_of_lighteval_are_not_one(tmp_path: Path) -> None:
    for model, day in (("org/base", 2), ("org/base", 3), ("org/trained", 3), ("local", 3)):
        date = f"2025-01-0{day}T03-04-05.678"
        path = tmp_path / "details" / model / date / f"details_lighteval|aime24|0_{date}.parquet"
        path.parent.mkdir(parents=True)
        write_rows(path, [newer(metric={"extractive_match": float(model != "org/base")})])
    for folder in (tmp_path, tmp_path / "details" / "org"):
        with pytest.raises(DataError, match=r"of one run folder at a time; found .*/org/base, .*/org/trained"):
            load_samples(folder)
    base = tmp_path / "details" / "org" / "base"
    assert correct(load_samples(base)) == {"2+1?": [False, False]}  # two runs of one model
    assert correct(load_samples(base / "2025-01-02T03-04-05.678")) == {"2+1?": [False]}
    assert correct(load_samples(tmp_path / "details" / "local")) == {"2+1?": [True]}


@pytest.mark.parametrize("name", ["pass@k:k=1&n=4", "math_pass@1:4_samples", "avg@n:n=4"])
def test_a_share_of_lighteval_gives_counts(tmp_path: Path, name: str) -> None:
    response = {"text": ["a", "b", "c", "d"]}
    write_rows(tmp_path / "d.parquet", [newer(metric={name: 0.75, "pass@k:k=4&n=4": 1.0}, model_response=response)])
    table = load_samples(tmp_path / "d.parquet")
    assert (table.num_samples.tolist(), table.num_correct.tolist()) == ([4], [3])
    assert table.completions is None
    assert "how many of a problem's samples are right, not which" in table.settings["notes"][0]
    write_rows(tmp_path / "d.parquet", [newer(metric={name: 0.7}, model_response=response)])
    with pytest.raises(DataError, match=r"must be a share of 4 samples; found 0\.7"):
        load_samples(tmp_path / "d.parquet")


def test_lighteval_refuses(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    write_rows(path, [newer(metric={"extractive_match": 1.0}, model_response={"text": ["a", "b"]})])
    with pytest.raises(DataError, match="one value for 2 samples, and is no share"):
        load_samples(path)
    write_rows(path, [newer(metric={"f1": 1.0, "bleu": 0.3})])
    with pytest.raises(DataError, match="row 1: which metric says whether a sample is right"):
        load_samples(path)
    write_rows(path, [newer(doc={"choices": ["3"], "gold_index": [0]})])
    with pytest.raises(DataError, match="row 1: `query` must name the problem; found None"):
        load_samples(path)
    write_rows(path, [newer(doc="open(", metric="{}", model_response="{}")])
    with pytest.raises(DataError, match="row 1: `doc` must be nested or its text"):
        load_samples(path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match="expected a Parquet file"):
        load_samples(path)


# ----------------------------------------------------------------------------------------------------- verl


def test_a_dump_of_verl(tmp_path: Path) -> None:
    rows = [dump(acc=True, pred="3.0"), dump(acc=False, pred="4", score=-1.0), dump("q?", acc=False, pred="[INVALID]")]
    table = load_samples(write(tmp_path / "20.jsonl", rows))
    assert correct(table) == {"2+1?": [True, False], "q?": [False]}
    assert answers(table) == ["3.0", "4", None]
    assert (table.settings["step"], table.settings["metric"]) == (20, "acc")
    assert correct(load_samples(write(tmp_path / "20.jsonl", [dump(), dump(score=0.0)]))) == {"2+1?": [True, False]}


def test_verl_refuses(tmp_path: Path) -> None:
    path = write(tmp_path / "20.jsonl", [dump(), dump(score=0.1)])
    with pytest.raises(DataError, match=r"line 2: `score` must be true, false, 0 or 1; found '0\.1'"):
        load_samples(path)
    assert correct(load_samples(path, threshold=1.0)) == {"2+1?": [True, False]}
    with pytest.raises(DataError, match="has no column 'reward'"):
        load_samples(path, metric="reward")
    with pytest.raises(DataError, match="line 2: one step a file; found step 40 after 20"):
        load_samples(write(tmp_path / "20.jsonl", [dump(), dump(step=40)]))
    write(tmp_path / "9.jsonl", [dump()])
    with pytest.raises(DataError, match="one step is needed; found the steps 9, 20"):
        load_samples(tmp_path)
