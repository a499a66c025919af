"""From an engine's rows to P prompts x G completions and back: what verl and slime share. NumPy only.

Such engines hold N rows in any order, dealt out over processes, with padding among them; a group may lack completions,
and a completion of an agent may be several rows. ``N`` counts rows here; the other letters are those of ``batch.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from unsharpen.advantages.tokens import TokenBatch, TokenTransform
from unsharpen.batch import GroupBatch
from unsharpen.errors import InputError

SUMMED = frozenset({"lengths", "logprobs", "reference_logprobs"})
"""Fields of a completion that are sums over its rows; the others are those of its last row."""

PER_PROMPT = frozenset({"max_lengths", "num_solutions", "prompt_ids"})


class Layout:
    """Where each row of a batch belongs among P prompts x G completions, in the order of first appearance.

    Args:
        groups: [N] the prompt of each row.
        completions: [N] the completion within its group that the row is a part of; None when every row is one.
        parts: [N] place of the row within its completion; the reward and the answer are those of the last one.
        real: [N] False for rows that only fill up the batch; None when there are none.
        least: the rows of a group with fewer completions count as padding.

    Attributes:
        shape: (P, G), G the size of the largest group.
        mask: [P, G] whether there is such a completion.
        has_parts: whether a completion is several rows.
        num_skipped: groups that were smaller than ``least``.

    Raises:
        InputError: lists of different lengths, or no row that counts.
    """

    def __init__(
        self,
        groups: Sequence[Hashable],
        *,
        completions: Sequence[Hashable] | None = None,
        parts: Sequence[int] | None = None,
        real: Sequence[bool] | None = None,
        least: int = 1,
    ) -> None:
        self._count = len(groups)
        completions = range(self._count) if completions is None else completions
        parts = [0] * self._count if parts is None else parts
        flags = np.ones(self._count, dtype=bool) if real is None else np.asarray(real, dtype=bool)
        if not self._count == len(completions) == len(parts) == len(flags):
            raise InputError(
                "every row needs a group, a completion, a part and a flag; found "
                f"{self._count}, {len(completions)}, {len(parts)} and {len(flags)} of them"
            )
        rows = np.flatnonzero(flags).tolist()
        sizes = Counter(group for group, _ in {(groups[row], completions[row]) for row in rows})
        small = {group for group, size in sizes.items() if size < least}
        self.num_skipped = len(small)
        self._rows = np.asarray([row for row in rows if groups[row] not in small], dtype=np.int64)
        if not len(self._rows):
            raise InputError(
                f"a batch needs a prompt with at least {least} completion(s); found none among {self._count} rows"
            )
        numbers: dict[Hashable, int] = {}
        members: list[dict[Hashable, int]] = []
        places = []
        for row in self._rows.tolist():
            prompt = numbers.setdefault(groups[row], len(numbers))
            if prompt == len(members):
                members.append({})
            places.append((prompt, members[prompt].setdefault(completions[row], len(members[prompt]))))
        self.shape = (len(members), max(map(len, members)))
        self._places = tuple(np.asarray(places).T)  # prompt and completion of each real row
        in_order = np.argsort(np.asarray(parts)[self._rows], kind="stable")
        self._last = np.full(self.shape, -1)
        self._last[self._places[0][in_order], self._places[1][in_order]] = self._rows[in_order]
        self.mask = self._last >= 0
        self.has_parts = int(self.mask.sum()) < len(self._rows)

    def last(self, values_N: Any) -> Any:
        """[P, G] the value of each completion's last row; the first row's own where there is no completion."""
        return self._column(values_N)[np.where(self.mask, self._last, self._last[:, :1])]

    def total(self, values_N: Any) -> Any:
        """[P, G] the sum over each completion's rows, 0 where there is none."""
        values = self._column(values_N)
        table = np.zeros(self.shape, dtype=values.dtype)
        np.add.at(table, self._places, values[self._rows])
        return table

    def spread(self, table_PG: Any) -> Any:
        """[N] the completion's value for each of its rows, 0 at padding."""
        values = np.zeros(self._count, dtype=table_PG.dtype)
        values[self._rows] = table_PG[self._places]
        return values

    def completion_of_rows(self) -> Any:
        """[N] p * G + g for each row, -1 at padding."""
        numbers = np.full(self._count, -1)
        numbers[self._rows] = self._places[0] * self.shape[1] + self._places[1]
        return numbers

    def _column(self, values_N: Any) -> Any:
        values = np.asarray(values_N)
        if values.shape[:1] != (self._count,):
            raise InputError(f"a batch of {self._count} rows needs a value for each; found shape {values.shape}")
        return values


def group_batch(layout: Layout, fields: Mapping[str, Any]) -> GroupBatch:
    """The GroupBatch in float32 of ``fields``, one value a row: sums, last rows or first completions, as each needs.

    ``lengths`` and ``logprobs`` come as those of the row's own tokens; a completion without any counts one token.
    """
    tables = {name: (layout.total if name in SUMMED else layout.last)(values) for name, values in fields.items()}
    tables |= {name: tables[name][:, 0] for name in PER_PROMPT & tables.keys()}
    if "lengths" in tables:
        tables["lengths"] = np.maximum(tables["lengths"], 1)
    tables = {name: _single(table) for name, table in tables.items()}
    return GroupBatch(**tables, mask=layout.mask)


def _single(table: Any) -> Any:
    return table.astype(np.float32) if np.issubdtype(table.dtype, np.floating) else table


def row_sums(values: Any, mask: Any, lengths_N: Any) -> Any:
    """[N] sums of token values over each row's own tokens, in float64.

    Args:
        values: the tokens of all rows, end to end.
        mask: bool, of the same length; whatever stands where it is False is left out.
        lengths_N: [N] tokens of each row, own or not.

    Raises:
        InputError: values, mask and lengths don't fit together.
    """
    lengths = np.asarray(lengths_N)
    if not len(values) == len(mask) == lengths.sum():
        raise InputError(
            f"rows of {lengths.sum()} tokens in all need as many values and flags; found {len(values)} and {len(mask)}"
        )
    sums = np.zeros(len(lengths))
    filled = lengths > 0  # reduceat would take an empty row for the token that follows it
    if filled.any():
        starts = (np.cumsum(lengths) - lengths)[filled]
        sums[filled] = np.add.reduceat(np.where(mask, values, 0).astype(np.float64), starts)
    return sums


def token_advantages(
    transform: TokenTransform, owners_N: Any, advantages: Any, correct: Any, logprobs: Any, mask: Any, lengths_N: Any
) -> Any:
    """Advantage of each token, end to end; the rows of one completion are taken as one text, in the order of the rows.

    Args:
        transform: the method's second step.
        owners_N: [N] number of the completion that each row belongs to, -1 at padding.
        advantages: what the first step gave each completion, by number.
        correct: whether it is correct, by number.
        logprobs: tokens of all rows, end to end.
        mask: bool, of the same length.
        lengths_N: [N] tokens of each row.
    """
    owner = np.repeat(owners_N, lengths_N)
    tokens = np.flatnonzero(owner >= 0)
    tokens = tokens[np.argsort(owner[tokens], kind="stable")]
    owners, counts = np.unique(owner[tokens], return_counts=True)
    line = np.repeat(np.arange(len(owners)), counts)
    column = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.zeros((len(owners), counts.max(initial=1)), dtype=np.float32)
    own = np.zeros(table.shape, dtype=bool)
    table[line, column], own[line, column] = logprobs[tokens], mask[tokens]
    given = np.repeat(np.asarray(advantages, dtype=np.float32)[owners][:, None], table.shape[1], axis=1)
    batch = TokenBatch(logprobs=np.where(own, table, 0), mask=own, correct=np.asarray(correct)[owners])
    result = np.zeros(len(owner), dtype=np.float32)
    result[tokens] = transform(given, batch)[line, column]
    return result
