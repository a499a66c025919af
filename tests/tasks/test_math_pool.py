"""Workers that hang, die, are killed or never start: typed grades, the order kept, and the pool goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unsharpen.errors import InputError, MissingExtraError, UnsharpenError
from unsharpen.tasks.math import GraderPool
from unsharpen.tasks.math.pool import MAX_STARTS, Grade

FAKE = """
import json, os, signal, sys, time
print('{"ready": true}', flush=True)
for line in sys.stdin:
    job = json.loads(line)
    match job["answer"]:
        case "hang":
            time.sleep(3600)
        case "exit":
            os._exit(3)
        case "slow exit":
            os.close(1)
            time.sleep(0.3)
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            raise MemoryError
        case "lost":
            print('{"correct": false, "readable": true}', flush=True)
            time.sleep(3600)
    correct = job["answer"] == job["gold"]
    print(json.dumps({"correct": correct, "readable": job["answer"] != "?"}), flush=True)
    if not correct and job["answer"] != "?":
        print(json.dumps({"canonical": job["answer"].upper()}), flush=True)
"""
Fake = Callable[..., GraderPool]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    """Make pools whose grader is a script; a limit that a busy machine keeps."""
    pools = []

    def make(script: str = FAKE, *, time_limit: float = 4.0, num_workers: int = 2) -> GraderPool:
        path = tmp_path / "fake.py"
        path.write_text(script, "utf-8")
        pools.append(GraderPool(command=[sys.executable, str(path)], time_limit=time_limit, num_workers=num_workers))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def pids(pool: GraderPool) -> list[int]:
    return [worker.process.pid for worker in pool._workers]


def gone(pid: int) -> bool:
    """Whether the process has ended; waits for it, long enough for a machine that is busy with other things."""
    for _ in range(1_800):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_order_is_kept_and_workers_are_kept(fake: Fake) -> None:
    pool = fake()
    jobs = [(str(i), str(i if i % 3 else -i)) for i in range(50)]
    expected = [
        Grade("correct" if i % 3 or not i else "wrong_answer", f"-{i}" if i and not i % 3 else None) for i in range(50)
    ]
    assert pool.grade(jobs) == expected
    before = pids(pool)
    assert len(before) == 2
    assert pool.grade(jobs) == expected
    assert pids(pool) == before
    assert pool.grade([]) == []


@pytest.mark.parametrize(
    ("answer", "outcome", "detail"),
    [
        ("hang", "timeout", "over 4 s"),
        ("exit", "grader_crash", "exit code 3"),
        ("slow exit", "grader_crash", "exit code 3"),  # and not -9, of being killed while it ends
        ("killed", "grader_crash", "exit code -9"),
        ("memory", "grader_crash", "exit code 1"),
    ],
)
def test_a_lost_worker_is_a_typed_grade_and_is_replaced(fake: Fake, answer: str, outcome: str, detail: str) -> None:
    pool = fake()
    grades = pool.grade([("1", "1"), ("1", answer), *[("2", "2")] * 9, ("3", "?")])
    assert [grade.outcome for grade in grades] == ["correct", outcome, *["correct"] * 9, "malformed"]
    assert grades[1].detail == detail
    assert pool.grade([("5", "5")]) == [Grade("correct")]


def test_every_worker_lost_again_and_again(fake: Fake) -> None:
    pool = fake(num_workers=2)
    grades = pool.grade([("1", "exit"), ("1", "killed")] * 6 + [("1", "1")])
    assert [grade.outcome for grade in grades] == ["grader_crash"] * 12 + ["correct"]


def test_a_verdict_holds_where_only_the_identity_never_comes(fake: Fake) -> None:
    pool = fake()
    assert pool.grade([("1", "lost"), ("1", "1")]) == [Grade("wrong_answer"), Grade("correct")]


def test_a_worker_that_dies_while_idle_costs_no_answer(fake: Fake) -> None:
    pool = fake()
    pool.grade([("1", "1")] * 8)
    for pid in pids(pool):
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    assert pool.grade([("1", "1")] * 8) == [Grade("correct")] * 8


LEAVING = """
import json, sys, time
print('{"ready": true}', flush=True)
for line in sys.stdin:
    print('{"correct": true, "readable": true, "leaving": true}', flush=True)
    time.sleep(0.1)  # the next job would come and find nobody
    sys.exit()
"""


def test_a_worker_that_takes_its_leave_gets_no_other_job(fake: Fake) -> None:
    assert fake(LEAVING).grade([("1", "1")] * 6) == [Grade("correct")] * 6


def test_an_interrupt_leaves_a_usable_pool(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = fake()
    pool.grade([("1", "1")])
    wait = GraderPool._wait

    def interrupted(self: GraderPool, grades: dict[int, Grade]) -> None:
        monkeypatch.setattr(GraderPool, "_wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(GraderPool, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pool.grade([("1", "hang")])
    assert pids(pool) == []
    assert pool.grade([("1", "2"), ("1", "1")]) == [Grade("wrong_answer", "2"), Grade("correct")]


def test_ctrl_c_does_not_reach_the_workers(fake: Fake) -> None:
    pool = fake()
    pool.grade([("1", "1")])
    assert all(os.getpgid(pid) != os.getpgid(0) for pid in pids(pool))


def test_close_ends_the_workers_and_the_pool_starts_again(fake: Fake) -> None:
    pool = fake()
    pool.grade([("1", "1")])
    before = pids(pool)
    pool.close()
    assert all(gone(pid) for pid in before)
    assert pool.grade([("1", "1")]) == [Grade("correct")]


@pytest.mark.parametrize("script", ["raise SystemExit(7)", "import os; os._exit(7)"])
def test_a_grader_that_never_starts(fake: Fake, script: str) -> None:
    pool = fake(script)
    for _ in range(2):
        with pytest.raises(UnsharpenError, match=f"{MAX_STARTS} times in a row it ended with exit code 7"):
            pool.grade([("1", "1")] * 20)


def test_without_math_verify_the_error_says_what_to_install(fake: Fake) -> None:
    pool = fake("""print('{"failed": "No module named math_verify"}', flush=True)""")
    with pytest.raises(MissingExtraError, match="requires math-verify; No module named") as caught:
        pool.grade([("1", "1")])
    assert "unsharpen[math]" in str(caught.value)


@pytest.mark.parametrize("options", [{"num_workers": 0}, {"time_limit": 0}, {"time_limit": float("inf")}])
def test_bad_settings(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be"):
        GraderPool(**options)  # type: ignore[arg-type]


def test_workers_are_shared_between_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = GraderPool().num_workers
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert GraderPool().num_workers == max(1, cores // 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1000")
    assert GraderPool().num_workers == 1


def test_the_real_worker_has_its_limits() -> None:
    with GraderPool() as pool:
        assert pool.grade([("1", "\\frac22")]) == [Grade("correct")]
        limits = Path(f"/proc/{pids(pool)[0]}/limits").read_text()
    (memory,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    (time_used,) = [line for line in limits.splitlines() if line.startswith("Max cpu time")]
    assert str(2 << 30) in memory
    assert time_used.split()[3] != "unlimited"


LARGE = """
from unsharpen.tasks.math import GraderPool

ballast = bytearray(700 << 20)
with GraderPool(memory_limit=1 << 30, time_limit=60.0) as pool:
    found = []
    for answer in ("2", "3"):
        pool.grade([("1", answer)])
        found += [worker.process.pid for worker in pool._workers]
print(len(found), len(set(found)))
"""


def test_a_worker_of_a_large_process_stays() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.split() == ["2", "1"], done.stderr


ORPHAN = """
import os, signal, sys, threading
from unsharpen.tasks.math import GraderPool

pool = GraderPool(time_limit={limit})
pool.grade([("1", "\\\\frac22")])
print(pool._workers[0].process.pid, flush=True)
if {busy}:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()
    pool.grade([("9", "9^{{9^{{9}}}}")])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("busy", [False, True])
def test_kill_9_leaves_no_worker_behind(busy: bool) -> None:
    """An idle one sees the end of its input; one that computes without end runs into its limit of processor time."""
    script = ORPHAN.format(limit=2, busy=busy)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert gone(int(done.stdout))


FORK = """
import os, threading, time
from unsharpen.tasks.math import GraderPool

pool = GraderPool(num_workers=1)
pool.grade([("1", "x")])
busy = threading.Thread(target=pool.grade, args=([("9", "9^{9^{9}}")],))
busy.start()
while not pool._lock.locked():
    time.sleep(0.01)
child = os.fork()
if child == 0:
    print(pool.grade([("0.5", "1/2")])[0].outcome, flush=True)
    pool.close()
    os._exit(0)
os.waitpid(child, 0)
busy.join()
pool.close()
"""


def test_a_fork_while_a_thread_is_grading_grades_with_workers_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (0, "correct\n"), done.stderr


UNGUARDED = """
from unsharpen.tasks import MathProblem, MathTask
print("once")
print(MathTask().verify(MathProblem("?", "0.5"), "\\\\boxed{1/2}").reason)
"""


def test_a_script_needs_no_main_guard_and_ends_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(UNGUARDED, "utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "once\ncorrect\n", "")
