"""What decides that a completion is correct, what reward functions may return, and what they may log."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unsharpen import get_method
from unsharpen.engines._fields import FieldTrainer, loggable
from unsharpen.engines._rewards import require_numbers, resolve_correctness
from unsharpen.engines.trl import DiverseGRPOTrainer
from unsharpen.errors import EngineError, InputError, UnsharpenWarning

from .conftest import Make, countdown_reward
from .test_trl import trained

NAN = math.nan


def fake(*names: str, step: int = 0) -> Any:
    """As much of a trainer as is read."""
    accelerator, state = SimpleNamespace(is_main_process=True), SimpleNamespace(global_step=step)
    return SimpleNamespace(reward_func_names=list(names), state=state, environments=None, accelerator=accelerator)


def found_correct(
    correctness: Any, table: list[list[float]], names: tuple[str, ...] = ("a", "b"), step: int = 0
) -> list[bool]:
    """What is correct among completions with these rewards."""
    decide = resolve_correctness(correctness, fake(*names, step=step), threshold=0.5)
    rows: list[dict[str, Any]] = [{} for _ in table]
    verdicts: list[bool] = decide(torch.tensor(table), rows, rows, rows, rows).tolist()
    return verdicts


# --- what decides ----------------------------------------------------------------------------------------------------


def test_a_completion_that_others_score_is_not_wrong_for_want_of_a_verdict() -> None:
    table = [[1.0, NAN], [NAN, 1.0], [NAN, NAN]]
    with pytest.raises(EngineError, match="a returned None for 1 completions of this batch that b scored") as caught:
        found_correct("a", table)
    assert "correctness=['one', 'other']" in str(caught.value)
    with pytest.raises(EngineError, match=r"`correctness` returned None for 1 completions .* that a scored"):
        found_correct(lambda **_: [None, 1, None], table)
    with pytest.warns(UnsharpenWarning, match="a returned None for 1 .* that b scored; they count as wrong"):
        assert found_correct("a", table, step=10) == [True, False, False]  # one bad row does not end a run
    # what no function scored is no completion to learn from
    assert found_correct("a", [[1.0, NAN], [0.2, 1.0], [NAN, NAN]]) == [True, False, False]
    assert found_correct(None, [[1.0], [NAN]], names=("a",)) == [True, False]
    assert found_correct(lambda **_: [True, False, None], table) == [True, False, False]


def test_each_of_several_functions_decides_on_its_own_rows() -> None:
    table = [[1.0, NAN], [NAN, 1.0], [0.0, NAN], [NAN, 0.4], [1.0, 0.0], [1.0, 1.0], [NAN, NAN]]
    assert found_correct(["a", "b"], table) == [True, True, False, False, False, True, False]
    assert found_correct(("b", "a"), table) == [True, True, False, False, False, True, False]


def test_two_tasks_learn_as_one_does(make_trainer: Make, rows: list[dict[str, Any]]) -> None:
    def scorer(task: int) -> Callable[..., list[float | None]]:
        def reward(completions: list[str], nums: Any, target: Any, **kwargs: Any) -> list[float | None]:
            scores = countdown_reward(completions, nums, target, log_extra=lambda *_: None)
            return [score if goal % 2 == task else None for goal, score in zip(target, scores, strict=True)]

        reward.__name__ = f"task_{task}"
        return reward

    assert len({row["target"] % 2 for row in rows}) == 2
    method = get_method("ds-grpo-robust")
    whole = trained(make_trainer(method))
    both = {"reward_funcs": [scorer(0), scorer(1)]}
    parts = trained(make_trainer(method, trainer={"correctness": ["task_0", "task_1"]}, **both))
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    with pytest.raises(EngineError, match=r"task_0 returned None for \d+ completions of this batch that task_1 scored"):
        make_trainer(method, trainer={"correctness": "task_0"}, **both).train()


def test_one_name_for_two_functions(make_trainer: Make) -> None:
    functions = [lambda completions, **_: [0.1] * len(completions), lambda completions, **_: [1.0] * len(completions)]
    with pytest.raises(EngineError, match="must name one reward function each; found 2 of the name '<lambda>'"):
        make_trainer("ds-grpo-robust", reward_funcs=functions, trainer={"correctness": "<lambda>"})
    assert found_correct("c", [[0.1, 0.1, 1.0]], names=("a", "a", "c")) == [True]


@pytest.mark.parametrize("correctness", [None, "c", 0, [], ["a", "c"], ["a", 0], {"a": 1}])
def test_nothing_that_decides(correctness: Any) -> None:
    with pytest.raises(
        EngineError, match=r"which reward decides that a completion is correct(.|\n)*reward functions a, b"
    ):
        resolve_correctness(correctness, fake("a", "b"), threshold=0.5)


@pytest.mark.parametrize("threshold", ["0.5", None, NAN, math.inf, True, [0.5]])
def test_a_threshold_is_a_finite_number(threshold: Any) -> None:
    with pytest.raises(EngineError, match=r"`correct_threshold` must be a finite number; found "):
        resolve_correctness("a", fake("a"), threshold=threshold)
    assert resolve_correctness("a", fake("a"), threshold=np.float32(0.5))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", [None, {"name": "ds-grpo"}, get_method])
def test_a_method_is_a_name_or_a_method(method: Any) -> None:
    with pytest.raises(EngineError, match="`method` must be a catalogue name or a Method; found "):
        DiverseGRPOTrainer(method=method)


# --- what reward functions return ------------------------------------------------------------------------------------


def test_an_iterator_is_as_good_as_a_list(make_trainer: Make) -> None:
    def lazily(completions: list[str], **kwargs: Any) -> Any:
        return map(float, countdown_reward(completions, **kwargs))

    listed, lazy = trained(make_trainer("ds-grpo")), trained(make_trainer("ds-grpo", reward_funcs=lazily))
    assert all(torch.equal(a, b) for a, b in zip(listed, lazy, strict=True))
    assert found_correct(lambda **_: (x for x in (True, 0)), [[1.0, 1.0]] * 2) == [True, False]


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (["1", "2"], "found '1' for completion 0 of this batch"),
        ([0.5, {"score": 1}], r"found \{'score': 1\} for completion 1 of this batch"),
        ([0.5, [1.0]], r"found \[1.0\] for completion 1"),
        ([torch.ones(2)], r"found tensor\(\[1., 1.\]\) for completion 0"),
        (None, "for each completion; found None"),
        (1.0, "for each completion; found 1.0"),
        ([0.5, NAN], "returned NaN for completion 1"),
    ],
)
def test_what_is_no_number_is_named(returned: Any, words: str) -> None:
    def broken(**_: Any) -> Any:
        return returned

    with pytest.raises(InputError, match=f"reward function 'broken' .*{words}"):
        require_numbers(broken)()
    with pytest.raises(InputError, match=f"`correctness` .*{words}"):
        found_correct(broken, [[1.0, 1.0]] * 2)


def test_an_error_inside_a_reward_function_stays_what_it_is() -> None:
    def lazily(**_: Any) -> Any:
        yield 1.0
        raise TypeError("of the user's own")

    with pytest.raises(TypeError, match="of the user's own") as caught:
        require_numbers(lazily)()
    assert not isinstance(caught.value, InputError)


# --- what they log ---------------------------------------------------------------------------------------------------


def test_a_logged_column_has_one_type() -> None:
    for values in (["a", None, "b"], [1, 2.5, None], [True, False], [None, None], [np.int64(3), np.float32(1)], []):
        assert loggable(deque(values)) == values  # as they are
    assert loggable([1, "a", None]) == ["1", "a", None]
    assert loggable([(1, "a"), ("b", 2)]) == ["(1, 'a')", "('b', 2)"]
    assert loggable([True, 2]) == ["True", "2"]
    assert loggable([2**70, 1]) == [str(2**70), "1"]


def test_whatever_is_logged_reaches_the_table(make_trainer: Make, tmp_path: Path) -> None:
    def reward(completions: list[str], log_extra: Any, **_: Any) -> list[float]:
        log_extra("answer", [(1, text) if i % 3 else i for i, text in enumerate(completions)])
        log_extra("solution", [(i, text) if i % 2 else None for i, text in enumerate(completions)])
        log_extra("other", completions)
        return [float(i % 2) for i in range(len(completions))]

    make_trainer("ips", reward_funcs=reward, log_completions=True, max_steps=2).train()
    table = pd.read_parquet(tmp_path / "out" / "completions" / "completions_00002.parquet")
    texts = table["completion"].tolist()
    assert table["other"].tolist() == texts
    assert table["answer"].tolist() == [repr((1, text)) if i % 3 else str(i) for i, text in enumerate(texts)]
    assert table["solution"].fillna("").tolist() == [repr((i, text)) if i % 2 else "" for i, text in enumerate(texts)]


def test_plain_text_is_logged_as_trl_logs_it(make_trainer: Make, tmp_path: Path) -> None:
    tables = []
    for method in (None, "grpo"):
        make_trainer(method, log_completions=True, max_steps=1).train()
        tables.append(pd.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet"))
    pd.testing.assert_frame_equal(*tables)


def test_a_solution_that_can_not_be_told_apart() -> None:
    logged = {"solution": ["a", None, (1, [2])]}
    trainer: Any = SimpleNamespace(_pending_extra_logs=logged, solution_column="solution")
    with pytest.raises(
        InputError, match=r"log_extra\('solution', ...\) must give a hashable .* found \(1, \[2\]\) for"
    ) as caught:
        FieldTrainer._solution_ids(trainer, 3)
    assert "completion 2 of this batch" in str(caught.value)
