"""A prompt order that a resumed run continues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler


class ReplayingRepeatSampler(RepeatSampler):
    """TRL's RepeatSampler, except that a run resumed in epoch e shuffles as the first run did in epoch e.

    TRL draws one permutation per epoch from a generator that a resumed run starts afresh, so its second epoch would
    repeat the first one's order. The trainer announces the epoch (``set_epoch``); permutations already used are drawn
    and dropped. Without a resume the order is TRL's own.
    """

    _drawn = 0

    @classmethod
    def wrap(cls, sampler: Any) -> Any:
        """The same sampler with this behaviour; anything but a RepeatSampler is returned as it is."""
        if type(sampler) is RepeatSampler:
            sampler.__class__ = cls
        return sampler

    def set_epoch(self, epoch: int) -> None:
        while self.shuffle and self._drawn < epoch:
            torch.randperm(self.num_samples, generator=self.generator)
            self._drawn += 1

    def __iter__(self) -> Iterator[int]:
        self._drawn += 1
        yield from super().__iter__()
