"""Processes of a Ray session, told by the folder that they were started with; no others are ever touched."""

from __future__ import annotations

import contextlib
import time

import psutil


def of_session(folder: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(folder in word for word in words) and process.pid != psutil.Process().pid:
                found.append(process)
    return found


def still_running(folder: str, *, patience: float) -> list[str]:
    """What did not end by itself within ``patience`` seconds; it is ended, and told."""
    deadline = time.monotonic() + patience
    while (left := of_session(folder)) and time.monotonic() < deadline:
        time.sleep(0.5)
    names = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            names.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
            process.kill()
    return names
