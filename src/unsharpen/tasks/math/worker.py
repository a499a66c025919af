"""The process that grades. Run as a script by ``pool.py``; imports the standard library and math-verify only.

One JSON object a line. In: ``{"gold": ..., "answer": ...}``. Out, first: ``{"ready": true}`` or ``{"failed": why}``.
Out, per job: ``{"correct": ..., "readable": ...}``; behind it ``{"canonical": text or null}`` if wrong but readable.
The last message of a job says by ``"leaving": true`` that it was the last job of this process, whose heap has grown.
It ends when its input ends, and by itself where a job takes far more processor time than it may.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, TextIO

MAX_CANONICAL_CHARS = 200
MAX_OPERATIONS = 100
SMALL, TOLERANCE, ZERO = 1e-3, 1e-3, 1e-60
SIDE_BY_SIDE = re.compile(r"(?<![\w^.\\])(?<![a-z] )[0-9]+(?:\.[0-9]+)?(?: [0-9]|\{[0-9])")
"""Two numbers with nothing between them, which math-verify adds as it does for mixed numbers."""


def main() -> None:
    """Serve until the input ends."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no reply
    with suppress(ValueError, OSError):  # where the system sets less, that holds
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        grade, canonical = _load()
    except ImportError as error:
        _send(replies, {"failed": str(error)})
        return
    grade("\\frac{1}{2}", "0.5")  # the first answer builds the tables of the parser, outside the limit of any other
    _send(replies, {"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        _limit_processor_time(seconds)
        correct, readable = grade(job["gold"], job["answer"])
        leaving = _is_large(memory)
        _send(replies, {"correct": correct, "readable": readable, "leaving": leaving})
        if readable and not correct:
            identity = canonical(job["answer"])
            leaving = _is_large(memory)
            _send(replies, {"canonical": identity, "leaving": leaving})
        if leaving:
            return


def _is_large(memory: int) -> bool:
    """Whether so much of the memory is in use that a fresh process is better.

    Not by ``ru_maxrss``: on Linux a process starts with that of its parent, and beside a large trainer every worker
    would leave after its first answer. Where the system tells nothing, the limit on the address space has to do.
    """
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return False
    return resident > memory // 2


def _limit_processor_time(seconds: int) -> None:
    """The process may use so much more; a parent that was killed can't stop a computation without end."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime) + seconds
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _send(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def _load() -> tuple[Callable[[str, str], tuple[bool, bool]], Callable[[str], str | None]]:
    """The two functions that need math-verify; raises ImportError where it is missing."""
    import logging

    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable()
    # units are gone already; math-verify would cut variables off, and all from the first \text to a final brace
    normal = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all")
    target = (LatexExtractionConfig(boxed_match_priority=0, normalization_config=normal),)  # no number from any text

    @lru_cache(maxsize=512)
    def read(text: str) -> list[Any]:
        """What math-verify makes of a text: an expression if it finds one, and the text."""
        if SIDE_BY_SIDE.search(text):
            return []
        found = parse(f"\\boxed{{{text}}}", extraction_config=target, parsing_timeout=None)
        return [_tidied(value) for value in found]

    def equal(gold: str, answer: str) -> bool:
        wanted, found = read(gold), read(answer)
        if verify(wanted, found, timeout_seconds=None, allow_set_relation_comp=True):
            return not _differ_in_size(wanted, found) and not _is_vacuous(wanted[0], found[0])
        return bool(wanted and found) and _same_solutions(wanted[0], found[0])

    def grade(gold: str, answer: str) -> tuple[bool, bool]:
        correct = equal(gold, answer)
        if not correct and gold.endswith("\\%") and not answer.endswith("%"):
            correct = equal(gold[:-2], answer)  # who asks for a percentage gets a number
        return correct, any(not isinstance(value, str) for value in read(answer))

    def canonical(answer: str) -> str | None:
        try:
            text = _identity(read(answer)[0])
        except Exception:  # sympy raises whatever it likes; the text of the answer will do
            return None
        return text if text and len(text) <= MAX_CANONICAL_CHARS else None

    return grade, canonical


def _tidied(value: Any) -> Any:
    """The value with plain symbols, and with x = 5 for 5 = x and x = {1, 2} for x = 1, x = 2.

    As it is where sympy can't do that.
    """
    import sympy

    try:
        if isinstance(value, sympy.Eq) and value.rhs.is_Symbol and not value.lhs.free_symbols:
            value = sympy.Eq(value.rhs, value.lhs, evaluate=False)
        if isinstance(value, sympy.FiniteSet) and all(isinstance(part, sympy.Eq) for part in value):
            names = {part.lhs for part in value}
            if len(names) == 1 and next(iter(names)).is_Symbol:  # x = 1, x = 2
                value = sympy.Eq(names.pop(), type(value)(*(part.rhs for part in value)), evaluate=False)
        if isinstance(value, sympy.Eq) and isinstance(value.rhs, sympy.FiniteSet):
            value = sympy.Eq(value.lhs, type(value.rhs)(*(part.doit() for part in value.rhs)), evaluate=False)
        return _with_plain_symbols(value)
    except Exception:  # i is also the index of a sum, say
        return value


def _with_plain_symbols(value: Any) -> Any:
    """The imaginary unit for i, and one kind of every other symbol; math-verify has two, real or not by the text.

    An i that an equation gives a value is an unknown like any other.
    """
    import sympy

    symbols: set[Any] = getattr(value, "free_symbols", set())
    if all(symbol.is_real for symbol in symbols) and "i" not in map(str, symbols):
        return value
    imaginary = {"i"} - {str(equation.lhs) for equation in value.atoms(sympy.Eq)}
    plain = {s: sympy.I if s.name in imaginary else sympy.Symbol(s.name, real=True) for s in symbols}
    if isinstance(value, sympy.Eq):  # x = i would be False, as x is real
        return sympy.Eq(*(side.xreplace(plain) for side in value.args), evaluate=False)
    return value.xreplace(plain)


def _is_vacuous(wanted: Any, found: Any) -> bool:
    """Whether math-verify may find two values equal because it finds no solution of either: x^2 + 1 = 0 and 0 = 1."""
    import sympy

    try:
        if wanted is sympy.S.EmptySet and not isinstance(found, sympy.Set):
            return bool(_solutions(found) != sympy.S.EmptySet)
        if not (isinstance(wanted, sympy.Eq) and isinstance(found, sympy.Eq)) or wanted == found:
            return False
        if not all(isinstance(side, sympy.Expr) for side in (*wanted.args, *found.args)):  # x is a set or a point
            return False
        if wanted.free_symbols != found.free_symbols:
            return True
        ratio = sympy.simplify((wanted.lhs - wanted.rhs) / (found.lhs - found.rhs))
        if ratio.is_number and ratio.is_finite and ratio.is_nonzero:
            return False
        return not sympy.solve(found, found.free_symbols)
    except Exception:  # sympy can't solve it
        return True


def _same_solutions(wanted: Any, found: Any) -> bool:
    """Whether two inequalities in one unknown have the same solutions: 1 < x < 2 and 2 > x > 1, x > 3 and 2x > 6."""
    import sympy
    from latex2sympy2_extended.logic import And

    kinds = (sympy.Gt, sympy.Ge, sympy.Lt, sympy.Le, And)
    if not all(isinstance(value, kinds) for value in (wanted, found)):
        return False
    unknowns = wanted.free_symbols
    if len(unknowns) != 1 or found.free_symbols != unknowns:
        return False
    try:
        a, b = (_solutions(value) for value in (wanted, found))
        return bool(a == b)
    except Exception:  # sympy can't solve it
        return False


def _solutions(value: Any) -> Any:
    """The set of solutions; the chain of math-verify is no And of sympy's."""
    import sympy

    parts = [value] if value.is_Relational else value.args
    return sympy.Intersection(*(part.as_set() for part in parts))


def _differ_in_size(wanted: list[Any], found: list[Any]) -> bool:
    """Whether two small numbers are equal only because math-verify rounds to six decimals."""
    try:
        a, b = (complex(values[0]) for values in (wanted, found))
    except Exception:  # no numbers
        return False
    return abs(a) < SMALL and abs(a - b) > TOLERANCE * abs(a) + ZERO


def _identity(value: Any) -> str | None:
    """One text for equal values, as far as evaluation alone shows that they are equal."""
    import sympy

    if isinstance(value, str):
        return None
    if isinstance(value, sympy.Eq) and value.lhs.is_Symbol:
        value = value.rhs
    if isinstance(value, sympy.FiniteSet):
        members = [_identity(member) for member in value.args]
        return None if None in members else "{" + ", ".join(sorted(map(str, members))) + "}"
    if isinstance(value, sympy.Basic) and value.count_ops() > MAX_OPERATIONS:
        return None
    value = value.doit()
    if isinstance(value, sympy.Expr) and value.has(sympy.Float):
        value = sympy.nsimplify(value, rational=True)
    return str(value)


if __name__ == "__main__":
    main()
