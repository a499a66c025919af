"""Rows as other tools write them, made for these tests, and what an import of them says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unsharpen.metrics import SampleTable


def write(path: Path, rows: Iterable[Mapping[str, Any]], tail: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail, "utf-8")
    return path


def own(problem: str = "p", sample: int = 0, **change: Any) -> dict[str, Any]:
    """A row as `unsharpen eval` writes it."""
    row = {"task": "t", "problem_id": problem, "sample_id": sample, "model": "m", "completion": "1+2", "seed": 0}
    row |= {"finish_reason": "stop", "num_tokens": 3, "logprob": -1.5, "correct": True, "reason": "correct"}
    return row | {"canonical": "1+2"} | change


def harness(doc_id: int = 0, **change: Any) -> dict[str, Any]:
    """A row as lm-evaluation-harness logs it for a task that generates text."""
    row = {"doc_id": doc_id, "doc": {"question": f"question {doc_id}?", "answer": "#### 3"}, "target": "3"}
    row |= {"arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": ["\n"]}}}, "resps": [["so 3"]]}
    row |= {"filtered_resps": ["3"], "filter": "strict-match", "metrics": ["exact_match"], "exact_match": 1.0}
    return row | {"doc_hash": "d", "prompt_hash": "p", "target_hash": "t"} | change


def newer(**change: Any) -> dict[str, Any]:
    doc = {"query": "2+1?", "choices": ["3"], "gold_index": [0], "specific": {"extracted_predictions": ["3"]}}
    response = {"text": ["so 3"], "input": "2+1?", "output_tokens": [[1, 2]], "logprobs": []}
    return {"doc": doc, "metric": {"extractive_match": 1.0}, "model_response": response} | change


def older(**change: Any) -> dict[str, Any]:
    row = {"example": "2+1?", "full_prompt": "Q: 2+1?", "predictions": ["so 3"], "gold": ["3"]}
    return row | {"metrics": {"extractive_match": 1.0}, "specifics": {"extracted_predictions": ["3"]}} | change


def dump(prompt: str = "2+1?", **change: Any) -> dict[str, Any]:
    """A row as verl dumps it."""
    return {"input": prompt, "output": "so 3", "gts": "3", "score": 1.0, "step": 20} | change


def correct(table: SampleTable) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {name: [] for name in table.problem_ids}
    for p, right in zip(table.problem.tolist(), table.correct.tolist(), strict=True):
        found[table.problem_ids[p]].append(right)
    return found


def answers(table: SampleTable) -> list[str | None]:
    return [None if code < 0 else table.answer_names[code] for code in table.answers.tolist()]
