"""``unsharpen data countdown``: what it writes, and that a run can read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.command import lines, train, unsharpen

from unsharpen.tasks import CountDown
from unsharpen.tasks.countdown import require_disjoint

TASK = CountDown()
EASY = ("--size", "3", "--numbers", "1", "10", "--targets", "1", "30")


def written(path: Path, *arguments: object) -> list[tuple[tuple[int, ...], int]]:
    done = unsharpen("data", "countdown", "--output", path, *EASY, *arguments)
    assert done.code == 0, done.err
    problems = TASK.load(str(path))
    assert done.out == f"{len(problems)} problems in {path}\n"
    return [(p.nums, p.target) for p in problems]


def test_all_formats_hold_the_same_problems(tmp_path: Path) -> None:
    jsonl, csv, parquet = (written(tmp_path / f"a.{end}", "--num", 20) for end in ("jsonl", "csv", "parquet"))
    assert jsonl == csv == parquet
    assert len(set(jsonl)) == 20
    assert lines(tmp_path / "a.jsonl")[0].keys() == {"nums", "target"}


def test_the_seed_decides(tmp_path: Path) -> None:
    first = written(tmp_path / "a.jsonl", "--num", 10)
    assert written(tmp_path / "b.jsonl", "--num", 10) == first
    assert written(tmp_path / "c.jsonl", "--num", 10, "--seed", 1) != first


def test_the_options_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    options = ["--size", 2, "--size", 3, "--numbers", 2, 9, "--targets", 5, 7, "--multiplicity", 1, 2]
    assert unsharpen("data", "countdown", "--output", path, "--num", 25, *options).code == 0
    problems = TASK.load(str(path))
    assert {len(p.nums) for p in problems} == {2, 3}
    for problem in problems:
        assert all(2 <= n <= 9 for n in problem.nums)
        assert 5 <= problem.target <= 7
        assert 1 <= len(TASK.solutions(problem)) <= 2


def test_splits_never_overlap(tmp_path: Path) -> None:
    for seed, split in ((1, "train"), (2, "eval")):
        written(tmp_path / f"{split}.jsonl", "--num", 60, "--split", split, "--seed", seed)
    train_problems, evaluation = (TASK.load(str(tmp_path / f"{split}.jsonl")) for split in ("train", "eval"))
    require_disjoint(train_problems, evaluation)


def test_a_file_is_overwritten_by_force_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    before = written(path, "--num", 5)
    refused = unsharpen("data", "countdown", "--output", path, *EASY, "--num", 5, "--seed", 3)
    assert refused.code == 2
    assert [(p.nums, p.target) for p in TASK.load(str(path))] == before
    assert written(path, "--num", 5, "--seed", 3, "--force") != before


@pytest.mark.parametrize("end", ["jsonl", "csv", "parquet"])
def test_a_run_trains_on_the_files(tmp_path: Path, end: str) -> None:
    training, evaluation = tmp_path / f"train.{end}", tmp_path / f"eval.{end}"
    written(training, "--num", 12, "--split", "train")
    written(evaluation, "--num", 6, "--split", "eval")
    train(tmp_path / "run", "--data", training, "--eval-data", evaluation)
    expected = [p.key for p in TASK.load(str(evaluation)) for _ in range(4)]
    assert [row["problem"] for row in lines(tmp_path / "run" / "samples" / "step-000000.jsonl")] == expected
    assert lines(tmp_path / "run" / "evaluation.jsonl")[-1]["num_problems"] == 6


def test_evaluation_problems_are_set_apart_from_one_file(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsharpen.training import run

    seen: list[set[str]] = []
    load = run.load_problems

    def spy(*arguments: object, **options: object) -> object:
        problems = load(*arguments, **options)  # type: ignore[arg-type]
        seen.extend({p.key for p in side} for side in (problems.train, problems.evaluation))
        return problems

    monkeypatch.setattr(run, "load_problems", spy)
    train(tmp_path / "run", "--data", data)
    training, evaluation = seen
    assert training.isdisjoint(evaluation)
    assert len(evaluation) == 8
    assert len(training) == 32
    assert {row["problem"] for row in lines(tmp_path / "run" / "samples" / "step-000002.jsonl")} == evaluation
