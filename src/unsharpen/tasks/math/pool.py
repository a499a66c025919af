"""Worker processes that grade, each answer within a hard limit of time and memory."""

from __future__ import annotations

import atexit
import json
import math
import os
import selectors
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal

from unsharpen.errors import InputError, MissingExtraError, UnsharpenError

Outcome = Literal["correct", "wrong_answer", "malformed", "timeout", "grader_crash"]
Job = tuple[str, str]
"""(gold answer, answer)."""

START_LIMIT: Final = 300.0
"""Seconds that a worker may take to import math-verify."""

MAX_STARTS: Final = 3
JOBS_PER_WORKER: Final = 4
"""No worker is started for fewer."""

_SCRIPT: Final = Path(__file__).with_name("worker.py")
_pools: Final[weakref.WeakSet[GraderPool]] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Grade:
    """What a worker made of a job: the outcome, and the identity of a wrong answer where it has a cheap one."""

    outcome: Outcome
    canonical: str | None = None
    detail: str = ""


class GraderPool:
    """Worker processes that grade answers by math-verify; started when first needed, replaced when one dies.

    A worker is a fresh interpreter that imports math-verify and nothing else: it shares no memory, no open files and
    no threads with this process, so it is safe beside PyTorch, and it needs no ``if __name__ == "__main__"`` in the
    script that uses it. Workers ignore Ctrl-C, and end with this process however that ends.

    Args:
        num_workers: the most processes; None takes the cores that this process may use, shared with the other
            training processes of this machine.
        time_limit: seconds of wall-clock time per answer.
        memory_limit: bytes of address space per worker.
        command: what to run instead of the grader; speaks the protocol of ``worker.py``.

    Raises:
        InputError: a number is out of range.
    """

    def __init__(
        self,
        *,
        num_workers: int | None = None,
        time_limit: float = 5.0,
        memory_limit: int = 2 << 30,
        command: Sequence[str] | None = None,
    ) -> None:
        if num_workers is not None and num_workers < 1:
            raise InputError(f"num_workers must be at least 1 or None; found {num_workers}")
        if not 0 < time_limit < math.inf:
            raise InputError(f"time_limit must be a positive number of seconds; found {time_limit}")
        self.num_workers = num_workers or _own_cores()
        self.time_limit = time_limit
        processor_time = math.ceil(time_limit) + 2
        script = [sys.executable, "-P", str(_SCRIPT), str(memory_limit), str(processor_time)]
        self._command = list(command) if command is not None else script
        self._workers: list[_Worker] = []
        self._failures = 0
        self._lock = threading.Lock()
        self._process = os.getpid()
        _pools.add(self)

    def grade(self, jobs: Sequence[Job], *, num_workers: int | None = None) -> list[Grade]:
        """Grade jobs in parallel; the order is kept.

        Args:
            jobs: pairs of gold answer and answer.
            num_workers: use so many processes at most.

        Returns:
            A grade for every job; ``timeout`` where the limit passed, ``grader_crash`` where the worker died.

        Raises:
            MissingExtraError: math-verify is not installed.
            UnsharpenError: workers can't be started.
        """
        with self._lock:
            most = min(num_workers or self.num_workers, self.num_workers, -(-len(jobs) // JOBS_PER_WORKER))
            try:
                return self._run(jobs, most)
            finally:
                for worker in [w for w in self._workers if w.job is not None]:  # interrupted
                    self._drop(worker)

    def close(self) -> None:
        """End the workers; the pool starts new ones when it is used again."""
        if self._process == os.getpid():
            for worker in list(self._workers):
                self._drop(worker)

    def _begin_in_fork(self) -> None:
        """In the child of a fork: the workers are the parent's, and whoever holds the lock isn't here."""
        self._lock, self._workers, self._failures, self._process = threading.Lock(), [], 0, os.getpid()

    def __enter__(self) -> GraderPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, jobs: Sequence[Job], most: int) -> list[Grade]:
        grades: dict[int, Grade] = {}
        waiting = deque(range(len(jobs)))
        while len(grades) < len(jobs):
            busy = [w for w in self._workers if w.job is not None]
            idle = [w for w in self._workers if w.ready and w.job is None]
            starting = len(self._workers) - len(busy) - len(idle)
            while waiting and idle and len(busy) < most:
                worker = idle.pop()
                if worker.send(jobs[waiting[0]]):
                    worker.begin(waiting.popleft(), self.time_limit)
                    busy.append(worker)
                else:  # died while idle: the job is not to blame
                    self._drop(worker)
            for _ in range(min(len(waiting), most - len(busy)) - len(idle) - starting):
                self._workers.append(_Worker(self._command))
            self._wait(grades)
        return [grades[i] for i in range(len(jobs))]

    def _wait(self, grades: dict[int, Grade]) -> None:
        """Take in what the workers say until one has said something or is late."""
        watched = [w for w in self._workers if w.job is not None or not w.ready]
        with selectors.DefaultSelector() as selector:
            for worker in watched:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            soonest = min(worker.deadline for worker in watched)
            spoke = [key.data for key, _ in selector.select(max(0.0, soonest - monotonic()))]
        for worker in spoke:
            self._hear(worker, grades)
        for worker in watched:
            if worker not in spoke and monotonic() >= worker.deadline:
                self._lose(worker, grades, "timeout")

    def _hear(self, worker: _Worker, grades: dict[int, Grade]) -> None:
        messages = worker.read()
        if messages is None:
            self._lose(worker, grades, "grader_crash")
            return
        for message in messages:
            if "failed" in message:
                self._drop(worker)
                raise MissingExtraError(
                    f"grading maths answers requires math-verify; {message['failed']}",
                    hint="pip install 'unsharpen[math]'",
                )
            if "ready" in message:
                worker.ready, self._failures = True, 0
            elif worker.job is not None:
                grade = worker.take(message)
                if grade is not None:
                    grades[worker.job] = grade
                    worker.job = None
                    if message.get("leaving"):
                        self._drop(worker)

    def _lose(self, worker: _Worker, grades: dict[int, Grade], outcome: Outcome) -> None:
        """A worker died or is late: give its job a grade, and end it."""
        if outcome == "grader_crash":
            with suppress(subprocess.TimeoutExpired):  # or killing it would be told as its end
                worker.process.wait(timeout=1)
        self._drop(worker)
        if worker.job is not None:
            limit = f"over {self.time_limit:g} s" if outcome == "timeout" else f"exit code {worker.process.returncode}"
            grades[worker.job] = worker.grade or Grade(outcome, None, limit)
            return
        self._failures += 1
        if self._failures >= MAX_STARTS:
            self._failures = 0
            raise UnsharpenError(
                f"the grader can't be started; {MAX_STARTS} times in a row it ended with exit code "
                f"{worker.process.returncode} or said nothing for {START_LIMIT:g} s",
                hint=f"see why: {' '.join(self._command)} < /dev/null",
            )

    def _drop(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()


class _Worker:
    """One process, and what it is doing."""

    def __init__(self, command: Sequence[str]) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            process_group=0,  # Ctrl-C is for the parent
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.ready = False
        self.deadline = monotonic() + START_LIMIT
        self.job: int | None = None
        self.grade: Grade | None = None
        self._unread = b""

    def send(self, job: Job) -> bool:
        """Hand over a job; False where the worker is gone. A line is far smaller than the buffer of a pipe."""
        gold, answer = job
        try:
            os.write(self.input.fileno(), json.dumps({"gold": gold, "answer": answer}).encode() + b"\n")
        except OSError:
            return False
        return True

    def begin(self, index: int, time_limit: float) -> None:
        self.job, self.grade, self.deadline = index, None, monotonic() + time_limit

    def read(self) -> list[dict[str, Any]] | None:
        """Whole messages that have come; None at the end of the output."""
        data = os.read(self.output.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def take(self, message: dict[str, Any]) -> Grade | None:
        """The finished grade, or None while the identity of a wrong answer is still to come."""
        if "canonical" in message:
            return Grade("wrong_answer", message["canonical"])
        if message["correct"]:
            return Grade("correct")
        if not message["readable"]:
            return Grade("malformed")
        self.grade = Grade("wrong_answer")  # holds even if the worker never comes back from the identity
        return None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.input.close()
        self.output.close()


def _own_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def _begin_in_fork() -> None:
    for pool in list(_pools):
        pool._begin_in_fork()


os.register_at_fork(after_in_child=_begin_in_fork)
_shared: GraderPool | None = None


def shared_pool() -> GraderPool:
    """The pool of this process, with the usual limits."""
    global _shared
    if _shared is None:
        _shared = GraderPool()
        atexit.register(_shared.close)
    return _shared
