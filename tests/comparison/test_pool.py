"""Several cells at once, in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.comparison.fake import FakeTrain, Heard

from unsharpen.comparison.spec import Study, read_study
from unsharpen.comparison.study import How, run_study

ROOT = Path(__file__).parents[2]
SETTINGS = {"eval_samples": 16, "eval_every": 0}


def study(*methods: str, steps: int = 3, seeds: int = 1) -> Study:
    return read_study({"methods": dict.fromkeys(methods), "seeds": seeds, "steps": steps, "settings": SETTINGS})


def worker(**options: Any) -> list[str]:
    return [sys.executable, "-m", "tests.comparison.fake", json.dumps(options)]


def run(what: Study, root: Path, command: list[str], **options: Any) -> tuple[bool, list[str]]:
    heard = Heard()
    how = How(train=FakeTrain(), check=lambda _: None, listener=heard, jobs=2, worker=command, **options)
    return run_study(what, root, how), heard.lines


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT)]))


def records(root: Path) -> set[str]:
    return {str(path.parent.relative_to(root / "results")) for path in root.glob("results/*/*/evaluation.jsonl")}


def test_two_at_once_and_one_evaluation_of_the_base(tmp_path: Path) -> None:
    done, lines = run(study("grpo", "rloo", "ds-grpo"), tmp_path, worker(sleep=0.05))
    assert done
    assert records(tmp_path) == {"grpo/seed-0", "rloo/seed-0", "ds-grpo/seed-0"}
    assert sorted(lines[1:]) == sorted(
        f"{word} results/{name}/seed-0" for name in ("grpo", "rloo", "ds-grpo") for word in ("started", "done")
    )
    rows = {path.read_text().splitlines()[0] for path in tmp_path.glob("results/*/*/evaluation.jsonl")}
    assert len(rows) == 1
    assert not list((tmp_path / "work").rglob("*.log"))


def test_failures_of_every_kind(tmp_path: Path) -> None:
    done, lines = run(study("grpo", "rloo"), tmp_path, worker(fail={"rloo": "groups of 1"}))
    assert done
    assert "failed results/rloo/seed-0: groups of 1" in lines
    assert records(tmp_path) == {"grpo/seed-0"}
    _, lines = run(study("maxrl"), tmp_path, [sys.executable, "-c", "import sys; print('no memory'); sys.exit(1)"])
    assert lines[-1] == "failed results/maxrl/seed-0: its process ended with exit code 1"
    assert (tmp_path / "work/results/maxrl/seed-0.log").read_text() == "no memory\n"
    _, lines = run(study("psr"), tmp_path, [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert "killed by signal 9 (SIGKILL)" in lines[-1]


def test_ctrl_c_and_the_next_start(tmp_path: Path) -> None:
    """The processes of the cells are in sessions of their own; the signal reaches them through this one."""

    def interrupt() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (tmp_path / "work/results/grpo/seed-0/metrics.jsonl").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    done, _ = run(study("grpo", "rloo", steps=200), tmp_path, worker(sleep=0.3))
    thread.join()
    assert not done
    assert records(tmp_path) == set()
    assert run(study("grpo", "rloo", steps=200), tmp_path, worker())[0]
    assert records(tmp_path) == {"grpo/seed-0", "rloo/seed-0"}
    rows = (tmp_path / "results/grpo/seed-0/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 201))


def test_kill_9_of_everything_and_the_next_start(tmp_path: Path) -> None:
    """The process that computes is killed; the one of its cell stops by itself, and nothing is lost."""
    code = f"""
import sys
from pathlib import Path
from tests.comparison.test_pool import run, study, worker
run(study("grpo", steps=400), Path({str(tmp_path)!r}), worker(sleep=0.3))
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    metrics = tmp_path / "work/results/grpo/seed-0/metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not metrics.exists():
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert metrics.exists()
    done, _ = run(study("grpo", steps=400), tmp_path, worker())
    assert done
    rows = (tmp_path / "results/grpo/seed-0/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(1, 401))
