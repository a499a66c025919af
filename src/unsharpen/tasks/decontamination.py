"""Training problems that the evaluation holds too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from unsharpen.errors import InputError


class Worded(Protocol):
    """A problem whose text can be compared."""

    @property
    def key(self) -> str: ...

    @property
    def words(self) -> tuple[str, ...]: ...


ProblemT = TypeVar("ProblemT", bound=Worded)


@dataclass(frozen=True, slots=True)
class Decontamination(Generic[ProblemT]):
    """What is left to train on, and what was taken away and why.

    Attributes:
        kept: training problems that share nothing with the evaluation, in their order.
        same_text: removed, since the evaluation has the same text but for case and spacing.
        shared_words: removed, since the evaluation has the same run of words.
    """

    kept: list[ProblemT]
    same_text: list[ProblemT]
    shared_words: list[ProblemT]

    @property
    def num_removed(self) -> int:
        """How many training problems were removed."""
        return len(self.same_text) + len(self.shared_words)

    def __str__(self) -> str:
        return (
            f"{self.num_removed} of {self.num_removed + len(self.kept)} training problems removed, which the "
            f"evaluation holds too: {len(self.same_text)} with the same text, {len(self.shared_words)} with a shared "
            "run of words"
        )


def decontaminate(
    train: Sequence[ProblemT], evaluation: Sequence[ProblemT], *, num_words: int = 13, max_common: int = 10
) -> Decontamination[ProblemT]:
    """Remove training problems that the evaluation holds too, in the same words or nearly so.

    A training problem goes if an evaluation problem has its text (but for case, spacing, dollar signs and the last
    mark), or shares a run of ``num_words`` words with it. Runs that more than ``max_common`` training problems share
    are phrases ("where m and n are relatively prime positive integers, find m + n") and don't count. Problems of fewer
    words are compared by their text alone. Paraphrases are not found.

    Args:
        train: problems to train on.
        evaluation: problems to be judged by.
        num_words: the length of a run, at least 2.
        max_common: how many training problems may share a run before it counts as a phrase.

    Raises:
        InputError: a number is out of range.

    References:
        Brown et al. 2020 (2005.14165), appendix C: runs of 13 words, those of more than 10 occurrences ignored. There,
        text around the run is removed; here, the problem.
    """
    if num_words < 2 or max_common < 1:
        raise InputError(f"num_words must be at least 2 and max_common at least 1; found {num_words} and {max_common}")
    keys = {problem.key for problem in evaluation}
    held = {run for problem in evaluation for run in _runs(problem.words, num_words)}
    distinct = {problem.key: problem for problem in train}
    uses = Counter(run for problem in distinct.values() for run in set(_runs(problem.words, num_words)) & held)
    telling = {run for run, count in uses.items() if count <= max_common}
    result: Decontamination[ProblemT] = Decontamination([], [], [])
    for problem in train:
        if problem.key in keys:
            result.same_text.append(problem)
        elif telling and not telling.isdisjoint(_runs(problem.words, num_words)):
            result.shared_words.append(problem)
        else:
            result.kept.append(problem)
    return result


def _runs(words: Sequence[str], length: int) -> Iterator[Hashable]:
    return (tuple(words[i : i + length]) for i in range(len(words) - length + 1))
