r"""Arithmetic expressions: a real parser, exact values and a canonical form.

The grammar has ``+ - * /``, brackets, unary minus and non-negative integer literals without leading zeros.
The signs that language models write for the same operations (``×``, ``÷``, ``\times``, ``\cdot``, ...) are
read as those. All else is malformed: ``3.4``, ``1e3``, ``2**3``, ``7//2``, ``12 34``, ``2(3)``. Nothing is
ever evaluated as code.

A unary minus negates the term or factor that follows it, and uses up no number: ``-3*5+20`` is ``20-3*5``.

**Canonical form.** A leaf is its value. A sum is the multiset of its signed terms, nested sums merged. A
product is the multiset of its factors with exponent +1 or -1, nested products merged. Of what can be written
without a unary minus no two forms are one: ``20-(5-3)*2`` and ``20+(3-5)*2`` differ. On generic numbers this gives
1, 6, 68 and 1260 forms for 1, 2, 3 and 4 numbers that are each used once. A unary minus makes no further ones,
where it can be done without: minuses of factors cancel, and one that is left over turns a difference round, so
``(-3)*(-8)`` is ``3*8`` and ``-(5-3)*2`` is ``2*(3-5)``. The form is written as an expression with sorted parts,
and parses back to itself.
"""

from __future__ import annotations

import re
from fractions import Fraction
from random import Random
from typing import Final, NamedTuple, NoReturn

from unsharpen.errors import InputError

MAX_CHARS: Final = 512
"""Longest expression that is read."""
MAX_DIGITS: Final = 9
"""Longest integer literal that is read."""
MAX_DEPTH: Final = 64
"""Most open brackets, unary minuses and operators that may wait for their right operand at once."""

LEAF: Final = 0
SUM: Final = 1
PRODUCT: Final = 2

Form = tuple[int, tuple[str, ...], tuple[str, ...]]
"""Kind, parts that are added or multiplied, parts that are subtracted or divided by; as canonical text."""

_Value = tuple[int, int, Form]
# "n" is a minus before a term, "m" one before a factor that follows "*" or "/".
_PRIORITY: Final = {"(": 0, "+": 1, "-": 1, "n": 2, "*": 3, "/": 3, "m": 4}
_BINARY: Final = frozenset("+-*/")
_TOKEN = re.compile(r"[0-9]+|\S")
_SYMBOLS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "−": "-", "–": "-"})
_COMMANDS = ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\left(", "("), (r"\right)", ")"))


class ExpressionError(InputError):
    """A text that is not an expression of the grammar, or that exceeds a limit."""


class Expression(NamedTuple):
    """A parsed expression.

    Attributes:
        form: what the canonical text is made of.
        numbers: the literals, in the order of the text.
        numerator: of the exact value, not reduced.
        denominator: of the exact value, not reduced, of any sign; 0 where the expression divides by zero.
    """

    form: Form
    numbers: list[int]
    numerator: int
    denominator: int

    @property
    def canonical(self) -> str:
        """The canonical form as text."""
        return form_text(self.form)

    @property
    def value(self) -> Fraction:
        """The exact value. Raises ZeroDivisionError where the expression divides by zero."""
        return Fraction(self.numerator, self.denominator)


def _by_size(text: str) -> tuple[int, str]:
    return len(text), text


def form_text(form: Form) -> str:
    """Write a form as text: sorted parts, shortest first (so numbers come first, in numeric order)."""
    kind, plus, minus = form
    if kind == LEAF:
        return plus[0]
    join, inverse = ("+", "-") if kind == SUM else ("*", "/")
    text = join.join(sorted(plus, key=_by_size) if len(plus) > 1 else plus)
    if minus:
        text += inverse + inverse.join(sorted(minus, key=_by_size) if len(minus) > 1 else minus)
    return text


def _parts(form: Form, kind: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if form[0] == kind:
        return form[1], form[2]
    if form[0] == LEAF:
        return form[1], ()
    text = form_text(form)
    return (f"({text})" if kind == PRODUCT else text,), ()


def combine(kind: int, left: Form, right: Form, inverse: bool) -> Form:
    """The form of ``left + right`` or ``left * right``; with ``inverse``, of ``-`` or ``/`` instead."""
    plus, minus = _parts(left, kind)
    more, less = _parts(right, kind)
    return (kind, plus + less, minus + more) if inverse else (kind, plus + more, minus + less)


def negate(form: Form) -> Form:
    """The form of ``-form``. A minus of a single negated term is that term again."""
    minus, plus = _parts(form, SUM)
    if len(plus) == 1 and not minus:
        return parse(plus[0]).form
    return SUM, plus, minus


def _multiply(left: Form, right: Form, inverse: bool) -> Form:
    """The form of a product or quotient; a minus of a whole factor becomes one of the product."""
    if _is_negated(left):
        return negate(_multiply(negate(left), right, inverse))
    if _is_negated(right):
        return negate(_multiply(left, negate(right), inverse))
    return combine(PRODUCT, left, right, inverse)


def _is_negated(form: Form) -> bool:
    return form[0] == SUM and not form[1]


def _turned(form: Form) -> Form | None:
    """The form of ``-form`` without a unary minus, if there is one: some difference in it the other way round."""
    kind, plus, minus = form
    if kind == SUM and minus:
        return SUM, minus, plus
    for part in sorted(plus + minus, key=_by_size) if kind != LEAF else ():
        if (turned := _turned(parse(part).form)) is not None:
            below = part not in plus  # of a quotient
            rest = list(minus if below else plus)
            rest.remove(part)
            others = (plus, tuple(rest)) if below else (tuple(rest), minus)
            return combine(kind, (kind, *(others[::-1] if kind == SUM else others)), turned, below)
    return None


def parse(text: str) -> Expression:
    """Parse an expression, in time of at most its length times its depth.

    Args:
        text: at most ``MAX_CHARS`` characters.

    Raises:
        ExpressionError: the text is no expression of the grammar, or exceeds a limit.

    >>> parse("(3+5) × 3").canonical
    '3*(3+5)'
    >>> parse("8 / (3 - 8/3)").value
    Fraction(24, 1)
    >>> parse("2**3")
    Traceback (most recent call last):
    unsharpen.tasks.countdown.expression.ExpressionError: expected a number or '(', found '*'
    """
    if len(text) > MAX_CHARS:
        _fail(f"expected at most {MAX_CHARS} characters, found {len(text)}")
    return _read(_TOKEN.findall(_plain(text)))


def _plain(text: str) -> str:
    if not text.isascii():
        text = text.translate(_SYMBOLS)
    if "\\" in text:
        for command, symbol in _COMMANDS:
            text = text.replace(command, symbol)
    return text


def _fail(message: str) -> NoReturn:
    raise ExpressionError(message)


def _read(tokens: list[str]) -> Expression:
    """Operator precedence without recursion: each token is pushed once and popped once."""
    values: list[_Value] = []
    numbers: list[int] = []
    pending = ["("]
    tokens.append(")")
    operand_next = True
    for token in tokens:
        if operand_next:
            if "0" <= token < ":":
                if len(token) > MAX_DIGITS or (token[0] == "0" and token != "0"):
                    _fail(f"expected at most {MAX_DIGITS} digits and no leading zero, found '{token[:20]}'")
                numbers.append(int(token))
                values.append((numbers[-1], 1, (LEAF, (token,), ())))
                operand_next = False
            elif token == "(":
                pending.append(token)
            elif token == "-":
                pending.append("m" if pending and pending[-1] in "*/m" else "n")
            else:
                _fail(f"expected a number or '(', found '{token}'")
        elif token in _BINARY:
            priority = _PRIORITY[token]
            while pending and _PRIORITY[pending[-1]] >= priority:
                _apply(pending.pop(), values)
            pending.append(token)
            operand_next = True
        elif token == ")":
            while pending and pending[-1] != "(":
                _apply(pending.pop(), values)
            if not pending:
                _fail("expected as many '(' as ')'")
            pending.pop()
        else:
            _fail(f"expected an operator or ')', found '{token[:20]}'")
        if len(pending) > MAX_DEPTH:
            _fail(f"expected at most {MAX_DEPTH} open operations")
    if pending:
        _fail("expected as many ')' as '('")
    numerator, denominator, form = values[0]
    if _is_negated(form):
        form = _turned(negate(form)) or form
    return Expression(form, numbers, numerator, denominator)


def _apply(operator: str, values: list[_Value]) -> None:
    """Replace the topmost operands by their result; a division by zero leaves denominator 0 for good."""
    c, d, right = values.pop()
    if operator in "nm":
        values.append((-c, d, negate(right)))
        return
    a, b, left = values.pop()
    if operator == "*":
        values.append((a * c, b * d, _multiply(left, right, False)))
    elif operator == "/":
        values.append((a * d, b * c if d else 0, _multiply(left, right, True)))
    elif operator == "+":
        values.append((a * d + b * c, b * d, combine(SUM, left, right, False)))
    else:
        values.append((a * d - b * c, b * d, combine(SUM, left, right, True)))


def render(text: str, rng: Random) -> str:
    """Write a solution in random order of terms and factors, with the fewest brackets.

    Args:
        text: an expression, mostly a canonical form from the solver.
        rng: the source of the order.

    Returns:
        Tokens separated by single spaces, without a unary minus, of the same canonical form.

    Raises:
        ExpressionError: the text is malformed, or has a sum of negated terms only.

    >>> render("3*(3+5)", Random(1))
    '3 * ( 3 + 5 )'
    """
    return _render(parse(text).form, rng)


def _render(form: Form, rng: Random) -> str:
    kind, plus, minus = form
    if kind == LEAF:
        return plus[0]
    if not plus:
        _fail(f"expected a sum with a term that is not negated, found '{form_text(form)}'")
    join, inverse = ("+", "-") if kind == SUM else ("*", "/")
    first = rng.randrange(len(plus))
    rest = [(join, part) for i, part in enumerate(plus) if i != first] + [(inverse, part) for part in minus]
    rng.shuffle(rest)
    return " ".join([_render_part(plus[first], rng), *(f"{sign} {_render_part(part, rng)}" for sign, part in rest)])


def _render_part(part: str, rng: Random) -> str:
    form = parse(part).form
    text = _render(form, rng)
    return f"( {text} )" if form[0] == SUM else text
