"""What can be said of an answer without reading it as mathematics: its plain text, and the plainest comparisons."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from unsharpen.tasks.math.units import compound, units_differ, without_units

_PLAIN: Final = r"\((?:[0-9]+(?:/[0-9]+)?|\\frac(?:[0-9]{2}|\{[0-9]+\}\{[0-9]+\}))\)"
"""A number in brackets that a parser would add to a number before it, as in a mixed number."""

_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_REPLACED: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|textstyle|[Ll]arge|rm|bf|[bB]igg?[lrm]?)(?![a-zA-Z])|\\?[$]|[€£¥]", ""),
        (r"√", r"\\sqrt "),
        (r"∞", r"\\infty "),
        (r"°|\\degree(?![a-zA-Z])", r"^\\circ "),
        (r"[⁰¹²³⁴-⁹]+", lambda m: f"^{{{m[0].translate(_RAISED)}}}"),
        (r"\\varnothing(?![a-zA-Z])|∅", r"\\emptyset "),
        (r"\\([lr])brace(?![a-zA-Z])", lambda m: {"l": r"\{", "r": r"\}"}[m[1]]),
        (r"\\([lr])angle(?![a-zA-Z])", lambda m: {"l": "(", "r": ")"}[m[1]]),
        (r"\\[dt]frac(?![a-zA-Z])", r"\\frac"),
        (r"(?<![a-zA-Z\\])(?=(?:frac|sqrt)\{)", r"\\"),  # the backslash got lost
        (r"(?<![a-zA-Z\\])\\?sqrt ?\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"\\log_ ?e(?![a-zA-Z])", r"\\ln "),
        (r"\\(?:(?:underline|emph|bold|boldsymbol|mathsf)(?=\{)|(?:text)?color ?\{[a-zA-Z]+\}) ?", ""),
        (r"\\(?:text|mathrm)\{ ?percent(?:age)? ?\}$", r"\\%"),
        (r", ?\\! ?", ","),  # between thousands
        (r"(?:(?<!\\)\\[,;:! ]|[\s~])+", " "),
        # 100, 200 is a list and 100,200 a number: that space stays
        (r"(?<![0-9A-Za-z]) (?!(?<=[0-9], )[0-9]{3}(?![0-9]))| (?![0-9A-Za-z])", ""),
        (r"^(?:=|≈|\\(?:approx|sim)(?![a-zA-Z]))|(?<!\\)[.,;]$", ""),
        (r"^(?:\*\*(.+)\*\*|\\text\{([0-9][^{}]*)\})$", lambda m: m[1] or m[2]),
        (r"(?<![\w.^ ])[0-9]{1,3}(?: [0-9]{3}){1,12}(?! ?[0-9])", lambda m: m[0].replace(" ", "")),
        (r"(?<![\w.^\\])([0-9]{1,12}) ([0-9]{1,12})/([0-9]{1,12})(?![0-9.])", r"\1\\frac{\2}{\3}"),
        (rf"((?<![\w.^\\])[0-9]+|{_PLAIN})(?={_PLAIN})", r"\1\\cdot"),
    )
)
_WHOLE: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = tuple(
    (re.compile(pattern), rewrite)
    for pattern, rewrite in (
        (r"([+-]?[0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,4})", lambda m: f"{m[1]}\\times10^{{{int(m[2])}}}"),
        (r"(-?)([0-9]{0,12})\.([0-9]{0,12})\\(?:overline|bar)\{([0-9]{1,12})\}", lambda m: _repeating(*m.groups())),
    )
)
_INTEGER: Final = re.compile("[+-]?[0-9]{1,40}")
_IN_BASE: Final = re.compile(r"(-?[0-9][0-9A-Za-z]{0,63})_\{?([0-9]{1,2})\}?")
_WORDS: Final = re.compile(r"\\text\{([A-Za-z ]+)\}|[A-Za-z ]{4,}")


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

    Plain are equal texts, with or without a unit; integers, numbers with a base, numbers with different units.

    >>> decide("42", "43"), decide("101_2", "5_{10}"), decide(r"5\text{cm}", r"5\text{m}"), decide("0.5", r"\frac12")
    (False, True, False, None)
    """
    if _tight(gold) == _tight(answer):
        return True
    if units_differ(gold, answer):
        return False
    parts = compound(gold), compound(answer)
    if None not in parts:
        return parts[0] == parts[1]
    gold, answer = without_units(gold, answer)
    if _tight(gold) == _tight(answer):
        return True
    if is_integer(gold) and is_integer(answer):
        return False
    numbers = _number_in_base(gold), _number_in_base(answer)
    return None if None in numbers else numbers[0] == numbers[1]


def _tight(text: str) -> str:
    r"""The text without the spaces of a list; of words also without case and ``\text``."""
    words = _WORDS.fullmatch(text)
    return (words[1] or text).lower() if words else text.replace(", ", ",")


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
