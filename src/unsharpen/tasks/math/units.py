"""Units behind a number: which one it is, and the number without it."""

from __future__ import annotations

import re
from typing import Final

_FONTS: Final = "text|textrm|textbf|textit|textnormal|mathrm|mbox"
_WORDS: Final = rf"\\(?:{_FONTS})\{{([^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}"
_POWER: Final = r"(?:\^(?:\{-?[0-9]\}|[0-9]))?"
_WORD: Final = re.compile(rf"{_WORDS}({_POWER})")
_TAIL: Final = re.compile(rf"(?<=[0-9A-Za-z}})\]%!])(?:{_WORDS}{_POWER}(?:/|\\cdot|\\times)?)+$")
_TH: Final = r"(?:\\(?:text|mathrm)\{(?:st|nd|rd|th)\}|st|nd|rd|th)"
_ORDINAL: Final = re.compile(rf"(?<=[0-9])\^?(?:{_TH}|\{{{_TH}\}})$")
_SIZE: Final = r"(square |sq\.? |cubic |cu\.? )?"
_BARE: Final = re.compile(rf"(?<=[0-9}}) ]) ?{_SIZE}([A-Za-z]+)(?:/([A-Za-z]+))?{_POWER}$")
_FRACTION: Final = r"[0-9]*\\frac\{[0-9]+\}\{[0-9]+\}"
_COUNTED: Final = re.compile(rf"([+-]?(?:[0-9][0-9.,/]*(?= )|{_FRACTION})) ?([A-Za-z]{{3,}})(?: [A-Za-z]+){{0,4}}")
_COMPOUND: Final = re.compile(rf"(?:[0-9][0-9.,]*(?: ?[A-Za-z]+,? ?|{_WORDS},?)){{2,}}")
_PART: Final = re.compile(rf"([0-9][0-9.,]*)(?: ?([A-Za-z]+),? ?|{_WORDS},?)")
_AND: Final = re.compile(r"(?<=[a-z]),? and(?=\})|(?<=[a-z]) and(?= [0-9])")
_UNIT: Final = re.compile(
    rf"(?<=[0-9}}) ]) ?(\\(?:text|textrm|textbf|mathrm|mbox)\{{)?{_SIZE}([a-zA-Z.]+)(?(1)\}})"
    r"(?:\^\{?([0-9])\}?)?$"
)
_NO_UNIT: Final = re.compile(
    r"(?<![a-z])(?:(?:hundred|thousand|million|billion|trillion|dozen|percentage|third|fourth|fifth|sixth|eighth|tenth"
    r"|hundredth|thousandth)s?|percent|half|halves|squared|cubed|times|choose|mod|plus|minus|over|pi|sqrt|sin|cos|tan"
    r"|log|exp|factorial|and|or|not|if|is|but|less|[ei])(?![a-z])|(?<![a-z])[0-9]",
    re.IGNORECASE,
)
"""Words that change the value in front of them, or are mathematics: no units."""

_UNITS: Final = """
mm millimeter millimetre
cm centimeter centimetre
m meter metre
km kilometer kilometre
in inch inche
ft foot feet
yd yard
mi mile
s sec second
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
mph
deg degree
dollar
cent
am
pm
"""
_SI: Final = frozenset("NJVWKACTF")
_PRODUCTS: Final = frozenset(("mg", "ml", "am", "pm", "in", "mi"))
"""Bare, these are products of variables as often as units: half of m times g, 2 pi i n."""
_MATHS: Final = re.compile(r"!|\\(?!circ|cdot|[,;: %])")
_SIGNS: Final = frozenset(("", ".", ",", "¢", r"\%", r"^\circ"))
_ALIASES: Final = {alias: line.split()[0] for line in _UNITS.strip().splitlines() for alias in line.split()}


def units_differ(gold: str, answer: str) -> bool:
    r"""Whether two normalised answers end in common units that are not the same.

    >>> units_differ(r"5\text{cm}", r"5\text{m}"), units_differ("5 cm^2", r"5\text{square centimeters}")
    (True, False)
    """
    wanted = _unit(gold, products=False)
    found = _unit(answer, single=wanted is not None, products=False)
    return None not in (wanted, found) and wanted != found


def compound(text: str) -> tuple[tuple[str, str], ...] | None:
    r"""The parts of an answer that counts several things, sorted; None where the text is no such answer.

    >>> compound(r"2\text{hours and}30\text{min}") == compound("30 min 2 h"), compound("3x,2y")
    (True, None)
    """
    text = _AND.sub("", text)
    if _COMPOUND.fullmatch(text) is None:
        return None
    parts = [(part[1], _name(part[2] or part[3]), part[2] is None) for part in _PART.finditer(text)]
    if not all(name in _ALIASES or (in_text and name not in ("and", "or")) for _, name, in_text in parts):
        return None
    return tuple(sorted((number, name) for number, name, _ in parts))


def without_units(gold: str, answer: str) -> tuple[str, str]:
    r"""The two normalised answers without the units and words behind their numbers.

    Letters behind a number are a unit where they are a common one of two letters or more, and no product either; in the
    answer any word or common unit is, if the gold answer has no letters.

    >>> without_units(r"5\text{cm}", "5 centimeters"), without_units("12", "12 m"), without_units("12t", "12m")
    (('5', '5'), ('12', '12'), ('12t', '12m'))
    >>> without_units("18", "18 dollars"), without_units("18", r"18\text{ million}")
    (('18', '18'), ('18', '18\\text{ million}'))
    >>> without_units(r"\frac{1}{2}mg", r"\frac{mg}{2}"), without_units("5mg", r"5\text{mg}")
    (('\\frac{1}{2}mg', '\\frac{mg}{2}'), ('5', '5'))
    """
    same = _unit(gold) == _unit(answer) is not None
    wanted = _stripped(gold, least=2, products=same)
    if re.search("[A-Za-z]", re.sub(r"\\[a-zA-Z]+", "", wanted)) and not same:
        return _without_tail(gold), _without_tail(answer)
    return wanted, _stripped(answer, least=1, products=True)


def _stripped(text: str, *, least: int, products: bool) -> str:
    """Without a tail, a word behind a number, or a common unit of so many bare letters at least."""
    shorter = _without_tail(text)
    if shorter != text:
        return shorter
    counted = _COUNTED.fullmatch(text)
    if counted is not None and not _NO_UNIT.search(text[counted.end(1) :]):
        letters = least + (3 if "\\" in counted[1] else 2)
        if len(counted[2]) >= letters or counted[2] == "per":
            return counted[1]
    bare = _BARE.search(text)
    if bare is None or not re.search(r"[0-9\\]", text[: bare.start()]):
        return text
    names = [_name(word) for word in bare.groups()[1:] if word]
    if not all(name in _ALIASES for name in names) or len(bare[2]) < least:
        return text
    return text if bare[2] in _PRODUCTS and not products else text[: bare.start()].rstrip()


def _without_tail(text: str) -> str:
    r"""Without words in ``\text`` behind a number, or the letters of an ordinal."""
    tail = _TAIL.search(text)
    if tail is None:
        ordinal = _ORDINAL.search(text)
        return text if ordinal is None else text[: ordinal.start()]
    before = text[: tail.start()]
    if not re.search(rf"[0-9]|\\(?!(?:{_FONTS})(?![a-zA-Z]))", before) or _NO_UNIT.search(_plain(tail[0])):
        return text
    if tail[0].endswith(("/", r"\cdot", r"\times")):
        return text
    return before if all(_is_unit(*word.groups()) for word in _WORD.finditer(tail[0])) else text


def _is_unit(words: str, power: str) -> bool:
    """Whether what is in braces may be a unit, or words that change nothing."""
    words = words.strip()
    if not re.search("[A-Za-z]", words.replace(r"\circ", "")):
        return words in _SIGNS and not power
    letters = re.findall("[A-Za-z]+", _plain(words))
    if re.search(r"[\\^!²]", words) or len(words) == 1:
        known = all(word in _SI or _name(word) in _ALIASES for word in letters)
        return bool(letters) and known and not _MATHS.search(words)
    return True


def _plain(tail: str) -> str:
    """The words of a tail, without commands and powers."""
    return re.sub(r"\\[a-z]+|\^\{?-?[0-9]\}?", " ", tail)


def _name(word: str) -> str:
    """The short name of a common unit, else the word."""
    word = word.strip(" ,").lower().replace(".", "")
    return _ALIASES.get(word) or _ALIASES.get(word.removesuffix("s")) or word


def _unit(text: str, *, single: bool = False, products: bool = True) -> tuple[str, int] | None:
    """The unit behind a number and its power, if it is a common one; bare letters are one where there are several."""
    match = _UNIT.search(text)
    if match is None or not (match[1] or single or len(match[3]) > 1):
        return None
    if not match[1] and match[3] in _PRODUCTS and not products:
        return None
    name = _name(match[3])
    power = {"s": 2, "c": 3, "": int(match[4] or 1)}[(match[2] or "")[:1]]
    return (name, power) if name in _ALIASES else None
