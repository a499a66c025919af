"""Parsing, exact values, canonical forms and rendering of CountDown expressions."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unsharpen.errors import InputError
from unsharpen.tasks.countdown.expression import MAX_CHARS, MAX_DEPTH, ExpressionError, parse, render

GOLDEN = [
    # text, canonical form, value
    ("7", "7", 7),
    ("0", "0", 0),
    ("(3+5)*3", "3*(3+5)", 24),
    ("3*(5+3)", "3*(3+5)", 24),
    ("3*5+3*3", "3*3+3*5", 24),
    ("8/(3-8/3)", "8/(3-8/3)", 24),
    ("20-(7-3)", "3+20-7", 16),
    ("20-7+3", "3+20-7", 16),
    ("20/(5/2)", "2*20/5", 8),
    ("2*20/5", "2*20/5", 8),
    ("20/5/2", "20/2/5", 2),
    ("20/(5*2)", "20/2/5", 2),
    ("1-(2-(3-(4-5)))", "1+3+5-2-4", 3),  # 1 - 2 + 3 - 4 + 5
    ("(3-5)*2", "2*(3-5)", -4),
    ("-(5-3)*2", "2*(3-5)", -4),  # a difference turned round
    ("20-(5-3)*2", "20-2*(5-3)", 16),  # as it stands
    ("-(5-3)*2+20", "20-2*(5-3)", 16),
    ("20+(3-5)*2", "20+2*(3-5)", 16),
    ("(3-5)*-2*4", "2*4*(5-3)", 16),
    ("-4*(2+(3-9)*1)", "4*(1*(9-3)-2)", 16),
    ("-(3-4)/(6-5)", "(4-3)/(6-5)", 1),
    ("2/-(5-6)", "2/(6-5)", 2),
    ("(-3)*(-8)", "3*8", 24),
    ("-3*8", "-3*8", -24),  # no difference to turn
    ("2*(-3-4)", "-2*(3+4)", -14),
    ("((((3))))", "3", 3),
    ("(1+2)*(3+4)", "(1+2)*(3+4)", 21),
    ("10/4", "10/4", Fraction(5, 2)),
    ("-3+5", "5-3", 2),
    ("-3*5+20", "20-3*5", 5),
    ("20+-3*5", "20-3*5", 5),
    ("2*-3", "-2*3", -6),
    ("2*--3", "2*3", 6),
    ("2/-3*5", "-2*5/3", Fraction(-10, 3)),
    ("-(-3)", "3", 3),
    ("-(-(2*3))*5", "2*3*5", 30),
    ("8--3", "3+8", 11),
    ("-(3-8)", "8-3", 5),
    ("3 × 5 ÷ 2 − 1", "3*5/2-1", Fraction(13, 2)),
    ("3 · 5 – 2", "3*5-2", 13),
    (r"3 \times \left(5 \div 2\right) \cdot 4", "3*4*5/2", 30),
    (" 3\t+\n5 ", "3+5", 8),
    ("3\u00a0+\u20095", "3+5", 8),  # a no-break and a thin space
    ("999999999", "999999999", 999999999),
]


@pytest.mark.parametrize(("text", "canonical", "value"), GOLDEN)
def test_golden(text: str, canonical: str, value: Fraction) -> None:
    expression = parse(text)
    assert expression.canonical == canonical
    assert expression.value == value
    assert parse(canonical).canonical == canonical
    assert parse(canonical).value == value


MALFORMED = [
    *("", " ", "+", "-", "()", "(", ")", "3+", "*3", "+3", "3++5", "3 5", "12 34", "2(3)", "(2)(3)", "(2)3"),
    *(
        "3.4",
        "3.",
        ".5",
        "1e3",
        "1_000",
        "1,000",
        "0x10",
        "05",
        "00",
        "1234567890",
        "2**3",
        "7//2",
        "7%2",
        "3^2",
    ),
    *(
        "3)+(5",
        "(3+5",
        "3+5)",
        ")3(",
        "((3)",
        "3=3",
        "x",
        "3+x",
        "abs(3)",
        "__import__('os')",
        "3+5;",
        "[3]",
        "{3}",
    ),
    *(
        "٣",
        "²",
        "３",
        "3²",
        "½",
        "3\x005",
        "\x00",
        "\ud800",
        r"\frac{1}{2}",
        r"\timesx",
        r"3\cdots 5",
        "3 x 5",
    ),
    "9**9**9",
    "(" * 5000,
    "-" * 100 + "3",
    "(" * 100 + "3" + ")" * 100,
    "9" * 400,
    "1" + "+1" * MAX_CHARS,
]


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed(text: str) -> None:
    with pytest.raises(ExpressionError, match="expected"):
        parse(text)


def test_limits_are_inclusive() -> None:
    assert parse("(" * (MAX_DEPTH - 1) + "3" + ")" * (MAX_DEPTH - 1)).value == 3
    with pytest.raises(ExpressionError, match="open operations"):
        parse("(" * MAX_DEPTH + "3" + ")" * MAX_DEPTH)
    longest = "1" + "+1" * (MAX_CHARS // 2 - 1) + " "
    assert len(longest) == MAX_CHARS
    assert parse(longest).value == MAX_CHARS // 2


@pytest.mark.parametrize("text", ["1/0", "5/(3-3)", "5/(1/(3-3))", "0*(1/(2-2))", "1/0*0", "7-3/(4-2*2)"])
def test_division_by_zero_is_never_forgotten(text: str) -> None:
    # Merging 5/(1/(3-3)) to 5*(3-3)/1 must not turn it into 0.
    assert parse(text).denominator == 0
    with pytest.raises(ZeroDivisionError):
        _ = parse(text).value


def test_expression_error_is_an_input_error() -> None:
    assert issubclass(ExpressionError, InputError)


numbers = st.integers(1, 30)
surface = st.recursive(
    numbers.map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
    ),
    max_leaves=8,
)
signed = st.recursive(
    numbers.map(str),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-{text}"),
    ),
    max_leaves=8,
)


def as_python(text: str) -> Fraction | None:
    """The value by Python's own parser, on text that this test made."""
    out, digits = "", ""
    for char in f"{text} ":
        if char.isdigit():
            digits += char
        else:
            out += (f"Fraction({digits})" if digits else "") + char
            digits = ""
    try:
        return eval(out, {"Fraction": Fraction})  # noqa: S307 - made by this test
    except ZeroDivisionError:
        return None


@given(signed)
def test_value_agrees_with_python(text: str) -> None:
    expression = parse(text)
    value = as_python(text)
    assert (expression.value if expression.denominator else None) == value
    assert parse(expression.canonical).canonical == expression.canonical
    if value is not None:
        assert parse(expression.canonical).value == value


@given(surface, st.integers(0, 10**6))
def test_render_round_trip(text: str, seed: int) -> None:
    expression = parse(text)
    rendered = render(text, Random(seed))
    assert parse(rendered).canonical == expression.canonical
    assert sorted(parse(rendered).numbers) == sorted(expression.numbers)
    tokens = rendered.split(" ")
    assert all(token.isdigit() or token in "+-*/()" for token in tokens)
    assert not any(a in "(+-*/" and b == "-" for a, b in zip(["(", *tokens], tokens, strict=False))


def test_render_reaches_every_order_with_fewest_brackets() -> None:
    rendered = {render("3*(3+5)", Random(seed)) for seed in range(50)}
    assert rendered == {"3 * ( 3 + 5 )", "3 * ( 5 + 3 )", "( 3 + 5 ) * 3", "( 5 + 3 ) * 3"}
    assert {render("20-7-3", Random(seed)) for seed in range(20)} == {"20 - 7 - 3", "20 - 3 - 7"}


@pytest.mark.parametrize("text", ["-3", "2*-3", "-3-5"])
def test_render_refuses_what_needs_a_unary_minus(text: str) -> None:
    with pytest.raises(ExpressionError, match="not negated"):
        render(text, Random(0))


@given(surface, surface, surface)
def test_canonical_is_invariant(a: str, b: str, c: str) -> None:
    def same(left: str, right: str) -> bool:
        return parse(left).canonical == parse(right).canonical

    assert same(f"({a})+({b})", f"({b})+({a})")
    assert same(f"({a})*({b})", f"({b})*({a})")
    assert same(f"(({a})+({b}))+({c})", f"({a})+(({b})+({c}))")
    assert same(f"(({a})*({b}))*({c})", f"({a})*(({b})*({c}))")
    assert same(f"({a})-(({b})-({c}))", f"({a})+({c})-({b})")
    assert same(f"({a})/(({b})/({c}))", f"({a})*({c})/({b})")
    assert same(f"-(-({a}))", a)


@pytest.mark.parametrize(
    ("left", "right"),
    [("3*5+3*3", "3*(5+3)"), ("20+(3-5)*2", "20-(5-3)*2"), ("2*3", "6"), ("3-5", "5-3"), ("6/2", "2/6")],
)
def test_canonical_tells_apart(left: str, right: str) -> None:
    assert parse(left).canonical != parse(right).canonical
