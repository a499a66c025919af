"""Logs of each trainer give the same columns; what is malformed is said with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unsharpen.diagnosis import TrainingLog, read_log
from unsharpen.errors import DataError

ROWS: list[dict[str, Any]] = [{"step": s, "reward": s / 10, "entropy": 1.0 - s / 10} for s in range(1, 6)]


def jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def check(log: TrainingLog, key: str = "reward") -> None:
    assert log.steps.tolist() == [1, 2, 3, 4, 5]
    assert log.columns[key].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_our_run_folder(tmp_path: Path) -> None:
    jsonl(tmp_path / "metrics.jsonl", ROWS)
    check(read_log(tmp_path))


@pytest.mark.parametrize("where", ["", "checkpoint-5"])
def test_the_state_of_a_hugging_face_trainer(tmp_path: Path, where: str) -> None:
    history = [*ROWS, {"step": 5, "train_runtime": 12.0, "train_loss": 0.1}]
    jsonl(tmp_path / where / "trainer_state.json", [{"global_step": 5, "log_history": history}])
    if where:
        jsonl(tmp_path / "checkpoint-40" / "other.json", ["{}"])
        jsonl(tmp_path / "checkpoint-4" / "trainer_state.json", [{"log_history": ROWS[:4]}])
    check(read_log(tmp_path))
    check(read_log(tmp_path / where / "trainer_state.json"))


def test_verl_and_wandb_lines(tmp_path: Path) -> None:
    nested = [{"step": r["step"], "data": {"critic/score/mean": r["reward"]}} for r in ROWS]
    check(read_log(jsonl(tmp_path / "verl.jsonl", nested)), "critic/score/mean")
    flat = [{"training/global_step": r["step"], "critic": {"score": {"mean": r["reward"]}}} for r in ROWS]
    check(read_log(jsonl(tmp_path / "flat.jsonl", flat)), "critic/score/mean")
    history = [{"_step": r["step"], "train/reward": r["reward"], "note": "x", "ok": True} for r in ROWS]
    log = read_log(jsonl(tmp_path / "history.json", [history]))
    check(log, "train/reward")
    assert set(log.columns) == {"train/reward"}


def test_a_csv_export(tmp_path: Path) -> None:
    lines = ['"Step","my - run - critic/score/mean","my - run - critic/score/mean__MIN"']
    lines += [f'"{r["step"]}","{r["reward"]}",""' for r in ROWS]
    path = tmp_path / "wandb.csv"
    path.write_text("\ufeff" + "\n".join(lines), "utf-8")
    log = read_log(path)
    check(log, "critic/score/mean")
    assert len(log.columns) == 1


def test_an_export_of_several_runs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wandb.csv"
    path.write_text('"Step","a - x - reward","a - x - reward__MIN","b - reward","b - reward__MIN"\n1,0.5,0.4,0.7,0.6\n')
    with pytest.raises(DataError, match="must be of one run; found 2 columns of 'reward': a - x - reward, b - reward"):
        read_log(path)
    path.write_text("step,reward,reward\n1,0.5,0.7\n")
    with pytest.raises(DataError, match="found 2 columns of 'reward': reward, reward"):
        read_log(path)
    path.write_text('"Step","a - Step","a - reward","a - entropy",,\n1,1,0.5,0.7,,\n')  # one run; a step of its own
    assert set(read_log(path).columns) == {"reward", "entropy"}
    path.write_text('"Step","a - _step","b - _step","a - reward","b - entropy"\n1,1,1,0.5,0.7\n')
    with pytest.raises(DataError, match="found 2 columns of '_step'"):
        read_log(path)


def test_entries_of_one_step_are_merged_and_gaps_are_nan(tmp_path: Path) -> None:
    rows = [{"step": 2, "a": 1}, {"step": 1, "a": 5}, {"step": 2, "b": 3, "a": 2}, {"step": 3, "a": float("nan")}]
    log = read_log(jsonl(tmp_path / "m.jsonl", rows))
    np.testing.assert_array_equal(log.steps, [1, 2, 3])
    np.testing.assert_array_equal(log.columns["a"], [5, 2, np.nan])
    np.testing.assert_array_equal(log.columns["b"], [np.nan, 3, np.nan])


def test_a_torn_last_line_is_left_out_and_noted(tmp_path: Path) -> None:
    log = read_log(jsonl(tmp_path / "metrics.jsonl", [*ROWS, '{"step": 6, "rew']))
    check(log)
    assert log.notes == ("metrics.jsonl: the torn last line (6) was left out",)


DEEP = '{"step": 1, "a": ' + '{"a": ' * 900 + "1" + "}" * 901
HUGE = '{"step": 1, "a": 1' + "0" * 400 + "}"


def test_hostile_values_are_bounded(tmp_path: Path) -> None:
    log = read_log(jsonl(tmp_path / "m.jsonl", [DEEP, HUGE, {"step": 1, "b": 2}]))
    assert set(log.columns) == {"b"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.jsonl", "", ["at least one entry"]),
        ("m.jsonl", '{"step": 1, "a": 1}\n{"a": 2}\n', ["needs a step", "entry 2", "['a']"]),
        ("m.jsonl", '{"step": 1}\nnonsense\n{"step": 2}\n', ["line 2", "JSON"]),
        ("m.jsonl", "nonsense\n", ["line 1", "JSON"]),
        ("m.jsonl", "[1]\n", ["line 1", "object", "list"]),
        ("m.json", '{"loss": 1}', ["log_history"]),
        ("m.json", "[1]", ["log_history"]),
        ("m.json", "{", ["JSON"]),
        ("m.csv", "a,b\n1,2\n", ["needs a step"]),
        ("m.csv", "step,a\n", ["at least one entry"]),
        ("m.parquet", "x", [".csv", "m.parquet"]),
    ],
)
def test_a_bad_file(tmp_path: Path, name: str, text: str, words: list[str]) -> None:
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(DataError) as error:
        read_log(tmp_path / name)
    for word in words:
        assert word in str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_log(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("x", "utf-8")
    with pytest.raises(DataError, match=r"holds notes\.txt"):
        read_log(tmp_path)
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="UTF-8"):
        read_log(tmp_path / "m.csv")
