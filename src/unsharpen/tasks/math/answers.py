"""Where a completion has its answer."""

from __future__ import annotations

import re
from typing import Final

MAX_ANSWER_CHARS: Final = 2_000
"""Longer answers reach no parser."""

_BOXES: Final = ("\\boxed", "\\fbox")
_MAX_BOXES: Final = 8
_OPENING: Final = re.compile(r"\s{0,8}\{")
_MARKS: Final = re.compile(r"\\\\(?!boxed)|\\[{}]|([{}])")


def last_boxed(text: str) -> str | None:
    r"""What the last complete ``\boxed{...}`` or ``\fbox{...}`` encloses; None where there is none.

    Looks at a few last boxes, each no further than ``MAX_ANSWER_CHARS``, so the time is linear in the length of the
    text. What is longer comes back cut to one character more than the limit. Braces behind a backslash don't count.

    >>> last_boxed(r"first \boxed{1}, then \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    """
    end = len(text)
    for _ in range(_MAX_BOXES):
        end, box = max((text.rfind(box, 0, end), box) for box in _BOXES)
        if end < 0:
            return None
        opening = _OPENING.match(text, end + len(box))
        if opening is None:
            continue
        window = text[opening.end() : opening.end() + MAX_ANSWER_CHARS + 1]
        depth = 1
        for mark in _MARKS.finditer(window):
            depth += {"{": 1, "}": -1, None: 0}[mark[1]]
            if depth == 0:
                return window[: mark.start()].strip()
        if len(window) > MAX_ANSWER_CHARS:
            return window
    return None
