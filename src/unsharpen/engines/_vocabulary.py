"""The logits of the completions' tokens, which TRL's fused head computes in tiles and does not keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from unsharpen.errors import EngineError

_SCALES = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")


def causal_model(model: Any) -> Any:
    """The model with the language-model head: that under the adapters, if there are any."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def check_head(model: Any, *, sharded: bool, by: str) -> None:
    """Raise unless logits are the plain product of hidden states and head, on this process."""
    config = causal_model(model).config.get_text_config()
    found = next((name for name in _SCALES if getattr(config, name, None) is not None), None)
    if sharded or found is not None:
        what = "a model split over processes (FSDP, DeepSpeed)" if sharded else f"a model whose config sets {found}"
        raise EngineError(
            f"method `{by}` needs logits at every update, which the TRL engine does not supply for {what}",
            hint="train on one process or with DDP, or choose a method without that need",
        )


@contextmanager
def last_hidden_states(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collect the last hidden states [n, L, D] of each forward pass of the unwrapped ``model``; of None, nothing."""
    kept: list[torch.Tensor] = []
    if model is None:
        yield kept
        return
    handle = causal_model(model).base_model.register_forward_hook(
        lambda module, inputs, output: kept.append(output.last_hidden_state)
    )
    try:
        yield kept
    finally:
        handle.remove()


def token_logprobs(model: Any, hidden: torch.Tensor, num_tokens: int, temperature: float) -> torch.Tensor:
    """[n, T, vocabulary] log-probabilities before each of the last T tokens, with gradient."""
    head = causal_model(model).get_output_embeddings()
    logits: torch.Tensor = head(hidden[:, -num_tokens - 1 : -1].to(head.weight.dtype))
    return torch.log_softmax(logits.float() / temperature, dim=-1)
