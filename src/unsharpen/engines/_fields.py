"""What a method may ask for beyond rewards and log-probs: answers, prompts, entropies, embeddings, and a memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather, gather_object
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOTrainer

from unsharpen.engines._identity import answer_id, prompt_id
from unsharpen.errors import EngineError, InputError
from unsharpen.methods import Method

SUPPLIED = frozenset(
    {
        "answers",
        "embeddings",
        "entropies",
        "lengths",
        "logprobs",
        "max_lengths",
        "num_solutions",
        "prompt_ids",
        "reference_logprobs",
    }
)
"""Optional fields of a GroupBatch that the TRL engine can fill."""

PER_PROMPT = ("max_lengths", "num_solutions", "prompt_ids")
MEMORY_FILE = "unsharpen_memory.json"

Embed = Callable[[list[str]], Any]
"""n texts -> array [n, D]."""


class FieldTrainer(GRPOTrainer):
    """``trl.GRPOTrainer`` that collects the fields that ``self.method`` requires, and saves and restores its memory."""

    method: Method
    answer_column: str
    solution_column: str
    embed: Embed | None
    _entropies: list[float]
    _means: torch.Tensor | None = None

    @property
    def _needs_means(self) -> bool:
        term = self.method.recipe.loss_term
        return term is not None and "old_mean_logprobs" in term.requires

    def _check_columns(self) -> None:
        """Raise, naming the column, where it is plain before the first step that it will be missing."""
        columns = getattr(self.train_dataset, "column_names", None)  # a stream may not know them
        if "num_solutions" in self.method.requires and columns is not None and "num_solutions" not in columns:
            raise EngineError(
                f"method `{self.method.name}` needs num_solutions; the training data has no such column",
                hint="a column `num_solutions`: how many distinct correct answers exist for the row's prompt",
            )

    def _collect_fields(self, inputs: Any, prompts: Any, completions: Any) -> dict[str, torch.Tensor]:
        """The required fields for the global batch, one row per completion; none during an evaluation."""
        if not self.model.training:
            return {}
        makers: dict[str, Callable[[], Any]] = {
            "answers": lambda: self._answers(len(prompts)),
            "max_lengths": lambda: [self.max_completion_length] * len(prompts),
            "num_solutions": lambda: [row["num_solutions"] for row in inputs],
            "prompt_ids": lambda: [
                prompt_id(row, prompt, place="a column `prompt_id` in the training data")
                for row, prompt in zip(inputs, prompts, strict=True)
            ],
            "entropies": lambda: self._entropies,
            "embeddings": lambda: self._embeddings(completions),
        }
        device = self.accelerator.device
        needed = sorted(makers.keys() & self.method.requires)  # every process gathers in the same order
        return {name: gather(torch.as_tensor(makers[name](), device=device)) for name in needed}

    def _answers(self, num_completions: int) -> list[int]:
        values = self._pending_extra_logs.get(self.answer_column)
        if values is None:
            raise EngineError(
                f"method `{self.method.name}` needs the completions' answers; no reward function logged any",
                hint=f"in a reward function: log_extra({self.answer_column!r}, answers), a hashable or None for each "
                "completion; another column's name is answer_column=...",
            )
        if len(values) != num_completions:
            raise InputError(
                f"log_extra({self.answer_column!r}, ...) must give {num_completions} answers, one per completion; "
                f"found {len(values)}"
            )
        return [answer_id(value) for value in values]

    def _solution_ids(self, num_completions: int) -> list[Any] | None:
        """What tells solutions apart, for the global batch; None where no reward function of any process logged it."""
        values = self._pending_extra_logs.get(self.solution_column)
        counts = set(gather_object([-1 if values is None else len(values)]))
        if wrong := counts - {-1, num_completions}:
            raise InputError(
                f"log_extra({self.solution_column!r}, ...) must give {num_completions} solutions, one per completion; "
                f"found {max(wrong)}"
            )
        if counts == {-1}:
            return None
        gathered: list[Any] = gather_object([None] * num_completions if values is None else list(values))
        for row, value in enumerate(gathered):
            _require_hashable(value, row, self.solution_column)
        return gathered

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """As TRL does, whatever answers and solutions are: a column of its table of completions has one type."""
        extra = self._logs["extra"]
        for column in {self.solution_column, self.answer_column} & extra.keys() if self.log_completions else ():
            extra[column] = deque(loggable(extra[column]), maxlen=extra[column].maxlen)
        super().log(logs, *args, **kwargs)

    def _embeddings(self, completions: Any) -> torch.Tensor:
        assert self.embed is not None
        table = torch.as_tensor(self.embed([text_of(completion) for completion in completions])).float()
        if table.dim() != 2 or len(table) != len(completions):
            raise InputError(
                f"`embed` must return an array [n, D] for n texts; found shape {tuple(table.shape)} for "
                f"{len(completions)} texts"
            )
        return table

    # --- memory ----------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.method.memory is not None and self.args.should_save:
            # first of all, since a checkpoint counts as complete when its last file is there; it should lie between two
            # batches of completions, as those of `unsharpen train` do, or the batch in hand is made and counted again
            folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MEMORY_FILE).write_text(json.dumps(self.method.memory.state_dict()), encoding="utf-8")
        super()._save_checkpoint(model, trial)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.method.memory is None or checkpoint is None:
            return
        path = Path(checkpoint) / MEMORY_FILE
        try:
            self.method.memory.load_state_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise EngineError(
                f"method `{self.method.name}` continues from its memory, and {path} can't be read: {error}",
                hint="resume with the method that wrote the checkpoint, or start anew",
            ) from error


def _require_hashable(value: Any, row: int, column: str) -> None:
    try:
        hash(value)
    except TypeError as error:
        raise InputError(
            f"log_extra({column!r}, ...) must give a hashable or None for each completion; found {value!r} for "
            f"completion {row} of this batch",
            hint="a text or a tuple that is the same for equal solutions, such as repr(value)",
        ) from error


def loggable(values: Iterable[Any]) -> list[Any]:
    """Values that one column of a table can hold: as they are if all text, all bool or all numbers, else as text."""
    values = list(values)
    kinds = {_column_type(value) for value in values if value is not None}
    if len(kinds) <= 1 and "other" not in kinds:
        return values
    return [value if value is None else str(value) for value in values]


def _column_type(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "bool"
    number = isinstance(value, float | np.floating) or (isinstance(value, int | np.integer) and abs(int(value)) < 2**63)
    return "number" if number else "other"


def text_of(completion: str | list[dict[str, Any]]) -> str:
    """The text of a completion; of a conversation, that of its messages."""
    if isinstance(completion, str):
        return completion
    return " ".join(str(message.get("content") or "") for message in completion)
