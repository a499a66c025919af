"""The evaluation on several processes: all generate equally often, and each problem is judged once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unsharpen.tasks import CountDown
from unsharpen.training import evaluate
from unsharpen.training.config import RunConfig
from unsharpen.training.folder import RunFolder
from unsharpen.training.problems import Problems
from unsharpen.training.trl_arguments import grpo_config


@pytest.mark.parametrize("num_problems", [1, 3, 4])
def test_all_processes_generate_equally_often(num_problems: int, tmp_path: Path, monkeypatch: Any) -> None:
    task = CountDown(answer_format="bare")
    problems = Problems(task, [], task.generate(num_problems, seed=5), chat=False)
    generated, gathered = [0, 0], []

    def sample(model: Any, tokenizer: Any, prompts: Any, **_: Any) -> Iterator[list[str]]:
        for _ in prompts:
            generated[rank] += 1
            yield ["1"]

    monkeypatch.setattr(evaluate, "sample", sample)
    monkeypatch.setattr(evaluate, "gather_object", lambda texts: gathered.extend(texts) or texts)
    monkeypatch.setattr(evaluate, "unwrap_model_for_generation", lambda *_: contextlib.nullcontext())
    trainer: Any = SimpleNamespace(
        args=grpo_config(RunConfig(), tmp_path), model_wrapped=None, accelerator=None, processing_class=None
    )
    for rank in (0, 1):
        state = SimpleNamespace(process_index=rank, num_processes=2, is_main_process=False)
        monkeypatch.setattr(evaluate, "PartialState", lambda state=state: state)
        evaluate.make_evaluate(trainer, RunConfig(), RunFolder(tmp_path), problems)(0, 1)
    assert generated == [(num_problems + 1) // 2] * 2
    assert sorted(place for place, _ in gathered) == list(range(num_problems))
