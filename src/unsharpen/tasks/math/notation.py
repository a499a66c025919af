"""What can be said of an answer without reading it as mathematics: its plain text, and the plainest comparisons."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_REPLACED: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle)(?![a-zA-Z])|\\?[$]", ""),
        (r"√", r"\\sqrt "),
        (r"∞", r"\\infty "),
        (r"°", r"^\\circ "),
        (r"\\varnothing(?![a-zA-Z])|∅", r"\\emptyset "),
        (r"\\[dt]frac(?![a-zA-Z])", r"\\frac"),
        (r"(?<![a-zA-Z\\])(?=(?:frac|sqrt)\{)", r"\\"),  # the backslash got lost
        (r"(?<![a-zA-Z\\])\\?sqrt ?\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?:(?<!\\)\\[,;:! ]|[\s~])+", " "),
        (r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])", ""),
        (r"^(.+)\.$", r"\1"),
    )
)
_WHOLE: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), rewrite)
    for pattern, rewrite in (
        (r"[+-]?[0-9]{1,3}(?: [0-9]{3}){1,12}", lambda m: m[0].replace(" ", "")),
        (r"([+-]?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,4})", lambda m: f"{m[1]}\\times10^{{{int(m[2])}}}"),
        (r"(-?)([0-9]{0,12})\.([0-9]{0,12})\\(?:overline|bar)\{([0-9]{1,12})\}", lambda m: _repeating(*m.groups())),
    )
)
_INTEGER: Final = re.compile("[+-]?[0-9]{1,40}")
_IN_BASE: Final = re.compile(r"(-?[0-9][0-9A-Za-z]{0,63})_\{?([0-9]{1,2})\}?")
_UNIT: Final = re.compile(
    r"[0-9}]\\(?:text|textrm|textbf|mathrm|mbox)\{(square |sq |cubic |cu )?([a-zA-Z]+)\}(?:\^\{?([0-9])\}?)?$"
)
_UNITS: Final = """
mm millimeter millimetre
cm centimeter centimetre
m meter metre
km kilometer kilometre
in inch inche
ft foot feet
yd yard
mi mile
sec s second
min minute
h hr hour
day
week
month
year yr
mg milligram
g gram
kg kilogram
lb pound
oz ounce
ml milliliter millilitre
l liter litre
"""
_ALIASES: Final = {alias: line.split()[0] for line in _UNITS.strip().splitlines() for alias in line.split()}


def normalise_answer(text: str) -> str:
    r"""The answer without what changes nothing: spacing, dollar signs, ``\left``, a full stop, notation of numbers.

    >>> normalise_answer(r" \left( 1 ,\, 2 \right). ")
    '(1,2)'
    >>> normalise_answer("+007"), normalise_answer("1\\,000"), normalise_answer("3e8")
    ('7', '1000', '3\\times10^{8}')
    """
    compact = text.strip()
    for pattern, replacement in _REPLACED:
        compact = pattern.sub(replacement, compact)
    for pattern, rewrite in _WHOLE:
        whole = pattern.fullmatch(compact)
        compact = rewrite(whole) if whole else compact
    return str(int(compact)) if _INTEGER.fullmatch(compact) else compact or text.strip()


def is_integer(normalised: str) -> bool:
    """Whether a normalised answer is a plain integer."""
    return _INTEGER.fullmatch(normalised) is not None


def decide(gold: str, answer: str) -> bool | None:
    r"""Whether a normalised answer is right, where that is plain; None where mathematics must decide.

    Equal texts, integers, numbers with a base, and numbers with different units of the same kind of notation are plain.

    >>> decide("42", "43"), decide("101_2", "5_{10}"), decide(r"5\text{cm}", r"5\text{m}"), decide("0.5", r"\frac12")
    (False, True, False, None)
    """
    if gold == answer:
        return True
    if is_integer(gold) and is_integer(answer):
        return False
    numbers = _number_in_base(gold), _number_in_base(answer)
    if None not in numbers:
        return numbers[0] == numbers[1]
    units = _unit(gold), _unit(answer)
    return False if None not in units and units[0] != units[1] else None


def _repeating(sign: str, whole: str, before: str, period: str) -> str:
    scale, nines = 10 ** len(before), 10 ** len(period) - 1
    return f"{sign}\\frac{{{int(whole + before or '0') * nines + int(period)}}}{{{scale * nines}}}"


def _number_in_base(text: str) -> int | None:
    match = _IN_BASE.fullmatch(text)
    if match is None or not 2 <= int(match[2]) <= 36:
        return None
    try:
        return int(match[1], int(match[2]))
    except ValueError:  # a digit that the base lacks
        return None


def _unit(text: str) -> tuple[str, int] | None:
    """The unit behind a number and its power, if it is a common one."""
    match = _UNIT.search(text)
    if match is None:
        return None
    word = match[2].lower()
    name = _ALIASES.get(word) or _ALIASES.get(word.removesuffix("s"))
    power = {"s": 2, "c": 3, "": int(match[3] or 1)}[(match[1] or "")[:1]]
    return None if name is None else (name, power)
