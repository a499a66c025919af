"""Numbers that stand for answers and prompts: the same in every batch, process and machine."""

from __future__ import annotations

import json
from collections.abc import Hashable
from hashlib import blake2b
from typing import Any

NO_ANSWER = -1


def answer_id(answer: Hashable | None) -> int:
    """A number that is the same for equal answers in every batch and process; :data:`NO_ANSWER` for None.

    Answers are told apart by their text. All unreadable completions count as one answer: with an identity of its own
    each would be the rarest of all, and exploration would pay for nonsense forever.
    """
    return NO_ANSWER if answer is None else stable_id(answer)


def stable_id(value: Any) -> int:
    """A number of 63 bits made of the value's text; the same on every machine. Conversations are written as JSON."""

    def plain(part: Any) -> Any:
        return sorted(map(repr, part)) if isinstance(part, set | frozenset) else repr(part)

    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=plain)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
