"""Sample completions with ``transformers``: the default, on CPU and GPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from unsharpen.errors import InputError
from unsharpen.tasks.base import Prompt


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How to sample. Pass@k depends on all of it, so every result states it.

    Attributes:
        temperature: above 0; Pass@1 is a mean over samples, never greedy.
        top_p: nucleus; 1 is off.
        max_new_tokens: completions are cut there.
        top_k: only the k likeliest tokens; 0 is off.
        min_p: only tokens at least this likely relative to the likeliest; None is off.
        repetition_penalty: 1 is off.
        chat_template_kwargs: passed to the chat template.
        batch_size: completions in flight at once; it bounds memory.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 1024
    top_k: int = 0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 512

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1 or self.batch_size < 1:
            raise InputError(
                f"sampling needs temperature > 0, 0 < top_p <= 1, max_new_tokens >= 1 and batch_size >= 1; found {self}"
            )


def sample(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], *, num_samples: int, settings: SamplingSettings, seed: int
) -> Iterator[list[str]]:
    """Yield ``num_samples`` completions for each prompt, in order, without special tokens.

    The global random state is left as it was, so evaluating during training does not change the training.

    Args:
        model: a causal language model with ``generate``.
        tokenizer: its tokenizer, with a pad token; conversations go through its chat template.
        prompts: plain texts or conversations.
        num_samples: completions per prompt.
        settings: temperature and limits.
        seed: of the sampling.
    """
    was_training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.manual_seed(seed)
            flat = (
                text
                for chunk in _chunks(prompts, num_samples, settings.batch_size)
                for text in _generate(model, tokenizer, chunk, settings)
            )
            for _ in prompts:
                yield [next(flat) for _ in range(num_samples)]
    finally:
        model.train(was_training)


def _chunks(prompts: Sequence[Prompt], num_samples: int, size: int) -> Iterator[list[Prompt]]:
    repeated = [prompt for prompt in prompts for _ in range(num_samples)]
    for start in range(0, len(repeated), size):
        yield repeated[start : start + size]


def _generate(model: Any, tokenizer: Any, prompts: list[Prompt], settings: SamplingSettings) -> list[str]:
    texts = [_as_text(tokenizer, prompt, settings.chat_template_kwargs) for prompt in prompts]
    chat = not isinstance(prompts[0], str)
    encoded = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=not chat).to(
        model.device
    )
    encoded.pop("token_type_ids", None)
    sequences = model.generate(
        **encoded,
        do_sample=True,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        max_new_tokens=settings.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
    )
    completions = sequences[:, encoded["input_ids"].shape[1] :]
    decoded: list[str] = tokenizer.batch_decode(completions, skip_special_tokens=True)
    return decoded


def _as_text(tokenizer: Any, prompt: Prompt, template: Mapping[str, Any]) -> str:
    if isinstance(prompt, str):
        return prompt
    text: str = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **template)
    return text
