"""Composition: a method is a chain of small functions ``(advantages, batch) -> advantages``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from unsharpen.batch import Array, GroupBatch
from unsharpen.errors import InputError


@dataclass(frozen=True)
class Transform:
    """One step of a chain.

    Attributes:
        name: shown in errors and in ``unsharpen methods``.
        apply: ``(advantages [P, G], batch) -> advantages [P, G]``; pure, no gradient, never mutates.
        requires: names of the optional :class:`~unsharpen.GroupBatch` fields that ``apply`` reads.
        least_completions: a smaller group is an error in ``apply``; engines say so before training.
        binary_rewards: rewards other than 0 and 1 are.
    """

    name: str
    apply: Callable[[Array, GroupBatch], Array]
    requires: frozenset[str] = frozenset()
    least_completions: int = 1
    binary_rewards: bool = False

    def __call__(self, advantages: Array, batch: GroupBatch) -> Array:
        batch.require(self.requires, by=self.name)
        return self.apply(advantages, batch)


def chain(*transforms: Transform) -> Transform:
    """Apply ``transforms`` from left to right; the chain requires whatever any of them requires.

    The first one receives the rewards as its advantages. A chain of chains is a chain.

    Example:
        >>> from unsharpen import GroupBatch
        >>> from unsharpen.advantages import divide_by_group_std, subtract_group_mean
        >>> grpo = chain(subtract_group_mean(), divide_by_group_std(ddof=0, eps=0.0))
        >>> batch = GroupBatch(rewards=[[1.0, 0.0]], correct=[[True, False]])
        >>> grpo(batch.rewards, batch).tolist()
        [[1.0, -1.0]]
    """
    if not transforms:
        raise InputError("chain() needs at least 1 transform")

    def apply(advantages: Array, batch: GroupBatch) -> Array:
        for transform in transforms:
            advantages = transform.apply(advantages, batch)
        return advantages

    name = " > ".join(transform.name for transform in transforms)
    return Transform(
        name,
        apply,
        frozenset().union(*(transform.requires for transform in transforms)),
        max(transform.least_completions for transform in transforms),
        any(transform.binary_rewards for transform in transforms),
    )
