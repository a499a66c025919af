"""Call a function in threads that nobody has to wait for."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(function: Callable[[T], R], items: Sequence[T], num_threads: int) -> Iterator[list[R | BaseException]]:
    """Yield the results as they come, those that are there together; in place of a result, what was raised.

    When the consumer leaves, no new call begins, and calls under way are left to themselves: a thread that waits for
    a server can't be interrupted, and neither the consumer nor the interpreter's end waits for it. At most
    ``num_threads`` results wait for the consumer.
    """
    left = iter(items)
    lock, stop = threading.Lock(), threading.Event()
    results: queue.Queue[R | BaseException] = queue.Queue(num_threads)

    def work() -> None:
        while not stop.is_set():
            with lock:
                item = next(left, None)
            if item is None:
                return
            try:
                result: R | BaseException = function(item)
            except BaseException as error:
                result = error
            while not stop.is_set():
                with contextlib.suppress(queue.Full):
                    results.put(result, timeout=1.0)
                    break

    for i in range(min(num_threads, len(items))):
        threading.Thread(target=work, daemon=True, name=f"sampler-{i}").start()
    waiting = len(items)
    try:
        while waiting:
            together = [results.get()]
            with contextlib.suppress(queue.Empty):
                while True:
                    together.append(results.get_nowait())
            waiting -= len(together)
            yield together
    finally:
        stop.set()
