"""One process at a time writes into a folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from unsharpen.errors import InputError

LOCK: Final = ".lock"
"""The file that is locked; it stays in the folder, and is no content of it."""


def lock_folder(folder: Path, doing: str) -> int:
    """Take a lock that ends with this process, however that ends; without effect where a file system has no locks.

    Args:
        folder: is made where it is absent.
        doing: what the other process is at, for the error: ``writing to``.

    Returns:
        What ``os.close`` frees it by.

    Raises:
        InputError: another process holds it.
        OSError: the folder can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise InputError(
            f"another process is {doing} {folder}", hint="wait for it, or choose another --output"
        ) from error
    except OSError:  # not every file system of a cluster has them
        pass
    return lock
