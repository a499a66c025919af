"""The folder of a run: one process at a time, and what a failure leaves of it."""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unsharpen.errors import InputError
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import RunFolder, append_jsonl

CONFIG = RunConfig(method="grpo")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """Claimed; the folders above it are new too."""
    claimed = RunFolder(tmp_path / "a" / "run")
    claimed.claim(CONFIG, {}, resume=False)
    yield claimed
    claimed.close()


@pytest.mark.parametrize("resume", [False, True])
def test_a_second_process_is_refused(folder: RunFolder, resume: bool) -> None:
    words = "another process is training" if resume else "already holds this run"
    with pytest.raises(InputError, match=words):
        RunFolder(folder.path).claim(CONFIG, {}, resume=resume)
    folder.close()
    second = RunFolder(folder.path)
    second.claim(CONFIG, {}, resume=True)
    second.close()


def test_a_process_that_comes_while_another_claims_is_refused(tmp_path: Path) -> None:
    """The other one has the lock and has not yet said what it trains."""
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process is training"):
            RunFolder(tmp_path).claim(CONFIG, {}, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_another_process_wrote_in_between_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*_: Any) -> None:
        (tmp_path / "config.json").write_text(json.dumps(RunConfig(seed=5).as_dict()), "utf-8")

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    with pytest.raises(InputError, match="holds another run"):
        RunFolder(tmp_path).claim(CONFIG, {}, resume=False)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["seed"] == 5


def test_a_lock_is_no_content(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    folder = RunFolder(tmp_path)
    folder.claim(CONFIG, {}, resume=False)
    assert folder.config.exists()
    folder.close()


def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    folder = RunFolder(tmp_path)
    folder.claim(CONFIG, {}, resume=False)
    assert folder.config.exists()
    folder.close()


def test_a_claim_after_which_nothing_was_done_leaves_no_trace(folder: RunFolder, tmp_path: Path) -> None:
    (folder.path / "checkpoint-1").mkdir()  # not a whole one
    folder.take_over({"step": 0, "num_samples": 4})  # of another run, which still has it
    folder.release()
    assert list(tmp_path.iterdir()) == []


def evaluated(folder: RunFolder) -> None:
    append_jsonl(folder.evaluation, {"step": 0, "num_samples": 4})


def evaluated_after_another_run(folder: RunFolder) -> None:
    folder.take_over({"step": 0, "num_samples": 4})
    append_jsonl(folder.evaluation, {"step": 2, "num_samples": 4})


def made_a_step(folder: RunFolder) -> None:
    append_jsonl(folder.metrics, {"step": 1})


def saved(folder: RunFolder) -> None:
    checkpoint = folder.path / "checkpoint-1"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text("{}", "utf-8")


@pytest.mark.parametrize("work", [evaluated, evaluated_after_another_run, made_a_step, saved])
def test_a_failure_deletes_no_work(folder: RunFolder, work: Any) -> None:
    work(folder)
    before = sorted(folder.path.rglob("*"))
    folder.release()
    assert sorted(folder.path.rglob("*")) == before
