"""Record the log-probabilities of tokens while ``model.generate`` samples them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessor

from unsharpen.errors import EngineError


class SamplingLogprobs(LogitsProcessor):
    """Watches the raw logits of each step and keeps the log-probability of the token that was drawn from them.

    ``log pi(token) = logits[token] / temperature - logsumexp(logits / temperature)``, before top-k and top-p, as TRL
    itself computes old log-probs; a repetition penalty, if one is set, comes before and is included. Memory: one
    [n, vocabulary] tensor at a time, whatever the length.

    Args:
        temperature: the sampling temperature; forgetting it shifts a token's log-prob by up to half a nat at .7.
        entropies: keep the entropy of each step's distribution too, at the same temperature.
        means: keep the mean log-probability of the whole vocabulary at each step too.
    """

    def __init__(self, temperature: float, *, entropies: bool = False, means: bool = False) -> None:
        self.temperature = temperature
        self._means: list[torch.Tensor] | None = [] if means else None
        self._entropies: list[torch.Tensor] | None = [] if entropies else None
        self._pending: tuple[torch.Tensor, torch.Tensor] | None = None
        self._steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self._settle(input_ids[:, -1])
        if self._entropies is not None:
            self._entropies.append(torch.special.entr(torch.softmax(scores.float() / self.temperature, -1)).sum(-1))
        log_normaliser = torch.logsumexp(scores.float() / self.temperature, dim=-1)
        if self._means is not None:
            self._means.append(scores.float().mean(dim=-1) / self.temperature - log_normaliser)
        self._pending = (scores, log_normaliser)
        return scores

    def _settle(self, tokens: torch.Tensor) -> None:
        if self._pending is not None:
            scores, log_normaliser = self._pending
            drawn = scores.gather(1, tokens[:, None]).squeeze(1).float()
            self._steps.append(drawn / self.temperature - log_normaliser)

    def finish(self, sequences: torch.Tensor) -> None:
        """Take the last token from the finished ``sequences`` [n, prompt + T]."""
        self._settle(sequences[:, -1])
        self._pending = None

    def collect(self, completion_ids: list[list[int]]) -> list[list[float]]:
        """One list per completion, as long as the completion (what follows its end-of-text token is dropped)."""
        if not self._steps:
            raise EngineError("the model generated without calling logits processors; no log-probs were recorded")
        table = torch.stack(self._steps, dim=1).tolist()
        return [row[: len(ids)] for row, ids in zip(table, completion_ids, strict=True)]

    def mean_entropies(self, completion_ids: list[list[int]]) -> list[float]:
        """One number per completion (nats): the mean over its own tokens; empty unless entropies are kept."""
        if self._entropies is None:
            return []
        table = torch.stack(self._entropies, dim=1)
        lengths = torch.tensor([[len(ids)] for ids in completion_ids], device=table.device)
        own = torch.arange(table.shape[1], device=table.device) < lengths
        means: list[float] = ((table * own).sum(dim=1) / lengths[:, 0]).tolist()
        return means

    def mean_logprobs(self) -> torch.Tensor | None:
        """[n, steps] mean log-probability of the vocabulary at each step, also after the end; None unless kept."""
        return None if self._means is None else torch.stack(self._means, dim=1)


@contextmanager
def recording(model: Any, recorder: SamplingLogprobs) -> Iterator[None]:
    """Make ``model.generate`` report to ``recorder`` inside the block."""
    generate, own = model.generate, vars(model).get("generate")

    @functools.wraps(generate)
    def recorded(*args: Any, **kwargs: Any) -> Any:
        sequences = generate(*args, logits_processor=[recorder], **kwargs)
        recorder.finish(sequences)
        return sequences

    model.generate = recorded
    try:
        yield
    finally:
        if own is None:
            del model.generate  # the class's own method shows again
        else:
            model.generate = own
