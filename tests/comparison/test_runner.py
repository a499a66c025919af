"""Cells are computed once, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.fake import FakeTrain, Heard

from unsharpen.comparison.cells import result_cells
from unsharpen.comparison.runner import compute
from unsharpen.comparison.spec import Study, read_study
from unsharpen.comparison.store import Store
from unsharpen.comparison.study import How, run_study
from unsharpen.errors import InputError
from unsharpen.evaluation.identity import identify_weights

SETTINGS = {"eval_samples": 16, "eval_every": 0}


def study(*methods: str, seeds: int = 2, **values: Any) -> Study:
    return read_study({"methods": dict.fromkeys(methods), "seeds": seeds, "steps": 5, "settings": SETTINGS, **values})


def run(what: Study, root: Path, train: FakeTrain, **options: Any) -> tuple[bool, list[str]]:
    heard = Heard()
    done = run_study(what, root, How(train=train, check=lambda _: None, listener=heard, **options))
    return done, heard.lines


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and "work" not in p.parts}


def test_a_comparison_leaves_compact_records(tmp_path: Path) -> None:
    train = FakeTrain()
    done, lines = run(study("grpo", "rloo"), tmp_path / "c", train)
    assert done
    names = ["results/grpo/seed-0", "results/rloo/seed-0", "results/grpo/seed-1", "results/rloo/seed-1"]
    assert lines == ["0/4", *(f"{word} {name}" for name in names for word in ("started", "done"))]
    kept = {f"{name}/{file}.json{'' if file == 'config' else 'l'}" for name in names for file in ("config", "metrics")}
    kept |= {f"{name}/evaluation.jsonl" for name in names}
    base = {name for name in files(tmp_path / "c") if name.startswith("base/")}
    assert files(tmp_path / "c") == {*kept, *base, "study.json"}
    assert len(base) == 1
    assert not list((tmp_path / "c" / "work").rglob("config.json"))
    row = json.loads((tmp_path / "c" / names[0] / "metrics.jsonl").read_text().splitlines()[0])
    assert "lr" not in row  # no main column
    config = json.loads((tmp_path / "c" / names[0] / "config.json").read_text())
    assert config["command"].startswith("unsharpen train --method grpo --eval-samples 16 --eval-every 0 --set")
    assert str(tmp_path) not in json.dumps(config)


def test_no_cell_is_computed_twice(tmp_path: Path) -> None:
    train = FakeTrain()
    run(study("grpo"), tmp_path, train)
    before = list(train.steps)
    assert run(study("grpo"), tmp_path, train) == (True, ["2/2"])
    assert train.steps == before
    run(study("grpo", "rloo", seeds=1), tmp_path, train)  # another comparison in the same folder
    assert train.steps[len(before) :] == [("rloo", 0, step) for step in range(1, 6)]


def test_a_finished_cell_is_known_by_its_content(tmp_path: Path) -> None:
    train = FakeTrain()
    run(study("grpo", seeds=1), tmp_path, train)
    (tmp_path / "results" / "grpo").rename(tmp_path / "results" / "older-name")
    record = tmp_path / "results" / "older-name" / "seed-0" / "config.json"
    config = json.loads(record.read_text())
    del config["max_minutes"]  # a setting that is younger than the record
    record.write_text(json.dumps({**config, "versions": {"torch": "1"}}))
    assert run(study("grpo", seeds=1), tmp_path, train) == (True, ["1/1"])


def test_the_base_is_evaluated_once(tmp_path: Path) -> None:
    train = FakeTrain()
    run(study("grpo", "rloo"), tmp_path, train)
    assert train.bases[0] is None
    (folder,) = set(train.bases[1:])
    assert folder is not None
    rows = {path.read_text().splitlines()[0] for path in tmp_path.glob("results/*/*/evaluation.jsonl")}
    assert rows == {(folder / "evaluation.jsonl").read_text().strip()}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trl": {"temperature": 1.2}}, "sampling: {} -> {'temperature': 1.2}"),
        ({"num_eval": 7}, "num_eval: "),
    ],
)
def test_another_base_does_not_go_into_the_folder(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    train = FakeTrain()
    run(study("grpo", seeds=1), tmp_path, train)
    with pytest.raises(InputError, match="belongs to another comparison") as caught:
        run(study("rloo", seeds=1, settings={**SETTINGS, **changed}), tmp_path, train)
    assert words in str(caught.value)
    assert train.bases == [None]  # nothing was trained


def test_a_cell_that_fails_is_noted_and_the_others_go_on(tmp_path: Path) -> None:
    train = FakeTrain(fail={"rloo": "groups of 1"}, fail_at=3)
    done, lines = run(study("rloo", "grpo", seeds=1), tmp_path, train)
    assert done
    assert lines[2] == "failed results/rloo/seed-0: groups of 1"
    assert lines[-1] == "done results/grpo/seed-0"
    record = json.loads((tmp_path / "failures/results/rloo/seed-0.json").read_text())
    assert (record["reason"], record["step"]) == ("groups of 1", 2)

    again = FakeTrain()
    assert run(study("rloo", "grpo", seeds=1), tmp_path, again) == (True, ["2/2"])  # not tried again by itself
    assert again.steps == []
    done, lines = run(study("rloo", "grpo", seeds=1), tmp_path, again, retry_failed=True)
    assert lines == ["1/2", "started results/rloo/seed-0", "done results/rloo/seed-0"]
    assert again.steps == [("rloo", 0, 3), ("rloo", 0, 4), ("rloo", 0, 5)]  # from where it had come to
    assert not (tmp_path / "failures/results/rloo/seed-0.json").exists()


def test_ctrl_c_leaves_what_the_next_start_continues(tmp_path: Path) -> None:
    train = FakeTrain(stop=("grpo", 1, 3))
    assert not run(study("grpo"), tmp_path, train)[0]
    assert run(study("grpo"), tmp_path, train)[0]
    assert train.steps == [("grpo", seed, step) for seed in (0, 1) for step in range(1, 6)]


def test_a_stop_at_the_end_of_a_cell_stops_the_comparison(tmp_path: Path) -> None:
    class AtTheEnd(FakeTrain):
        def __call__(self, *args: Any, **options: Any) -> Any:
            result = super().__call__(*args, **options)
            result.interrupted = True
            return result

    assert not run(study("grpo"), tmp_path, AtTheEnd())[0]
    assert {path.name for path in (tmp_path / "results/grpo").iterdir()} == {"seed-0"}


def test_an_interrupt_outside_a_step_is_a_stop_too(tmp_path: Path) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    heard = Heard()
    assert not run_study(study("grpo"), tmp_path, How(train=interrupted, check=lambda _: None, listener=heard))
    assert not (tmp_path / "failures").exists()


class Killed(BaseException):
    """Stands for the end of the process."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


def die_at_the_last_file(path: Path, **_: Any) -> None:
    if path.name == "seed-0":
        raise Killed


@pytest.mark.parametrize(
    ("target", "instead"),
    [
        ("unsharpen.comparison.store._write_record", die),
        ("pathlib.Path.rename", die),
        ("unsharpen.comparison.store.shutil.rmtree", die_at_the_last_file),
    ],
)
def test_a_kill_while_a_record_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, instead: Any
) -> None:
    train = FakeTrain()
    with monkeypatch.context() as patch:
        patch.setattr(target, instead)
        with pytest.raises(Killed):
            run(study("grpo", seeds=1), tmp_path, train)
    done, _ = run(study("grpo", seeds=1), tmp_path, train)
    assert done
    assert train.steps == [("grpo", 0, step) for step in range(1, 6)]
    assert {path.name for path in (tmp_path / "results/grpo/seed-0").iterdir()} == {
        *("config.json", "metrics.jsonl", "evaluation.jsonl"),
    }
    assert not (tmp_path / "work/results/grpo/seed-0").exists()


def test_a_kill_before_the_run_has_said_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "work/results/grpo/seed-0/samples").mkdir(parents=True)
    assert run(study("grpo", seeds=1), tmp_path, FakeTrain())[0]


def test_keep_models(tmp_path: Path) -> None:
    run(study("grpo", seeds=1), tmp_path, FakeTrain(), keep_models=True)
    assert (tmp_path / "models/results/grpo/seed-0/config.json").exists()
    assert (tmp_path / "models/.gitignore").read_text() == "*\n"
    assert (tmp_path / "work/.gitignore").read_text() == "*\n"


def test_finished_runs_of_another_comparison_are_taken_over(tmp_path: Path) -> None:
    train = FakeTrain()
    run(study("grpo", seeds=1), tmp_path / "one", train)
    other = {"elsewhere": tmp_path / "one"}
    _, lines = run(study("grpo", seeds=2), tmp_path / "two", train, **other)
    assert lines == ["1/2", "started results/grpo/seed-1", "done results/grpo/seed-1"]
    assert [path.name for path in (tmp_path / "one/results/grpo").iterdir()] == ["seed-0"]
    _, lines = run(study("grpo", seeds=1, steps=4), tmp_path / "three", train, **other)  # it does not agree
    assert lines[0] == "0/1"


def test_another_configuration_in_the_folder_is_refused(tmp_path: Path) -> None:
    run(study("grpo", seeds=1), tmp_path, FakeTrain())
    other, train = study("grpo", seeds=1, learning_rates=[1e-4]), FakeTrain()
    with pytest.raises(InputError, match=r"holds another run.*differs in trl") as caught:
        run(other, tmp_path, train)
    assert caught.value.hint is not None
    assert train.steps == []


def test_another_configuration_that_is_unfinished_is_refused(tmp_path: Path) -> None:
    run(study("grpo", seeds=1), tmp_path, FakeTrain(stop=("grpo", 0, 2)))
    with pytest.raises(InputError, match=r"work.*holds another run"):
        run(study("grpo", seeds=1, learning_rates=[1e-4]), tmp_path, FakeTrain())


def test_foreign_files_and_unfinished_records_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "results/grpo/seed-0"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and holds no run"):
        run(study("grpo", seeds=1), tmp_path, FakeTrain())
    (folder / "notes.txt").unlink()
    run(study("grpo", seeds=1), tmp_path, FakeTrain())
    lines = (folder / "evaluation.jsonl").read_text().splitlines()
    (folder / "evaluation.jsonl").write_text(lines[0] + "\n")
    with pytest.raises(InputError, match="but not its end"):
        run(study("grpo", seeds=1), tmp_path, FakeTrain())


def test_what_the_trainer_would_refuse_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    def check(config: Any) -> None:
        if config.method == "rloo":
            raise InputError("`beta` belongs to the method", hint="leave it out")

    train = FakeTrain()
    with pytest.raises(InputError, match="rloo: `beta` belongs"):
        run_study(study("grpo", "rloo"), tmp_path / "c", How(train=train, check=check, listener=Heard()))
    assert not (tmp_path / "c").exists()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path).lock(), pytest.raises(InputError, match="another process is computing"):
        run(study("grpo"), tmp_path, FakeTrain())
    assert run(study("grpo"), tmp_path, FakeTrain())[0]


def test_jobs_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--jobs must be at least 1"):
        run(study("grpo"), tmp_path, FakeTrain(), jobs=0)


def test_the_reason_of_a_foreign_error_has_its_name(tmp_path: Path) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("CUDA out of\n memory")

    (cell,) = result_cells(study("grpo", seeds=1))
    store = Store(tmp_path)
    assert not compute(cell, store, train=broken, listener=Heard(), keep_model=False)
    assert store.failure(cell) == "RuntimeError: CUDA out of memory"


def test_other_weights_at_the_same_path_do_not_go_into_the_folder(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"old")
    settings, root = {**SETTINGS, "model": str(model)}, tmp_path / "comparison"
    run(study("grpo", seeds=1, settings=settings), root, FakeTrain())
    record = root / "results" / "grpo" / "seed-0" / "config.json"
    assert "weights" not in json.loads(record.read_text())  # as older runs
    run(study("rloo", seeds=1, settings=settings), root, FakeTrain())
    record.write_text(json.dumps({**json.loads(record.read_text()), "weights": identify_weights(str(model))}))
    run(study("dr-grpo", seeds=1, settings=settings), root, FakeTrain())
    (model / "model.safetensors").write_bytes(b"new")
    with pytest.raises(InputError, match=r"seed-0 belongs to another comparison: .* weights: digest:\w+ -> digest:\w+"):
        run(study("gspo", seeds=1, settings=settings), root, FakeTrain())
