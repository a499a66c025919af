"""Numbers that stand for answers and prompts: the same in every batch, process and machine."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from hashlib import blake2b
from typing import Any

from unsharpen.errors import EngineError

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


def prompt_id(row: Mapping[str, Any], prompt: Any, *, place: str) -> int:
    """A number made of the row's ``prompt_id`` where it has one, else of the prompt itself.

    Args:
        row: what the data says beside the prompt.
        prompt: a text, or a conversation.
        place: where the engine's users put a ``prompt_id``, for the hint.

    Raises:
        EngineError: no such key, and a prompt that is more than text, which has no number that stays the same.
    """
    if "prompt_id" in row:
        return stable_id(row["prompt_id"])
    try:
        json.dumps(prompt)
    except TypeError as error:
        raise EngineError(
            f"the method tells prompts apart by their text, and a prompt holds something else: {error}",
            hint=f"{place}: a text or a number for each prompt",
        ) from error
    return stable_id(prompt)
