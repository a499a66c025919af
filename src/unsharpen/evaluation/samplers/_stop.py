"""End completions at stop texts, for any tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import StoppingCriteria

_TOKENS_PER_CHARACTER: Final = 4
"""Byte-level tokens that one character may take."""


class StopTexts(StoppingCriteria):
    """Ends a row as soon as its text holds a stop text; only the row's last tokens are looked at.

    The criterion of transformers needs a tokenizer that can spell any text; this one needs ``decode`` only.

    Args:
        tokenizer: of the model.
        texts: where to end.
        prompt_width: tokens before the completions.
        num_rows: rows of the batch.

    Attributes:
        lengths: [n] tokens of the completion when its stop text was found; None where none was.
    """

    def __init__(self, tokenizer: Any, texts: Sequence[str], prompt_width: int, num_rows: int) -> None:
        self._tokenizer, self._texts, self._width = tokenizer, tuple(texts), prompt_width
        self._window = _TOKENS_PER_CHARACTER * (max(map(len, texts)) + 1)
        self.lengths: list[int | None] = [None] * num_rows

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        length = input_ids.shape[1] - self._width
        tails = input_ids[:, max(self._width, input_ids.shape[1] - self._window) :].tolist()
        for row, tail in enumerate(tails):
            if self.lengths[row] is None:
                text = self._tokenizer.decode(tail, skip_special_tokens=True)
                if any(stop in text for stop in self._texts):
                    self.lengths[row] = length
        return torch.tensor([found is not None for found in self.lengths], device=input_ids.device)
