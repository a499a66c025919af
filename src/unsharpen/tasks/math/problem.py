"""What a maths problem is."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

from unsharpen.errors import InputError
from unsharpen.tasks.math.answers import MAX_ANSWER_CHARS

MAX_PROBLEM_CHARS: Final = 100_000

_WORD: Final = re.compile(r"[^\W_]+")
_SPACING: Final = re.compile(r"\\(?:left|right|displaystyle)(?![a-zA-Z])|(?<!\\)\\[,;:! ]|[\s$~]+")


@dataclass(frozen=True)
class MathProblem:
    r"""A question with a final answer.

    Args:
        text: the question, of 1 to 100,000 characters.
        answer: the final answer in LaTeX or plain text, without a box, of 1 to 2,000 characters.
        source: where it comes from; may be empty.
        level: how hard it is, in the words of its source; may be empty.

    Raises:
        InputError: a field is no text, or is empty or too long.

    >>> MathProblem("What is $1 + 1$?", "2").key == MathProblem("what is 1+1", "2").key
    True
    """

    text: str
    answer: str
    source: str = ""
    level: str = ""

    def __post_init__(self) -> None:
        for name, most in {"text": MAX_PROBLEM_CHARS, "answer": MAX_ANSWER_CHARS}.items():
            value = getattr(self, name)
            if not isinstance(value, str) or not 1 <= len(value.strip()) <= most:
                found = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
                raise InputError(f"the {name} of a problem must be text of 1 to {most} characters; found {found}")

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The letters and digits of the text in lower case, in words; LaTeX commands are words too."""
        return tuple(_WORD.findall(unicodedata.normalize("NFKC", self.text).casefold()))

    @cached_property
    def key(self) -> str:
        """Equal for problems of the same text but for case, spacing, dollar signs and the last mark: 16 digits."""
        text = _SPACING.sub("", unicodedata.normalize("NFKC", self.text).casefold()).rstrip(".?!:")
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
