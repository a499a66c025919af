"""Runs of one base stay together: the same weights, problems and sampling, whatever else differs between them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.fake import FakeTrain, Heard

from unsharpen.comparison.cells import _WITHOUT_A_SET, base_differences
from unsharpen.comparison.results import load_results
from unsharpen.comparison.spec import Study, read_study
from unsharpen.comparison.study import How, plan_study, run_study
from unsharpen.errors import InputError
from unsharpen.tasks import CountDown, MathTask, task_names
from unsharpen.training.config import RunConfig


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"old")
    return folder


def study(model: Path, *methods: str, tune: dict[str, Any] | None = None, **settings: Any) -> Study:
    settings = {"eval_samples": 16, "eval_every": 0, "model": str(model), **settings}
    tuning = {} if tune is None else {"tune": {"steps": 3, "max_k": 4, **tune}}
    return read_study({"methods": dict.fromkeys(methods), "seeds": 1, "steps": 5, "settings": settings, **tuning})


def how(train: FakeTrain, **options: Any) -> How:
    return How(train=train, check=lambda _: None, listener=Heard(), **options)


def change(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"new")


@pytest.mark.parametrize("noted", [True, False])
def test_other_weights_have_an_evaluation_of_their_own(model: Path, tmp_path: Path, noted: bool) -> None:
    root, train = tmp_path / "root", FakeTrain(weights=noted)
    run_study(study(model, "grpo", "rloo"), root, how(train))
    change(model)
    shutil.move(root / "results", tmp_path / "away")  # as a refusal says
    train = FakeTrain(weights=noted)
    assert run_study(study(model, "grpo", "rloo"), root, how(train))
    assert train.bases[0] is None
    assert len(list((root / "base").iterdir())) == 2
    assert train.bases[1] in (root / "base").iterdir()


def test_an_older_evaluation_of_the_base_goes_on(model: Path, tmp_path: Path) -> None:
    run_study(study(model, "grpo", "rloo"), tmp_path / "root", how(FakeTrain()))
    (folder,) = (tmp_path / "root" / "base").iterdir()
    older = folder.rename(folder.with_name(folder.name.partition("-")[0]))
    shutil.rmtree(tmp_path / "root" / "results")
    train = FakeTrain(weights=True)
    run_study(study(model, "grpo"), tmp_path / "root", how(train))
    assert train.bases == [older]


def test_unfinished_runs_and_tuning_of_other_weights_are_refused(model: Path, tmp_path: Path) -> None:
    train = FakeTrain(stop=("grpo", 0, 2), weights=True)
    assert not run_study(study(model, "grpo"), tmp_path / "one", how(train))
    tuned = study(model, "grpo", tune={})
    run_study(tuned, tmp_path / "two", how(FakeTrain(weights=True)))
    shutil.rmtree(tmp_path / "two" / "results")
    change(model)
    train = FakeTrain(weights=True)
    with pytest.raises(InputError, match=r"work/results/grpo/seed-0 belongs to another comparison: .* in weights: "):
        run_study(study(model, "grpo"), tmp_path / "one", how(train))
    with pytest.raises(InputError, match=r"tuning/grpo/\S+ belongs to another comparison: .* in weights: "):
        run_study(tuned, tmp_path / "two", how(train))
    assert train.steps == []


def test_a_record_that_was_left_half_written_is_no_hindrance(model: Path, tmp_path: Path) -> None:
    train = FakeTrain(stop=("grpo", 0, 2), weights=True)
    assert not run_study(study(model, "grpo"), tmp_path / "root", how(train))
    half = tmp_path / "root" / "work" / "results" / "grpo" / "seed-0.record"
    half.mkdir()
    (half / "config.json").write_text('{"mod')
    assert run_study(study(model, "grpo"), tmp_path / "root", how(train))


def test_runs_of_other_weights_are_not_taken_over(model: Path, tmp_path: Path) -> None:
    run_study(study(model, "grpo"), tmp_path / "one", how(FakeTrain(weights=True)))
    train = FakeTrain(weights=True)
    run_study(study(model, "grpo"), tmp_path / "two", how(train, elsewhere=tmp_path / "one"))
    assert train.steps == []
    change(model)
    run_study(study(model, "grpo"), tmp_path / "three", how(train, elsewhere=tmp_path / "one"))
    assert len(train.steps) == 5


def test_what_does_not_touch_the_base_may_differ(model: Path, tmp_path: Path) -> None:
    run_study(study(model, "grpo"), tmp_path / "root", how(FakeTrain(weights=True)))
    other = study(model, "rloo", lora={"r": 8}, num_train=64)
    assert run_study(other, tmp_path / "root", how(FakeTrain(weights=True)))
    assert len(load_results(tmp_path / "root").arms) == 2


@pytest.mark.parametrize(
    ("common", "change", "differs"),
    [
        ({}, {"num_train": 9, "lora": {"r": 8}, "seed": 3}, []),
        ({}, {"problems": {"sizes": [3]}}, ["problems"]),
        ({}, {"trl": {"top_p": 0.5, "beta": 0.1}}, ["sampling"]),
        ({}, {"data": "a.jsonl"}, ["problems", "data"]),
        ({"data": "a.jsonl"}, {"num_train": 9}, ["num_train"]),  # some are set apart, of those that are read
        ({"data": "a.jsonl"}, {"problems": {"sizes": [3]}}, []),
        ({"eval_data": "e.jsonl"}, {"data": "a.jsonl", "num_train": 9, "problems": {"sizes": [3]}}, []),
        ({"eval_data": "e.jsonl"}, {"eval_data": "f.jsonl"}, ["eval_data"]),
        ({"task": "aime24", "model": "m", "data": "a"}, {"data": "b", "num_train": 9, "format_bonus": 0.1}, []),
        ({"task": "math", "model": "m", "data": "a"}, {"data": "b", "num_eval": 9}, ["data", "num_eval"]),
        ({"task": "math", "model": "m", "data": "a"}, {"model": "n"}, ["model"]),
    ],
)
def test_settings_that_decide_about_an_evaluation_of_the_base(
    common: dict[str, Any], change: dict[str, Any], differs: list[str]
) -> None:
    old, new = (RunConfig(**values).as_dict() for values in (common, {**common, **change}))
    assert {line.partition(":")[0] for line in base_differences(old, new)} == set(differs)


def test_the_tasks_without_a_set_of_their_own() -> None:
    named = [name for name in task_names() if name != CountDown.name and MathTask(name=name).source is not None]
    assert {*task_names()} - {*named} == {*_WITHOUT_A_SET}


def test_a_tuned_study_is_refused_before_its_tuning(model: Path, tmp_path: Path) -> None:
    run_study(study(model, "grpo"), tmp_path, how(FakeTrain()))
    train, tuned = FakeTrain(), study(model, "grpo", "rloo", tune={}, num_eval=7)
    for start in (plan_study, run_study):
        with pytest.raises(InputError, match=r"belongs to another comparison: .* num_eval: 128 -> 7"):
            start(tuned, tmp_path, how(train))
    assert train.steps == []
