"""Guided correction: wrong completions make room for the reference, with the log-probs and entropies that it has."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset
from torch.testing import assert_close

from unsharpen import get_method
from unsharpen.errors import DataError, EngineError, InputError

from .conftest import TASK, Make
from .test_fields import kept_batches
from .test_trl import recomputed_entropies, recomputed_logprobs


def with_reference(rows: list[dict[str, Any]], text: str | None = None) -> dict[str, Any]:
    """The data with a solution of each problem."""
    made = []
    for row in rows:
        solution = next(iter(TASK.solutions(TASK.problem(row["nums"], row["target"]))))
        made.append({**row, "reference_solution": str(solution) if text is None else text})
    return {"train_dataset": Dataset.from_list(made)}


def test_all_wrong_completions_are_corrected(make_trainer: Make, rows: list[dict[str, Any]]) -> None:
    method = get_method("edge-grpo", guided=1.0)
    trainer = make_trainer(method, trainer=with_reference(rows), max_completion_length=40, max_steps=2)
    batches = kept_batches(trainer)
    original, expected = trainer._generate_and_score_completions, []

    def check(inputs: Any) -> Any:
        output = original(inputs)
        references = {row["prompt"]: row["reference_solution"] for row in inputs}
        texts = ["".join(text.split()) for text in list(trainer._logs["completion"])[-12:]]
        corrected = [text == references[row["prompt"]] for row, text in zip(inputs, texts, strict=True)]
        assert trainer._correct.all()  # the others were correct as sampled
        assert any(corrected)
        assert not all(corrected)
        logprobs = recomputed_logprobs(trainer, output).sum(1)
        expected.append((logprobs, recomputed_entropies(trainer, output)))
        return output

    trainer._generate_and_score_completions = check
    trainer.train()
    for batch, (_, entropies) in zip(batches, expected, strict=True):
        assert_close(batch.entropies.reshape(-1), entropies, atol=1e-4, rtol=1e-4)
    assert all(row["guided"] > 0 for row in trainer.state.log_history if "guided" in row)
    logged = len(list(trainer._logs["extra"]["solution"]))
    assert logged == len(list(trainer._logs["completion"]))  # the first scoring left nothing behind


def test_without_guidance_it_is_the_entropy_half(make_trainer: Make) -> None:
    assert get_method("edge-grpo").recipe.settings == {}
    assert make_trainer("edge-grpo")._guided_share == 0.0


def test_bad_input(make_trainer: Make, rows: list[dict[str, Any]]) -> None:
    method = get_method("edge-grpo", guided=1.0)
    with pytest.raises(EngineError, match="needs reference solutions; the training data has no column"):
        make_trainer(method)
    with pytest.raises(InputError, match=r"guided must be in \[0, 1\], found 2"):
        get_method("edge-grpo", guided=2.0)
    trainer = make_trainer(method, trainer=with_reference(rows, ""), max_steps=1)
    with pytest.raises(DataError, match="`reference_solution` must be text, found ''"):
        trainer.train()
    trainer = make_trainer(method, trainer=with_reference(rows, "1 + " * 30), max_steps=1)
    with pytest.raises(DataError, match="more than max_completion_length 14"):
        trainer.train()
