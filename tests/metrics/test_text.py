"""Self-BLEU and distinct-n: a naive BLEU, hand-worked values, and bounded cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.metrics.tables import random_table

from unsharpen.errors import InputError
from unsharpen.metrics import SampleTable, distinct_n, self_bleu, text_diversity


def naive_bleu(hypothesis: list[str], references: Sequence[list[str]], max_n: int) -> float:
    """BLEU as published: clipped counts reference by reference, nearest length, smoothing method 1."""
    logs = 0.0
    for n in range(1, max_n + 1):

        def grams(tokens: list[str], n: int = n) -> Counter[tuple[str, ...]]:
            return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))

        own = grams(hypothesis)
        matched = sum(min(times, max(grams(r)[gram] for r in references)) for gram, times in own.items())
        if matched == 0 and n == 1:
            return 0.0
        logs += math.log((matched or 0.1) / max(1, sum(own.values()))) / max_n
    nearest = min((abs(len(r) - len(hypothesis)), len(r)) for r in references)[1]
    return min(1.0, math.exp(1 - nearest / len(hypothesis))) * math.exp(logs)


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=9), min_size=2, max_size=6), st.integers(1, 4))
def test_equals_naive_bleu(texts: list[list[str]], max_n: int) -> None:
    scores = [naive_bleu(text, texts[:i] + texts[i + 1 :], max_n) for i, text in enumerate(texts)]
    assert self_bleu([" ".join(text) for text in texts], max_n) == pytest.approx(np.mean(scores), rel=1e-12)


def test_golden() -> None:
    # "a b c" against "a b d" with N=2: p1 = 2/3, p2 = 1/2, equal lengths: sqrt(1/3); the other way round the same
    assert self_bleu(["a b c", "a b d"], max_n=2) == pytest.approx(math.sqrt(1 / 3))
    # "a" against "a b" with N=1: p1 = 1, brevity exp(1 - 2/1); "a b" against "a": p1 = 1/2
    assert self_bleu(["a", "a b"], max_n=1) == pytest.approx((math.exp(-1) + 0.5) / 2)
    assert distinct_n(["a a a"], 1) == pytest.approx(1 / 3)
    assert math.isnan(distinct_n(["a", ""], 2))


@given(st.lists(st.text("abc ", max_size=12), min_size=2, max_size=5))
def test_a_repetition_never_makes_texts_less_alike(texts: list[str]) -> None:
    assert 0 <= self_bleu(texts) <= 1 + 1e-12
    if all(text.split() for text in texts):
        longest = max(len(text.split()) for text in texts)
        if longest >= 4:
            assert self_bleu([texts[0]] * 3 if len(texts[0].split()) >= 4 else ["a b c d"] * 3) == pytest.approx(1)
    assert distinct_n([*texts, *texts], 1) <= distinct_n(texts, 1) or math.isnan(distinct_n(texts, 1))


def test_a_long_text_is_read_in_part() -> None:
    long = "x" * 10_000_000
    assert self_bleu([long, long + " y"], max_n=1) == 1.0  # equal within the part that is read
    assert self_bleu(["a " * 5_000_000, "a " * 3_000_000]) == pytest.approx(1.0)


def test_problems_and_texts_are_drawn_with_a_seed() -> None:
    table = random_table(2, problems=20, samples=24)
    every = text_diversity(table, max_texts=99, max_problems=99)
    assert every.problems.size + every.num_undefined == 20
    assert every.num_skipped == 0
    for p, value in zip(every.problems.tolist(), every.self_bleu.tolist(), strict=True):
        assert table.completions is not None
        texts = [
            t for t, q, right in zip(table.completions, table.problem, table.correct, strict=True) if q == p and right
        ]
        assert value == pytest.approx(self_bleu(texts))
    part = text_diversity(table, max_problems=5, max_texts=3, seed=4)
    assert (part.problems.size, part.num_skipped) == (5, every.problems.size - 5)
    assert set(part.problems.tolist()) <= set(every.problems.tolist())
    np.testing.assert_array_equal(part.self_bleu, text_diversity(table, max_problems=5, max_texts=3, seed=4).self_bleu)


def test_none_to_compare() -> None:
    rows = [{"problem_id": "p", "correct": False, "completion": "x"}] * 3
    found = text_diversity(SampleTable.from_rows(rows, label="m"))
    assert (found.problems.size, found.num_undefined, found.self_bleu.size) == (0, 1, 0)
    assert text_diversity(SampleTable.from_rows(rows, label="m"), correct=None).distinct_1.tolist() == [1 / 3]


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="at least 2 texts; found 1"):
        self_bleu(["a"])
    with pytest.raises(InputError, match="the table has none"):
        text_diversity(SampleTable.from_rows([{"problem_id": "p", "correct": True}], label="m"))
    with pytest.raises(InputError, match="max_texts 2 or more; found 3, 1"):
        text_diversity(random_table(), max_problems=3, max_texts=1)
    with pytest.raises(InputError, match="seed must be a whole number, 0 or more; found -1"):
        text_diversity(random_table(), seed=-1)
