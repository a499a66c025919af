"""What a sampler is: requests in, finished samples out, as soon as they are there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from unsharpen.errors import InputError
from unsharpen.tasks.base import Prompt

MAX_SAMPLES: Final = 1 << 20
"""Most samples per problem."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample. Pass@k depends on all of it, so every result states it.

    Attributes:
        temperature: above 0; Pass@1 is a mean over samples, never greedy.
        top_p: nucleus; 1 is off.
        top_k: only the k likeliest tokens; 0 is off, None is off or what a server has set.
        min_p: only tokens at least this likely relative to the likeliest; None as above.
        max_new_tokens: completions are cut there.
        stop: texts that end a completion; they are not part of it.
        chat_template_kwargs: passed to the chat template, e.g. ``{"enable_thinking": False}``.
        thinking_budget: tokens after which an open ``<think>`` block is closed by force; None is no limit.
        seed: of all samples; see :func:`sample_seed`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    min_p: float | None = None
    max_new_tokens: int = 4096
    stop: tuple[str, ...] = ()
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    thinking_budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        rules = (
            ("temperature", 0 < self.temperature < float("inf"), "above 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k is None or self.top_k >= 0, "at least 0"),
            ("min_p", self.min_p is None or 0 <= self.min_p <= 1, "0 to 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("stop", all(self.stop), "texts of at least one character"),
            ("thinking_budget", self.thinking_budget is None or self.thinking_budget >= 0, "at least 0"),
        )
        for name, valid, wanted in rules:
            if not valid:
                raise InputError(f"{name} must be {wanted}; found {getattr(self, name)!r}")


@dataclass(frozen=True)
class Request:
    """One problem's samples that are wanted.

    Attributes:
        problem_id: the problem.
        prompt: plain text or a conversation.
        num_samples: samples of the problem in all; a sampler lays its batches by this, so that a resumed run has the
            same batches as an undisturbed one.
        missing: those of 0 to num_samples-1 that are wanted now, ascending.
    """

    problem_id: str
    prompt: Prompt
    num_samples: int
    missing: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One finished completion.

    Attributes:
        problem_id: the problem.
        sample_id: which of its samples.
        completion: the text, without special tokens and stop texts.
        finish_reason: ``"stop"``, ``"length"``, or what the backend says; empty where unknown.
        num_tokens: with the end-of-text token; None where unknown.
        logprob: summed over the tokens, nats, under the model at temperature 1 without filters, as OpenAI and vLLM
            define it; None where unknown.
        final: the part to grade, where the backend itself tells it from the reasoning; None is all.
    """

    problem_id: str
    sample_id: int
    completion: str
    finish_reason: str = ""
    num_tokens: int | None = None
    logprob: float | None = None
    final: str | None = None


class Sampler(Protocol):
    """A source of samples. Construction finds out whether the model is there; the weights may come later.

    Attributes:
        chat: whether the model wants conversations.
    """

    chat: bool

    def sample(self, requests: Sequence[Request]) -> Iterator[list[Sample]]:
        """Yield samples that became ready together, in any order, each exactly once."""
        ...

    def close(self) -> None:
        """Stop at once what is under way."""
        ...


def sample_seed(seed: int, problem_id: str, sample_id: int) -> int:
    """The seed of one sample: the same however samples are batched, and in a resumed run.

    ``base(seed, problem) + sample_id``, below 2**31. vLLM gives the i-th of n samples the request's seed plus i, so a
    request for a run of samples gives each the seed that it has alone.

    >>> sample_seed(0, "a", 3) - sample_seed(0, "a", 0)
    3
    """
    digest = hashlib.sha256(f"{seed}\0{problem_id}".encode("utf-8", "backslashreplace")).digest()
    return int.from_bytes(digest[:4], "big") % (1 << 30) + sample_id


def runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, length) of each run of consecutive numbers.

    >>> list(runs([0, 1, 2, 5, 7, 8]))
    [(0, 3), (5, 1), (7, 2)]
    """
    start = 0
    for i in range(1, len(numbers) + 1):
        if i == len(numbers) or numbers[i] != numbers[i - 1] + 1:
            yield numbers[start], i - start
            start = i
