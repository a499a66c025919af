"""Units behind a number: which one it is, and the number without it."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = r"\\(?:text|textrm|textbf|textit|textnormal|mathrm|mbox)\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"
_POWER: Final = r"(?:\^(?:\{-?[0-9]\}|[0-9]))?"
_TAIL: Final = re.compile(rf"(?<=[0-9A-Za-z}})\]%!])(?:{_WORDS}{_POWER}(?:/|\\cdot|\\times)?)+$")
_TH: Final = r"(?:\\(?:text|mathrm)\{(?:st|nd|rd|th)\}|st|nd|rd|th)"
_ORDINAL: Final = re.compile(rf"(?<=[0-9])\^?(?:{_TH}|\{{{_TH}\}})$")
_SIZE: Final = r"(square |sq\.? |cubic |cu\.? )?"
_BARE: Final = re.compile(rf"(?<=[0-9}}) ]) ?{_SIZE}([A-Za-z]+)(?:/([A-Za-z]+))?{_POWER}$")
_COUNTED: Final = re.compile(r"([+-]?(?:[0-9][0-9.,/]*|\\frac\{[0-9]+\}\{[0-9]+\})) [A-Za-z]{4,}(?: [A-Za-z]+){0,4}")
_COMPOUND: Final = re.compile(rf"(?:[0-9][0-9.,]*(?: ?[A-Za-z]+,? ?|{_WORDS},?)){{2,}}")
_PART: Final = re.compile(rf"([0-9][0-9.,]*)(?: ?([A-Za-z]+),? ?|{_WORDS},?)")
_AND: Final = re.compile(r"(?<=[a-z]),? and(?=\})|(?<=[a-z]) and(?= [0-9])")
_UNIT: Final = re.compile(
    rf"(?<=[0-9}}) ]) ?(\\(?:text|textrm|textbf|mathrm|mbox)\{{)?{_SIZE}([a-zA-Z.]+)(?(1)\}})"
    r"(?:\^\{?([0-9])\}?)?$"
)
_NO_UNIT: Final = re.compile(
    r"(?<![a-z])(?:hundred|thousand|million|billion|trillion|dozen|percent|percentage|half|halves|thirds|squared|cubed"
    r"|times|plus|minus|over|pi|sqrt|sin|cos|tan|log|exp|factorial|and|or|not|if|is|but|[ei])(?![a-z])|(?<![a-z])[0-9]",
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
_ALIASES: Final = {alias: line.split()[0] for line in _UNITS.strip().splitlines() for alias in line.split()}


def units_differ(gold: str, answer: str) -> bool:
    r"""Whether two normalised answers end in common units that are not the same.

    >>> units_differ(r"5\text{cm}", r"5\text{m}"), units_differ("5 cm^2", r"5\text{square centimeters}")
    (True, False)
    """
    wanted = _unit(gold, single=False)
    found = _unit(answer, single=wanted is not None)
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

    Letters behind a number are a unit where they are a common one of two letters or more; a single letter is a
    variable, unless the gold answer is a number without one.

    >>> without_units(r"5\text{cm}", "5 centimeters"), without_units("12", "12 m"), without_units("12t", "12m")
    (('5', '5'), ('12', '12'), ('12t', '12m'))
    >>> without_units("18", "18 dollars"), without_units("18", r"18\text{ million}")
    (('18', '18'), ('18', '18\\text{ million}'))
    """
    gold = _stripped(gold, single=False)
    return gold, _stripped(answer, single=not re.search("[A-Za-z]", re.sub(r"\\[a-zA-Z]+", "", gold)))


def _stripped(text: str, *, single: bool) -> str:
    tail = _TAIL.search(text)
    if tail is not None:
        return text if _NO_UNIT.search(_plain(tail[0])) else text[: tail.start()]
    ordinal = _ORDINAL.search(text)
    if ordinal is not None:
        return text[: ordinal.start()]
    counted = _COUNTED.fullmatch(text)
    if counted is not None and not _NO_UNIT.search(text[counted.end(1) :]):
        return counted[1]
    bare = _BARE.search(text)
    if bare is None or not re.search(r"[0-9\\]", text[: bare.start()]):
        return text
    if not all(_name(word) in _ALIASES for word in bare.groups()[1:] if word):
        return text
    return text[: bare.start()].rstrip() if single or len(bare[2]) > 1 else text


def _plain(tail: str) -> str:
    """The words of a tail, without commands and powers."""
    return re.sub(r"\\[a-z]+|\^\{?-?[0-9]\}?", " ", tail)


def _name(word: str) -> str:
    """The short name of a common unit, else the word."""
    word = word.strip(" ,").lower().replace(".", "")
    return _ALIASES.get(word) or _ALIASES.get(word.removesuffix("s")) or word


def _unit(text: str, *, single: bool) -> tuple[str, int] | None:
    """The unit behind a number and its power, if it is a common one; bare letters are one where there are several."""
    match = _UNIT.search(text)
    if match is None or not (match[1] or single or len(match[3]) > 1):
        return None
    name = _name(match[3])
    power = {"s": 2, "c": 3, "": int(match[4] or 1)}[(match[2] or "")[:1]]
    return (name, power) if name in _ALIASES else None
