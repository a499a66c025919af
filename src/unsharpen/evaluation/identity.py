"""Which weights a model has: a digest of a folder's, cheap for the largest ones too, or the commit of a hub id.

A path alone doesn't say it: training into the same folder puts other weights there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from unsharpen.errors import InputError

COMMIT: Final = "commit:"
_DIGEST: Final = "digest:"
_SUFFIXES: Final = frozenset({".safetensors", ".bin", ".gguf"})
_BESIDE: Final = frozenset({"training_args.bin", "optimizer.bin", "scheduler.bin"})  # of a trainer, and no weights
_ADAPTER: Final = "adapter_config.json"
_WHOLE: Final = 64 << 20
_BLOCKS, _BLOCK = 32, 64 << 10


def identify_weights(path: str) -> str | None:
    """``digest:...`` of the weights of a folder or file, ``commit:...`` of a hub id; None where it can't be told.

    The digest is over the names and sizes of the files with weights, and of the adapter's settings, and over what is
    in them: all of a file up to 64 MiB, of a larger one 32 blocks of 64 KiB, spread evenly. That is 2 MiB of each
    file, so a model of 70B takes seconds also from a network; training changes weights everywhere, but a change of a
    few tensors may lie between the blocks. Times don't count: a copy has the same digest. Of an adapter it is the
    adapter's alone.

    The commit is the one that the hub's cache on this machine stands at; nothing is asked of a network.

    Args:
        path: a folder in Hugging Face format, a file of weights, or a hub id.

    Raises:
        InputError: a file can't be read.
    """
    place = Path(path)
    try:
        return _digest(place) if place.exists() else _cached_commit(path)
    except OSError as error:
        raise InputError(
            f"the weights of {path} must be readable; {error.filename or place} is not: {error.strerror}"
        ) from error


def _digest(place: Path) -> str | None:
    files = sorted(filter(_has_weights, place.iterdir())) if place.is_dir() else [place]
    if not files:
        return None
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            size = path.stat().st_size
            found.update(f"{path.name}\0{size}\0".encode("utf-8", "surrogateescape"))
            for start in _starts(size):
                file.seek(start)
                found.update(file.read(_BLOCK))
    return _DIGEST + found.hexdigest()[:32]


def _has_weights(path: Path) -> bool:
    return path.name == _ADAPTER or (path.suffix in _SUFFIXES and path.name not in _BESIDE and path.is_file())


def _starts(size: int) -> Iterable[int]:
    """Where the blocks begin that are read of a file."""
    if size <= _WHOLE:
        return range(0, size, _BLOCK)
    return ((size - _BLOCK) * i // (_BLOCKS - 1) for i in range(_BLOCKS))


def _cached_commit(name: str) -> str | None:
    """The commit that the cache has of a hub id; None without the library, for another name, or before a download."""
    try:
        from huggingface_hub import try_to_load_from_cache

        cached = [try_to_load_from_cache(name, file) for file in ("config.json", "tokenizer_config.json")]
    except (ImportError, ValueError):  # ValueError: of its check of names
        return None
    return next((f"{COMMIT}{Path(file).parent.name}" for file in cached if isinstance(file, str)), None)
