"""CountDown rewards for verl: ``reward.custom_reward_function.path=pkg://unsharpen.engines.verl_reward``.

Supported: the reward loop of verl 0.9. Imports nothing of verl, so that it runs anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from unsharpen.errors import InputError
from unsharpen.tasks import CountDown

DATA_SOURCE = "countdown"
FORMAT_REWARD = 0.0


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str | Mapping[str, Any],
    extra_info: Mapping[str, Any] | None = None,
    format_reward: float = FORMAT_REWARD,
    **_: Any,
) -> dict[str, Any]:
    """Score one answer, and tell answers and solutions apart.

    Args:
        data_source: must be ``countdown``.
        solution_str: the completion; any text has a verdict.
        ground_truth: the problem, ``{"nums": [...], "target": ...}`` or its JSON, as
            ``unsharpen data countdown --format verl`` writes it.
        extra_info: not read but for ``answer_format``: ``tags`` (the default), ``boxed`` or ``bare``.
        format_reward: score of a wrong answer that is an expression; see ``custom_reward_function.reward_kwargs``.

    Returns:
        ``score`` 1 if correct, else ``format_reward`` or 0; ``acc`` 1 or 0; ``answer`` the canonical form of the
        answer, ``""`` if unreadable; ``solution`` the same if correct, else ``""``. Nothing is None, which verl 0.9.0
        would try to average when it validates.

    Raises:
        InputError: another data source, or a ground truth that is no problem.

    Example:
        >>> compute_score("countdown", "<answer>(3 + 5) * 3</answer>", '{"nums": [3, 5, 3], "target": 24}')
        {'score': 1.0, 'acc': 1.0, 'answer': '3*(3+5)', 'solution': '3*(3+5)'}
    """
    if data_source != DATA_SOURCE:
        raise InputError(
            f"this reward function scores data_source {DATA_SOURCE!r}; found {data_source!r}",
            hint="keep other tasks' rows in files of their own, with their own reward function",
        )
    task = CountDown(answer_format=(extra_info or {}).get("answer_format") or "tags")
    try:
        row = json.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth
        problem = task.from_row({"nums": list(row["nums"]), "target": row["target"]})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"reward_model.ground_truth must hold nums and target; found {ground_truth!r:.80}: {error}"
        ) from error
    verdict = task.verify(problem, solution_str)
    readable = verdict.canonical is not None
    return {
        "score": 1.0 if verdict.correct else format_reward * readable,
        "acc": float(verdict.correct),
        "answer": verdict.canonical or "",
        "solution": (verdict.canonical or "") if verdict.correct else "",
    }


def verl_row(task: CountDown, problem: Any, *, split: str, index: int) -> dict[str, Any]:
    """The row of a parquet file as verl reads it; ``extra_info`` has what methods ask for."""
    return {
        "data_source": DATA_SOURCE,
        "prompt": task.prompt(problem, chat=True),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": json.dumps(task.to_row(problem))},
        "extra_info": {
            "split": split,
            "index": index,
            "prompt_id": problem.key,
            "num_solutions": len(task.solutions(problem)),
            "answer_format": task.answer_format,
        },
    }
