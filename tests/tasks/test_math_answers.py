"""Hand-checked answers: our verdicts, those of math-verify, and the table of differences in docs/maths.md."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

from unsharpen.tasks import MathProblem, MathTask, Verdict
from unsharpen.tasks.math import GraderPool, normalise_answer

# How the truth was judged. Answers are right by value, in any notation and any equivalent form, with or without the
# name of the unknown, and with a unit unless it is another unit than the gold answer's. A decimal approximation needs
# six correct decimals. p% is p/100; where the gold answer is a percentage, or is p where the answer is p%, the bare
# number is right. Sets have no order, tuples have one, intervals have ends; an inequality is right where it has the
# solutions of the gold answer. Letters of choices and words have no case. A person sees through small slips of LaTeX.
with (Path(__file__).parent / "maths_answers.tsv").open(encoding="utf-8", newline="") as _file:
    ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))
DOCS = Path(__file__).parents[2] / "docs" / "maths.md"

Pair = tuple[str, str]
Judged = dict[Pair, bool]
TRUTH: Judged = {(row["gold"], row["answer"]): row["truth"] == "right" for row in ROWS}


def documented() -> dict[Pair, tuple[bool, bool, bool]]:
    """(gold, answer) -> (truth, math-verify, ours), from the table in the documentation."""
    cell = r" (right|wrong) \|"
    rows = re.findall(rf"^\| `(.+?)` \| `(.+?)` \|{cell * 3}", DOCS.read_text("utf-8"), flags=re.MULTILINE)
    return {(gold, answer): tuple(word == "right" for word in words) for gold, answer, *words in rows}  # type: ignore[misc]


@pytest.fixture(scope="module")
def ours() -> dict[Pair, Verdict]:
    with GraderPool(time_limit=60) as pool:  # no answer here is slow, only the machine may be
        verdicts = MathTask(pool=pool).verify_many(
            [MathProblem("?", gold) for gold, _ in TRUTH], [f"So \\boxed{{{answer}}}." for _, answer in TRUTH]
        )
    return dict(zip(TRUTH, verdicts, strict=True))


@pytest.fixture(scope="module")
def math_verify() -> Judged:
    """As verl and others call it: both sides in a box."""
    target = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())

    def read(text: str) -> list[object]:
        return list(parse(f"\\boxed{{{text}}}", target, parsing_timeout=60))

    return {(g, a): bool(verify(read(g), read(a), timeout_seconds=60)) for g, a in TRUTH}


def test_the_table_is_one() -> None:
    assert len(TRUTH) == len(ROWS) >= 300
    groups = Counter((row["group"], row["truth"]) for row in ROWS)
    assert {row["truth"] for row in ROWS} == {"right", "wrong"}
    assert all(groups[row["group"], "wrong"] >= 2 for row in ROWS)  # something to fall for in every group


def test_differences_are_the_documented_ones(ours: dict[Pair, Verdict], math_verify: Judged) -> None:
    """So our verdict equals math-verify's wherever that is right, but for the rows that say otherwise."""
    found = {
        pair: (truth, math_verify[pair], ours[pair].correct)
        for pair, truth in TRUTH.items()
        if not truth == math_verify[pair] == ours[pair].correct
    }
    assert found == documented()


def test_how_often_each_is_right(ours: dict[Pair, Verdict], math_verify: Judged) -> None:
    wrong = {
        "ours": sum(ours[pair].correct != truth for pair, truth in TRUTH.items()),
        "math-verify": sum(math_verify[pair] != truth for pair, truth in TRUTH.items()),
    }
    text = DOCS.read_text("utf-8")
    assert f"on {len(TRUTH)} hand-checked answers" in text
    assert f"ours is wrong on {wrong['ours']}, math-verify on {wrong['math-verify']}" in text


def test_a_correct_answer_has_the_identity_of_the_gold_answer(ours: dict[Pair, Verdict]) -> None:
    for (gold, _), verdict in ours.items():
        if verdict.correct:
            assert verdict.canonical == normalise_answer(gold)
        else:
            assert verdict.canonical != normalise_answer(gold)


def test_equal_wrong_answers_have_one_identity() -> None:
    same = [
        ["0.5", r"\frac{1}{2}", "1/2", r"\dfrac{2}{4}", "x=0.5", ".50"],
        [r"\sqrt{8}", r"2\sqrt{2}", r"\sqrt8"],
        [r"\{1,2\}", r"\{2, 1\}", "1,2", r"2 \text{ and } 1"],
        ["1000", "1,000", r"1\,000"],
        ["(1,3)", r"\left( 1, 3 \right)"],
    ]
    texts = [text for group in same for text in group]
    verdicts = MathTask().verify_many([MathProblem("?", "77")] * len(texts), [f"\\boxed{{{t}}}" for t in texts])
    identity = {text: verdict.canonical for text, verdict in zip(texts, verdicts, strict=True)}
    assert not any(verdict.correct for verdict in verdicts)
    assert [len({identity[text] for text in group}) for group in same] == [1] * len(same)
    assert len(set(identity.values())) == len(same)
