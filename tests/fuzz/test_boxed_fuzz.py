"""The extractor of boxed answers: against a naive one, and in linear time, counted in characters that it looks at."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsharpen.tasks.math import MAX_ANSWER_CHARS, answers, last_boxed, normalise_answer
from unsharpen.tasks.math.notation import decide

PIECES = [
    "\\boxed{",
    "\\boxed {",
    "\\fbox{",
    "\\boxed",
    "{",
    "}",
    "\\{",
    "\\}",
    "\\\\",
    "\\",
    "1",
    "x",
    " ",
    "\n",
    "boxed{",
]
soups = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def naive(text: str) -> str | None:
    """Of the last 8 boxes that open, the last one whose brace is closed; a character at a time."""
    words = [match.start() for match in re.finditer(r"\\boxed|\\fbox", text)][-8:]
    for start in reversed(words):
        opening = re.match(r"\\(?:boxed|fbox)\s{0,8}\{", text[start:])
        if opening is None:
            continue
        i = begin = start + opening.end()
        depth = 1
        while i < len(text):
            if text[i : i + 2] in ("\\{", "\\}") or (text[i : i + 2] == "\\\\" and text[i + 2 : i + 7] != "boxed"):
                i += 2
                continue
            depth += (text[i] == "{") - (text[i] == "}")
            if not depth:
                return text[begin:i].strip()
            i += 1
    return None


@settings(max_examples=500)
@given(soups)
def test_equals_a_naive_extractor(text: str) -> None:
    assert last_boxed(text) == naive(text)


@settings(max_examples=50)
@given(st.text())
def test_any_text_in_a_box_comes_back(text: str) -> None:
    if not set(text) & set("{}\\"):
        assert last_boxed(f"so \\boxed{{{text}}}.") == text.strip()
    normalise_answer(text)


class Watched(str):
    """Counts the characters that searches may look at."""

    seen = 0

    def rfind(self, sub: str, start: Any = 0, end: Any = None) -> int:  # type: ignore[override]
        stop = len(self) if end is None else end
        found = super().rfind(sub, start, stop)
        Watched.seen += stop - max(found, 0)
        return found


SHAPES = ["\\boxed{", "\\boxed", "\\boxed{}", "{", "}", "\\", "\\fbox{", "\\boxed {x", "boxed{", "\\boxed        ", "a"]


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_in_the_length(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each search goes over the text once per kind of box at most; windows are few and bounded."""
    marks = answers._MARKS
    windows: list[int] = []

    class Marks:
        @staticmethod
        def finditer(window: str) -> Any:
            windows.append(len(window))
            return marks.finditer(window)

    monkeypatch.setattr(answers, "_MARKS", Marks)
    for size in (1_000, 100_000):
        Watched.seen = 0
        windows.clear()
        text = Watched(shape * (size // len(shape)))
        last_boxed(text)
        assert Watched.seen <= 20 * len(text)  # 2 kinds x at most 9 searches
        assert len(windows) <= 8
        assert all(length <= MAX_ANSWER_CHARS + 1 for length in windows)


WORDS = (
    r"\ { $ sqrt( frac{ 1. \overline{1} 9 _{ e9 1, 1a, (1) \text{ \text{a} 1\text{a}, \text{a}^2/ \color{a} a ² m/ th}"
)
SHAPES_OF_ANSWERS = [*WORDS.split(), " ", "1 ", "1, ", "100, ", "1 a ", " a", "1/1 ", "1 hour "]


@pytest.mark.parametrize("shape", SHAPES_OF_ANSWERS)
def test_normalising_and_deciding_the_longest_answers_ends(shape: str) -> None:
    text = normalise_answer((shape * MAX_ANSWER_CHARS)[:MAX_ANSWER_CHARS])
    assert len(text) <= 3 * MAX_ANSWER_CHARS + 10
    for answer in (text, f"5{text}", f"5 {text}!", f"{text}\\text{{cm}}"):
        decide("42", answer)
        decide(answer, "42")
