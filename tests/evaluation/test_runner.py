"""``judge`` against counting with a loop of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsharpen.evaluation.runner import judge
from unsharpen.tasks import CountDown, MathProblem, MathTask

TASK = CountDown(answer_format="bare")
PROBLEMS = TASK.generate(4, seed=3, sizes=(3,), numbers=(1, 9), multiplicity=(2, None))
TEXTS = [*(text for p in PROBLEMS for text in TASK.solutions(p)), "1 + 1", "", "no idea", "1 / 0", "(((", "3 * 3 = 9"]


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from(TEXTS), min_size=n, max_size=n), min_size=4, max_size=4)
    )
)
def test_counts_equal_a_naive_recomputation(completions: list[list[str]]) -> None:
    result = judge(TASK, PROBLEMS, completions)
    assert result["num_problems"] == 4
    assert result["num_samples"] == len(completions[0])
    for i, (problem, texts) in enumerate(zip(PROBLEMS, completions, strict=True)):
        canonical = [v.canonical for v in (TASK.verify(problem, text) for text in texts) if v.correct]
        assert result["num_correct"][i] == len(canonical)
        assert result["distinct_correct"][i] == len(set(canonical))
        assert result["multiplicity"][i] == len(TASK.solutions(problem))
        if len(canonical) >= 2:  # effective number: one over the chance that two draws coincide
            shares = [canonical.count(form) / len(canonical) for form in set(canonical)]
            assert result["effective_solutions"][i] == pytest.approx(1 / sum(s * s for s in shares))
        else:
            assert result["effective_solutions"][i] is None


def test_every_sample_is_written(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    completions = [[TEXTS[i], "no\nidea \u2028 \x00"] for i in range(4)]
    result = judge(TASK, PROBLEMS, completions, samples_path=path)
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert [row["completion"] for row in rows] == [text for texts in completions for text in texts]
    assert [row["problem"] for row in rows] == [p.key for p in PROBLEMS for _ in range(2)]
    assert sum(row["correct"] for row in rows) == sum(result["num_correct"])
    assert {row["reason"] for row in rows if not row["correct"]} >= {"malformed"}


@pytest.mark.parametrize("length", [3, 5])
def test_completions_must_fit_the_problems(length: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        judge(TASK, PROBLEMS, [["1"]] * length)


def test_maths_has_counts_and_no_solutions_to_tell_apart() -> None:
    problems = [MathProblem("?", "42"), MathProblem("??", "7")]
    result = judge(MathTask(), problems, [["\\boxed{42}", "\\boxed{41}"], ["7", "\\boxed{8}"]])
    assert result == {
        "num_problems": 2,
        "num_samples": 2,
        "num_correct": [1, 0],
        "distinct_correct": None,
        "effective_solutions": None,
        "multiplicity": None,
    }
