"""The data of the models that ``scripts/make_countdown_tiny.py`` trains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random
from typing import Any

import pytest

from unsharpen.tasks import CountDown, CountDownProblem
from unsharpen.tasks.countdown import expression

PROBLEM = CountDownProblem((2, 3, 4, 5), 24)


@pytest.fixture(scope="module")
def script() -> Any:
    pytest.importorskip("transformers")
    path = Path(__file__).parents[1] / "scripts" / "make_countdown_tiny.py"
    spec = importlib.util.spec_from_file_location("make_countdown_tiny", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_steps_of_an_answer_are_its_operations_in_order(script: Any) -> None:
    assert script.solution_steps("( 5 + 3 + 4 ) * 2") == "5 + 3 = 8 , 8 + 4 = 12 , 12 * 2 = 24"
    for out_of_range in ("3 - 5 + 4", "5 / 2 * 4", "5 * 4 * 3 * 2"):
        assert script.solution_steps(out_of_range) is None, out_of_range


def test_a_chain_tries_in_vain_and_ends_with_the_answer(script: Any) -> None:
    task, rng = CountDown(), Random(0)
    chains = [script.chain(PROBLEM, form, rng) for form in task.solutions(PROBLEM) for _ in range(20)]
    found = [chain for chain in chains if chain is not None]
    assert {chain.count(" . ") for chain in found} == {0, 1, 2, 3}
    for chain in found:
        assert task.verify(PROBLEM, chain).correct, chain
        *misses, last = chain.partition(" <answer>")[0].split(" . ")
        assert last.endswith("= 24")
        for attempt in [*misses, last]:
            steps = [step.split(" = ") for step in attempt.split(" , ")]
            assert all(expression.parse(left).value == int(right) for left, right in steps)
        assert not any(attempt.endswith("= 24") for attempt in misses)


def test_the_tokenizer_reads_the_usual_prompt_as_the_model_was_taught(script: Any) -> None:
    tokenizer = script.make_tokenizer(chains=True)
    pool = {key: [(PROBLEM, "4*(3+5-2)")] for key in (3, 4)}
    ids, labels = next(script.batches(pool, tokenizer, Random(0), batch_size=1, chains=True))
    taught = [int(i) for i, label in zip(ids[0], labels[0], strict=True) if label == -100]
    read = tokenizer(CountDown().prompt(PROBLEM)).input_ids
    assert sorted(taught) == sorted(read)  # the numbers come in any order
    assert tokenizer.convert_ids_to_tokens(read) == ["24", "=", "2", "3", "4", "5", ":"]
    answer = "2 * 3 * 4 <answer> 2 * 3 * 4 </answer>"
    assert tokenizer.decode(tokenizer(answer).input_ids, skip_special_tokens=True) == answer
