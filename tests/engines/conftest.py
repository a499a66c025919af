"""A trainer on the shipped model, small enough for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.tasks import CountDown
from unsharpen.training.build import load_tokenizer
from unsharpen.training.config import RunConfig, model_path

TASK = CountDown(answer_format="bare")


def countdown_reward(completions: list[str], nums: list[list[int]], target: list[int], **kwargs: Any) -> list[float]:
    """1 if correct, .1 for a well-formed wrong answer, else 0; so that "reward > 0" is not "correct"."""
    verdicts = [TASK.verify(TASK.problem(n, t), c) for n, t, c in zip(nums, target, completions, strict=True)]
    kwargs["log_extra"]("solution", [v.canonical if v.correct else None for v in verdicts])
    kwargs["log_extra"]("answer", [v.canonical for v in verdicts])
    return [1.0 if v.correct else 0.1 * (v.canonical is not None) for v in verdicts]


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """Problems that the shipped model solves in one try of three, so that groups are mixed."""
    options = {"sizes": (4,), "numbers": (1, 10), "targets": (1, 60), "multiplicity": (2, None)}
    problems = TASK.generate(12, seed=5, split="train", **options)
    return [{"prompt": TASK.prompt(p), "nums": list(p.nums), "target": p.target} for p in problems]


Make = Callable[..., Any]


@pytest.fixture
def make_trainer(tmp_path: Path, rows: list[dict[str, Any]]) -> Make:
    """Plain TRL for method None, else ours; keyword arguments are fields of GRPOConfig."""

    def make(
        method: Any = None,
        *,
        reward_funcs: Any = countdown_reward,
        trainer: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Any:
        config = RunConfig()
        settings = {
            "output_dir": str(tmp_path / "out"),
            "per_device_train_batch_size": 12,
            "num_generations": 6,
            "max_completion_length": 14,
            "max_steps": 3,
            "learning_rate": 1e-3,
            "gradient_checkpointing": False,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
            "save_strategy": "no",
            "logging_steps": 1,
            "dataloader_pin_memory": False,
            "seed": 3,
            **fields,
        }
        common = {
            "model": model_path(config),
            "reward_funcs": reward_funcs,
            "args": GRPOConfig(**settings),
            "train_dataset": Dataset.from_list(rows),
            "processing_class": load_tokenizer(config),
            **(trainer or {}),
        }
        if method is None:
            return GRPOTrainer(**common)
        return DiverseGRPOTrainer(method=method, **common)

    return make
