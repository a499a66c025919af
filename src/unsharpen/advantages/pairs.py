"""Sums over the pairs of a group, one column at a time (memory stays at P x G), and the best of a part of it."""

from __future__ import annotations

from collections.abc import Callable

from array_api_compat import array_namespace, device

from unsharpen.batch import Array, GroupBatch

Column = Callable[[int], Array]
"""j -> [P, G]: how each completion of a group relates to the group's j-th one."""


def sum_over_group(term: Column, batch: GroupBatch) -> Array:
    """[P, G] ``sum_j term(j)`` over the unmasked completions j of each completion's own group, itself included."""
    xp = batch.xp
    total = xp.zeros_like(batch.rewards)
    for j in range(batch.rewards.shape[1]):
        values = xp.astype(term(j), total.dtype)
        total = total + xp.where(batch.mask[:, j : j + 1], values, xp.zeros_like(values))
    return total


def highest(values_PG: Array, where_PG: Array) -> Array:
    """[P, 1] the greatest value of each group among those where the flag is True; any of the values where none is."""
    xp = array_namespace(values_PG)
    least = xp.min(values_PG) * xp.ones_like(values_PG)
    return xp.max(xp.where(where_PG, values_PG, least), axis=1, keepdims=True)


def same_answer(batch: GroupBatch) -> Column:
    """Whether a completion's answer is that of the group's j-th one: j -> [P, G] bool."""
    return lambda j: batch.answers == batch.answers[:, j : j + 1]


def positions(batch: GroupBatch) -> Array:
    """[1, G] 0 .. G - 1, to tell whether a completion is the j-th one, or comes after it."""
    return batch.xp.arange(batch.rewards.shape[1], device=device(batch.rewards))[None, :]


def cosine(batch: GroupBatch) -> Column:
    """Cosine of a completion's embedding and that of the group's j-th one: j -> [P, G], exactly 1 with itself."""
    xp, position = batch.xp, positions(batch)
    greatest = xp.max(xp.abs(batch.embeddings), axis=2, keepdims=True)  # squares then neither overflow nor vanish
    scaled = batch.embeddings / xp.where(greatest == 0, xp.ones_like(greatest), greatest)
    norm = xp.sqrt(xp.sum(scaled * scaled, axis=2, keepdims=True))
    unit = scaled / xp.where(norm == 0, xp.ones_like(norm), norm)

    def column(j: int) -> Array:
        values = xp.sum(unit * unit[:, j : j + 1, :], axis=2)
        return xp.where(position == j, xp.ones_like(values), values)

    return column
