"""Guided correction: put a reference solution in the place of some wrong completions, before they are scored."""

from __future__ import annotations

from typing import Any

import torch
from trl import GRPOTrainer
from trl.data_utils import is_conversational

from unsharpen.engines._loss import LossTrainer
from unsharpen.engines._rewards import Correctness
from unsharpen.errors import DataError, EngineError

COLUMN = "reference_solution"
"""Column of the training data: the text of a correct completion for the row's prompt."""


class GuidedTrainer(LossTrainer):
    """``trl.GRPOTrainer`` that corrects the share ``guided_share`` of its wrong completions, if the method says so."""

    _correctness: Correctness
    _rows: list[dict[str, Any]]  # of the batch being generated

    @property
    def _guided_share(self) -> float:
        return float(self.method.recipe.settings.get("guided_share", 0.0))

    def _check_guidance(self) -> None:
        if not self._guided_share:
            return
        name, columns = self.method.name, getattr(self.train_dataset, "column_names", None)
        if columns is not None and COLUMN not in columns:
            raise EngineError(
                f"method `{name}` with guided above 0 needs reference solutions; the training data has no column "
                f"`{COLUMN}`",
                hint=f"a column `{COLUMN}` with the text of a correct completion, or guided=0",
            )
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise EngineError(f"method `{name}` with guided above 0 can't run on a model split over processes")

    def _guide(self, prompt_ids: list[list[int]], completion_ids: Any, logprobs: Any) -> tuple[Any, Any]:
        """Completions and log-probs with some wrong ones replaced; their entropies in ``self._entropies`` too."""
        chosen = self._choose(completion_ids)
        self._metrics["train"]["guided"].append(len(chosen) / len(completion_ids))
        if not chosen:
            return completion_ids, logprobs
        completion_ids, logprobs = list(completion_ids), list(logprobs)
        for i in chosen:
            completion_ids[i] = self._reference_ids(self._rows[i])
        scored = self._score([prompt_ids[i] for i in chosen], [completion_ids[i] for i in chosen])
        for i, row, entropy in zip(chosen, *scored, strict=True):
            logprobs[i] = row
            if self._entropies:
                self._entropies[i] = entropy
        return completion_ids, logprobs

    def _choose(self, completion_ids: Any) -> list[int]:
        """Places of the wrong completions that are to be corrected; calls the reward functions for it."""
        rows = self._rows
        texts: list[Any] = self._tokenizer.batch_decode(completion_ids, skip_special_tokens=True)
        if is_conversational(rows[0]):
            texts = [[{"role": "assistant", "content": text}] for text in texts]
        prompts = [row["prompt"] for row in rows]
        table = GRPOTrainer._calculate_rewards(self, rows, prompts, texts, completion_ids)
        verdicts = self._correctness(table, rows, prompts, texts, completion_ids)
        self._pending_extra_logs.clear()  # of what is scored again below
        self._pending_metrics.clear()
        start = self.accelerator.process_index * len(rows)
        wrong = ~verdicts[start : start + len(rows)].cpu()
        chosen: list[int] = torch.nonzero(wrong & (torch.rand(len(rows)) < self._guided_share))[:, 0].tolist()
        return chosen

    def _reference_ids(self, row: dict[str, Any]) -> list[int]:
        text = row[COLUMN]
        if not isinstance(text, str) or not text:
            raise DataError(f"`{COLUMN}` must be text, found {text!r}")
        ids = [*self._tokenizer(text, add_special_tokens=False)["input_ids"], self._tokenizer.eos_token_id]
        if len(ids) > self.max_completion_length:
            raise DataError(
                f"a `{COLUMN}` has {len(ids)} tokens, more than max_completion_length {self.max_completion_length}",
                hint="raise max_completion_length, or leave such rows out",
            )
        return ids

    def _score(self, prompts: list[list[int]], completions: list[list[int]]) -> tuple[list[list[float]], list[float]]:
        """Log-probs of the tokens, and the mean entropy, of each given completion under the policy."""
        width, longest = (max(map(len, part)) for part in (prompts, completions))
        device, pad = self.accelerator.device, self._tokenizer.pad_token_id
        ids = torch.full((len(prompts), width + longest), pad, device=device)
        mask = torch.zeros_like(ids)
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
            place = slice(width - len(prompt), width + len(completion))
            ids[i, place], mask[i, place] = torch.tensor([*prompt, *completion], device=device), 1
        with torch.no_grad():
            logprobs, entropies, _ = self._get_per_token_logps_and_entropies(
                self.model, ids, mask, longest, compute_entropy=True
            )
        lengths = [len(completion) for completion in completions]
        rows = [row[:length] for row, length in zip(logprobs.tolist(), lengths, strict=True)]
        means = [sum(row[:length]) / length for row, length in zip(entropies.tolist(), lengths, strict=True)]
        return rows, means
