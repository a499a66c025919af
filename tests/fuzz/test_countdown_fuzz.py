"""Any text has a typed verdict: random texts, token soups and texts made to hurt."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unsharpen.tasks import CountDown, Verdict
from unsharpen.tasks.countdown import REASONS, ExpressionError, parse

TASKS = [CountDown(answer_format="tags"), CountDown(answer_format="boxed"), CountDown(answer_format="bare")]
PROBLEM = TASKS[0].problem((3, 5, 3), 24)

PIECES = [
    "<answer>",
    "</answer>",
    "\\boxed{",
    "{",
    "}",
    "(",
    ")",
    "+",
    "-",
    "*",
    "/",
    "**",
    "//",
    "=",
    " ",
    "\n",
    "3",
    "5",
]
PIECES += [
    "24",
    "3.4",
    "1e3",
    "×",
    "÷",
    "−",
    "\\times",
    "\\left(",
    "٣",
    "²",
    "\x00",
    "(3+5)*3",
    "0",
    "999999999",
    "x",
]
soups = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
arithmetic = st.lists(st.sampled_from(["3", "5", "24", "0", "(", ")", "+", "-", "*", "/", " "]), max_size=25).map(
    "".join
)


def check(text: str) -> list[Verdict]:
    verdicts = [task.verify(PROBLEM, text) for task in TASKS]
    for verdict in verdicts:
        assert verdict.reason in REASONS
        assert verdict.correct == (verdict.reason == "correct")
        unreadable = verdict.reason in ("malformed", "no_answer", "too_long")
        assert (verdict.canonical is None) == unreadable
        assert len(verdict.detail) < 1000
    return verdicts


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)
    check(f"<answer>{text}</answer>")
    check(f"\\boxed{{{text}}}")


@settings(max_examples=400)
@given(soups)
def test_token_soups(text: str) -> None:
    check(text)


@settings(max_examples=400)
@given(arithmetic)
def test_what_parses_is_python(text: str) -> None:
    """What the grammar accepts, Python accepts too; never a power or a floor division."""
    try:
        expression = parse(text)
    except ExpressionError:
        return
    assert "**" not in text.replace(" ", "")
    assert "//" not in text.replace(" ", "")
    compile(text.strip(), "text", "eval", dont_inherit=True)
    assert parse(expression.canonical).canonical == expression.canonical


HOSTILE = {
    "brackets": "(" * 10_000,
    "balanced brackets": "(" * 250 + "3" + ")" * 250,
    "minuses": "-" * 500 + "3",
    "powers": "9**9**9**9",
    "shifts": "1<<99999",
    "digits": "9" * 100_000,
    "digits within the limit of characters": "9" * 512,
    "long product": "999999999*" * 51 + "9",
    "long quotients": "1/" * 255 + "3",
    "nested negations": "-(" * 32 + "3*5" + ")" * 32,
    "openers": "<answer>" * 100_000,
    "closers": "</answer>" * 100_000,
    "almost closers": "<answer>" + "</answer" * 100_000,
    "pairs": "<answer></answer>" * 50_000,
    "boxes": "\\boxed{" * 100_000,
    "closed boxes": "\\boxed{" * 70_000 + "}" * 70_000,
    "braces": "\\boxed{" + "{" * 900_000,
    "spaces": " " * 999_999,
    "lines": "\n" * 999_999,
    "letters": "a" * 1_000_000,
    "too long": "a" * 1_000_001,
    "nul": "3\x00+5",
    "surrogate": "\ud800",
    "equal signs": "=" * 500,
    "code": "__import__('os').system('true')",
    "Arabic digits": "(٣+٥)*٣",
    "superscript": "(3+5)*3²",
    "full-width digits": "(３+５)*３",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile(text: str) -> None:
    for wrapped in (text, f"<answer>{text}</answer>", f"\\boxed{{{text}}}"):
        assert not any(verdict.correct for verdict in check(wrapped))


@pytest.mark.parametrize("text", ["(٣+٥)*٣", "(3+5)*3²", "(３+５)*３", "3\x00+5", "3.4", "9**9", "7//2", "12 34"])
def test_what_int_and_eval_would_read_is_malformed(text: str) -> None:
    assert TASKS[2].verify(PROBLEM, text).reason == "malformed"
