"""Choose each token by a random number that belongs to the sample and the step, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from unsharpen.evaluation.samplers.base import Sampling

_BLOCK: Final = 256
"""Random numbers drawn at a time for each sample."""


@dataclass
class Thinking:
    """Closes thoughts that have used up their budget.

    Args:
        budget: tokens of a thought.
        opening: the tokens of ``<think>``.
        closing: the tokens of ``</think>``.
        opened: [n] whether the prompt has opened a thought.
    """

    budget: int
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    opened: list[bool]
    _spent: list[int] = field(init=False)
    _queue: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._spent = [0] * len(self.opened)
        self._queue = [[] for _ in self.opened]

    def force(self, row: int, written: list[int]) -> int | None:
        """The token that must come next after the completion's ``written`` ones; None leaves it free."""
        if self._queue[row]:
            return self._queue[row].pop(0)
        if _ends_with(written, self.closing):
            self.opened[row] = False
        elif _ends_with(written, self.opening):
            self.opened[row], self._spent[row] = True, 0
        if not self.opened[row]:
            return None
        if self._spent[row] >= self.budget:
            self.opened[row] = False
            self._queue[row] = list(self.closing)
            return self._queue[row].pop(0)
        self._spent[row] += 1
        return None


class SeededSampling(LogitsProcessor):
    """Leaves one token per row, drawn from the row's distribution by inversion.

    With u the sample's number for this step, the token is the first whose cumulative probability exceeds u, after
    temperature, top-k, top-p and min-p (in transformers' own form and order). It also keeps the log-probability of
    that token at temperature 1 without filters. Memory: a few [n, vocabulary] tensors, whatever the length.

    Args:
        sampling: temperature and filters.
        seeds: [n] one per row.
        thinking: the budget of thoughts, if any; tokens that it forces add nothing to the log-probability.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], thinking: Thinking | None = None) -> None:
        self._warpers = _warpers(sampling)
        self._generators = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
        self._thinking = thinking
        self._uniforms = np.empty((len(seeds), 0))
        self._steps: list[torch.Tensor] = []
        self._prompt_width: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._prompt_width is None:
            self._prompt_width = input_ids.shape[1]
        raw = scores.float()
        probabilities = torch.softmax(self._warpers(input_ids, raw.clone()), dim=-1)
        tokens = _invert(probabilities, self._next_uniforms().to(scores.device))
        logprobs = torch.log_softmax(raw, dim=-1).gather(1, tokens)
        if self._thinking is not None:
            self._force(self._thinking, input_ids[:, self._prompt_width :], tokens, logprobs)
        self._steps.append(logprobs[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(1, tokens, 0.0)

    def logprobs(self) -> list[list[float]]:
        """[n][T] log-probability of each drawn token, nats."""
        table: list[list[float]] = torch.stack(self._steps, dim=1).double().tolist()
        return table

    def _next_uniforms(self) -> torch.Tensor:
        step = len(self._steps) % _BLOCK
        if step == 0:
            self._uniforms = np.stack([generator.random(_BLOCK) for generator in self._generators])
        return torch.from_numpy(self._uniforms[:, step : step + 1].copy())

    @staticmethod
    def _force(thinking: Thinking, written: torch.Tensor, tokens: torch.Tensor, logprobs: torch.Tensor) -> None:
        longest = max(len(thinking.opening), len(thinking.closing))
        for row, last in enumerate(written[:, -longest:].tolist()):
            token = thinking.force(row, last)
            if token is not None:
                tokens[row, 0] = token
                logprobs[row, 0] = 0.0


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    chosen = LogitsProcessorList()
    if sampling.temperature != 1.0:
        chosen.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chosen.append(TopKLogitsWarper(top_k=sampling.top_k))
    if sampling.top_p < 1.0:
        chosen.append(TopPLogitsWarper(top_p=sampling.top_p))
    if sampling.min_p:
        chosen.append(MinPLogitsWarper(min_p=sampling.min_p))
    return chosen


def _invert(probabilities: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """[n, 1] the first token of each row whose cumulative probability exceeds the row's number in [0, 1)."""
    cumulative = probabilities.double().cumsum(dim=-1)
    total = cumulative[:, -1:]
    level = torch.minimum(uniforms * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, level, right=True)


def _ends_with(tokens: list[int], ending: tuple[int, ...]) -> bool:
    return bool(ending) and tuple(tokens[-len(ending) :]) == ending
