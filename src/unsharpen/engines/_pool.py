"""Completions that the base model sampled before training: read once, drawn in an order that a resumed run repeats."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unsharpen.errors import DataError, EngineError

_COLUMNS = ("prompt_ids", "completion_ids", "logprobs", "temperature")


@dataclass(frozen=True)
class PoolBatch:
    """n completions: ``ids`` and ``attention`` [n, prompt + T], ``mask`` and ``logprobs`` [n, T]."""

    ids: torch.Tensor
    attention: torch.Tensor
    mask: torch.Tensor
    logprobs: torch.Tensor


class Pool:
    """The rows of a file that ``unsharpen data presample`` wrote.

    Args:
        path: JSON lines with ``prompt_ids``, ``completion_ids``, ``logprobs`` (one per completion token, under the base
            model at the temperature) and ``temperature``.
        temperature: of the training; the file's must be the same.

    Raises:
        DataError: the file can't be read, has no rows or a malformed one.
        EngineError: it was sampled at another temperature.
    """

    def __init__(self, path: str, *, temperature: float) -> None:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"can't read the pool {path}: {error}", hint="`unsharpen data presample` writes one"
            ) from error
        self.rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not self.rows:
            raise DataError(f"the pool {path} has no rows")
        for number, row in enumerate(self.rows, 1):
            if not math.isclose(row["temperature"], temperature, rel_tol=1e-6):
                raise EngineError(
                    f"the pool was sampled at temperature {row['temperature']} (row {number}), training is at "
                    f"{temperature}; their log-probabilities can't be compared",
                    hint="sample the pool again with --temperature, or change GRPOConfig's temperature",
                )

    def draw(self, first: int, count: int, *, seed: int, pad_id: int, device: Any) -> PoolBatch:
        """Rows ``first`` to ``first + count`` of an endless order that shuffles the pool anew for each pass."""
        places = range(first, first + count)
        orders = {place // len(self.rows): None for place in places}
        shuffled = {turn: np.random.default_rng([seed, turn]).permutation(len(self.rows)) for turn in orders}
        rows = [self.rows[shuffled[place // len(self.rows)][place % len(self.rows)]] for place in places]
        width = max(len(row["prompt_ids"]) for row in rows)
        longest = max(len(row["completion_ids"]) for row in rows)
        shape = (count, width + longest)
        ids, attention = np.full(shape, pad_id), np.zeros(shape, dtype=np.int64)
        logprobs = np.zeros((count, longest), dtype=np.float32)
        for i, row in enumerate(rows):
            tokens = [*row["prompt_ids"], *row["completion_ids"]]
            place = slice(width - len(row["prompt_ids"]), width + len(row["completion_ids"]))
            ids[i, place], attention[i, place] = tokens, 1
            logprobs[i, : len(row["logprobs"])] = row["logprobs"]
        tensors = [torch.as_tensor(a, device=device) for a in (ids, attention, attention[:, width:] > 0, logprobs)]
        return PoolBatch(*tensors)


def _row(path: str, number: int, line: str) -> dict[str, Any]:
    where = f"{path}, row {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict) or (missing := [name for name in _COLUMNS if name not in row]):
        found = f"no {', '.join(missing)}" if isinstance(row, dict) else type(row).__name__
        raise DataError(f"{where} must be an object with {', '.join(_COLUMNS)}; found {found}")
    ids = [row["prompt_ids"], row["completion_ids"]]
    whole = all(isinstance(part, list) and part and all(type(i) is int and i >= 0 for i in part) for part in ids)
    logprobs = row["logprobs"]
    numbers = isinstance(logprobs, list) and all(
        isinstance(x, int | float) and math.isfinite(x) and x <= 1e-3 for x in logprobs
    )
    if not whole or not numbers or len(logprobs) != len(row["completion_ids"]):
        raise DataError(
            f"{where}: prompt_ids and completion_ids must be token ids, logprobs one number of at most 0 per "
            "completion token"
        )
    if not isinstance(row["temperature"], int | float) or not row["temperature"] > 0:
        raise DataError(f"{where}: temperature must be a number above 0, found {row['temperature']!r}")
    return {name: row[name] for name in _COLUMNS}
