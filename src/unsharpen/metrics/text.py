"""Diversity of wording: self-BLEU and distinct-n, at a bounded cost.

Tokens are what white space separates, case kept. Only the first `MAX_TOKENS` tokens of the first `MAX_CHARS` characters
of a text are read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, generator
from unsharpen.metrics.samples import SampleTable

MAX_TOKENS, MAX_CHARS = 256, 8192
MAX_TEXTS, MAX_PROBLEMS = 8, 128
_EPSILON = 0.1

Gram = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TextDiversity:
    """Values per problem for the problems that were looked at.

    Args:
        problems: [Q] their indices in the table, ascending.
        self_bleu: [Q] in [0, 1]; high is alike.
        distinct_1: [Q] share of distinct tokens.
        distinct_2: [Q] share of distinct pairs of neighbouring tokens; NaN where no text has two tokens.
        num_undefined: problems of the table with fewer than two such completions.
        num_skipped: problems with enough completions that were not drawn.
        num_texts: at most so many completions of a problem were compared.
    """

    problems: np.ndarray[Any, np.dtype[np.int64]]
    self_bleu: Floats
    distinct_1: Floats
    distinct_2: Floats
    num_undefined: int
    num_skipped: int
    num_texts: int


def tokenize(text: str) -> list[str]:
    """The tokens that are compared.

    >>> tokenize("so  1 + 2 = 3")
    ['so', '1', '+', '2', '=', '3']
    """
    return text[:MAX_CHARS].split()[:MAX_TOKENS]


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Share of distinct n-grams among all n-grams of some texts.

        distinct-n = |{g}| / sum_g count(g)

    It falls with the number and length of the texts, so compare it for equal numbers of texts only.

    Returns:
        A value in (0, 1]; NaN without an n-gram.

    Reference: Li et al. 2016, arXiv 1510.03055, section 5.

    >>> distinct_n(["a b a", "a b"], 2)  # ab, ba, ab
    0.6666666666666666
    """
    counts = Counter(gram for text in texts for gram in _grams(tokenize(text), n))
    return len(counts) / counts.total() if counts else math.nan


def self_bleu(texts: Sequence[str], max_n: int = 4) -> float:
    """Mean BLEU of each text with all others as references.

        BLEU_i = min(1, exp(1 - r_i / h_i)) exp(1/N sum_{n <= N} ln p_n),  p_n the clipped precision of n-grams

    h_i is the length of text i and r_i the nearest length of another one (the shorter of two as near). A precision of 0
    counts as 0.1 / max(1, number of n-grams), and 0 where not even a token is shared (smoothing method 1 of Chen and
    Cherry 2014). High means that the texts are alike.

    Args:
        texts: at least 2.
        max_n: N.

    Returns:
        A value in [0, 1].

    Raises:
        InputError: fewer than 2 texts.

    Reference: Zhu et al. 2018, arXiv 1802.01886, section 3; Papineni et al. 2002, BLEU.

    >>> self_bleu(["1 + 2 + 3", "1 + 2 + 3"]), self_bleu(["a b", "c d"])
    (1.0, 0.0)
    """
    if len(texts) < 2:
        raise InputError(f"self-BLEU needs at least 2 texts; found {len(texts)}")
    tokens = [tokenize(text) for text in texts]
    logs = np.zeros(len(texts))
    for n in range(1, max_n + 1):
        for i, (matched, total) in enumerate(_clipped([Counter(_grams(t, n)) for t in tokens])):
            if matched == 0 and n == 1:
                logs[i] = -math.inf
            logs[i] += math.log((matched or _EPSILON) / max(1, total)) / max_n
    lengths = [len(t) for t in tokens]
    return float(np.mean([_brevity(lengths, i) * math.exp(logs[i]) for i in range(len(texts))]))


def text_diversity(
    table: SampleTable,
    *,
    correct: bool | None = True,
    max_problems: int = MAX_PROBLEMS,
    max_texts: int = MAX_TEXTS,
    seed: int = 0,
) -> TextDiversity:
    """Self-BLEU and distinct-n of the completions of each problem.

    The cost is bounded: `max_problems` problems, and `max_texts` completions of each, are drawn with a seed, each
    evenly and without replacement; with fewer texts in one problem than in another distinct-n is not comparable.

    Args:
        table: the samples, with their completions.
        correct: which completions are compared: the correct ones, the wrong ones, or all (None).
        max_problems: problems drawn, at least 1.
        max_texts: completions drawn from each, at least 2.
        seed: of both draws.

    Raises:
        InputError: the table has no completions, or a limit is too small.
    """
    if table.completions is None:
        raise InputError("text measures need completions; the table has none")
    if max_problems < 1 or max_texts < 2:
        raise InputError(f"max_problems must be 1 or more and max_texts 2 or more; found {max_problems}, {max_texts}")
    rng = generator(seed)
    kept = np.flatnonzero(np.ones(table.problem.size, bool) if correct is None else table.correct == correct)
    kept = kept[np.argsort(table.problem[kept], kind="stable")]
    available = np.bincount(table.problem[kept], minlength=table.num_problems)
    ends = np.cumsum(available)
    possible = np.flatnonzero(available >= 2)
    chosen = np.sort(rng.permutation(possible)[:max_problems])
    rows = []
    for p in chosen.tolist():
        samples = kept[ends[p] - available[p] : ends[p]]
        texts = [table.completions[i] for i in np.sort(rng.permutation(samples)[:max_texts]).tolist()]
        rows.append((self_bleu(texts), distinct_n(texts, 1), distinct_n(texts, 2)))
    values = np.asarray(rows, dtype=np.float64).reshape(-1, 3).T
    undefined, skipped = table.num_problems - possible.size, possible.size - chosen.size
    return TextDiversity(chosen, values[0], values[1], values[2], int(undefined), int(skipped), max_texts)


def _grams(tokens: Sequence[str], n: int) -> list[Gram]:
    return list(zip(*(tokens[i:] for i in range(n)), strict=False))


def _clipped(counts: Sequence[Counter[Gram]]) -> list[tuple[int, int]]:
    """For each text its n-grams that another text has, each at most as often as there, and all its n-grams.

    Linear in the texts: the largest and second largest count of each n-gram over the texts are enough.
    """
    best: dict[Gram, tuple[int, int]] = {}
    for count in counts:
        for gram, number in count.items():
            first, second = best.get(gram, (0, 0))
            best[gram] = (number, first) if number > first else (first, max(second, number))
    result = []
    for count in counts:
        matched = 0
        for gram, number in count.items():
            first, second = best[gram]
            matched += min(number, second if number == first else first)
        result.append((matched, count.total()))
    return result


def _brevity(lengths: Sequence[int], i: int) -> float:
    length = lengths[i]
    if length == 0:
        return 0.0
    nearest = min((abs(other - length), other) for j, other in enumerate(lengths) if j != i)[1]
    return min(1.0, math.exp(1 - nearest / length))
