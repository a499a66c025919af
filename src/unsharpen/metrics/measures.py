"""Every measure of a table, as one value per problem: what summaries and comparisons are made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats, Integers, nonnegative_integers
from unsharpen.metrics.answers import answer_groups
from unsharpen.metrics.majority import majority_curve
from unsharpen.metrics.pass_at_k import default_ks, pass_at_k
from unsharpen.metrics.samples import UNREADABLE, SampleTable
from unsharpen.metrics.sharpening import largest_correct_share, mean_length, mean_token_logprob
from unsharpen.metrics.stability import g_pass_at_k, mg_pass_at_k
from unsharpen.metrics.text import text_diversity

TAUS = (0.5, 0.75, 1.0)
ACCURACY, STABILITY, DIVERSITY, ANSWERS, TEXT, SHARPENING = (
    *("accuracy", "stability", "diversity", "answers", "text", "sharpening"),
)
LABELS = {
    "solved": "solved at least once",
    "distinct_correct": "distinct solutions",
    "effective_solutions": "effective solutions",
    "entropy_solutions": "exp(entropy) of solutions",
    "pairwise_diversity": "pairwise diversity",
    "largest_correct_share": "largest share",
    "answer_entropy": "answer entropy (nats)",
    "answer_entropy_solved": "answer entropy, solved",
    "answer_entropy_unsolved": "answer entropy, unsolved",
    "distinct_answers": "distinct answers",
    "distinct_answers_solved": "distinct answers, solved",
    "distinct_answers_unsolved": "distinct answers, unsolved",
    "self_bleu": "self-BLEU",
    "distinct_1": "distinct-1",
    "distinct_2": "distinct-2",
    "mean_token_logprob": "token log-prob (nats)",
    "length": "tokens",
    "length_correct": "tokens, correct samples",
    "length_wrong": "tokens, wrong samples",
}
GROW_WITH_CORRECT = {
    *("distinct_correct", "effective_solutions", "entropy_solutions", "largest_correct_share"),
    *("self_bleu", "distinct_1", "distinct_2"),
}
"""Their expectation depends on the number of correct samples, and thereby on n, for one and the same model."""
GROW_WITH_SAMPLES = {
    *("solved", "distinct_answers", "distinct_answers_solved", "distinct_answers_unsolved"),
    *("answer_entropy", "answer_entropy_solved", "answer_entropy_unsolved", *GROW_WITH_CORRECT),
}
"""Their expectation depends on n. Every other measure is unbiased at any n: comparable between different n."""


@dataclass(frozen=True, eq=False)
class Measure:
    """One measure of one model.

    Args:
        name: for programs, such as "pass@8" or "effective_solutions".
        group: "accuracy", "stability", "diversity", "answers", "text" or "sharpening".
        values: [P] one value per problem; NaN where it is undefined.
    """

    name: str
    group: str
    values: Floats

    @property
    def label(self) -> str:
        """What a table calls it, beside the title of its group."""
        name = self.name.replace("pass@", "Pass@").replace("g-P", "G-P").replace("_", ", tau ")
        return LABELS.get(self.name, name)


def checked_ks(table: SampleTable, ks: Iterable[int] | None) -> Integers:
    """The ks, or the default ones; InputError for a table without problems, or says how many have too few samples."""
    if table.num_problems == 0:
        raise InputError(f"metrics need at least 1 problem; {table.label!r} has none")
    least = int(table.num_samples.min())
    grid = default_ks(least) if ks is None else np.unique(nonnegative_integers("ks", list(ks)))
    if grid.size == 0 or grid[0] < 1:
        raise InputError(f"ks must hold integers of 1 or more; found {grid.tolist()}")
    few = np.flatnonzero(table.num_samples < grid[-1])
    if few.size:
        first = few[0]
        raise InputError(
            f"k must be at most the number of samples of every problem; {few.size} of {table.num_problems} problems of "
            f"{table.label!r} have fewer than {grid[-1]} (first: {table.problem_ids[first]!r} with "
            f"{table.num_samples[first]})",
            hint=f"ask for k up to {least}, or draw more samples",
        )
    return grid


def measures_of(table: SampleTable, ks: Integers, *, seed: int = 0) -> tuple[list[Measure], list[str]]:
    """All measures of a table that its columns allow, and notes on those that they don't, or on how they were had."""
    n, c = table.num_samples, table.num_correct
    found = [Measure(f"pass@{k}", ACCURACY, np.asarray(pass_at_k(n, c, k))) for k in ks.tolist()]
    found.append(Measure("solved", ACCURACY, (c > 0).astype(np.float64)))
    for k in ks[ks > 1].tolist():
        found += [Measure(f"g-pass@{k}_{tau}", STABILITY, np.asarray(g_pass_at_k(n, c, k, tau))) for tau in TAUS]
        found.append(Measure(f"mg-pass@{k}", STABILITY, np.asarray(mg_pass_at_k(n, c, k))))
    notes: list[str] = []
    for part in (_answers, _texts, _sharpening):
        more, said = part(table, ks, seed)
        found, notes = found + more, notes + said
    return found, notes


def _answers(table: SampleTable, ks: Integers, seed: int) -> tuple[list[Measure], list[str]]:
    readable = table.answers != UNREADABLE
    if not readable.any():
        return [], ["diversity, maj@k and answer entropy are unknown: the samples have no answer or solution identity"]
    notes = []
    nameless = int((table.correct & ~readable).sum())
    if nameless:
        notes.append(f"{nameless} of {int(table.correct.sum())} correct samples have no known solution: diversity and "
                     "votes leave them out")  # fmt: skip
    majority = majority_curve(table, ks, seed=seed)
    found = [Measure(f"maj@{k}", ACCURACY, v) for k, v in zip(ks.tolist(), majority.values, strict=True)]
    if majority.num_draws:
        drawn = ", ".join(str(k) for k in majority.ks[~majority.exact].tolist())
        notes.append(f"maj@k is an unbiased mean over {majority.num_draws} random subsets for k = {drawn}; "
                     "exact for the others; ties count by their share")  # fmt: skip
    right, every = answer_groups(table, correct=True), answer_groups(table)
    for name, values in (
        ("distinct_correct", right.distinct.astype(np.float64)),
        ("effective_solutions", right.effective),
        ("entropy_solutions", np.where(right.total >= 2, np.exp(right.entropy), np.nan)),
        ("pairwise_diversity", right.pairwise),
        ("largest_correct_share", largest_correct_share(table)),
    ):
        found.append(Measure(name, DIVERSITY, values))
    solved = table.num_correct > 0
    for name, values in (("distinct_answers", every.distinct.astype(np.float64)), ("answer_entropy", every.entropy)):
        for ending, kept in (("", solved | True), ("_solved", solved), ("_unsolved", ~solved)):
            found.append(Measure(name + ending, ANSWERS, np.where(kept, values, np.nan)))
    return found, notes


def _texts(table: SampleTable, ks: Integers, seed: int) -> tuple[list[Measure], list[str]]:
    if table.completions is None:
        return [], ["self-BLEU and distinct-n are unknown: the samples have no text"]
    texts = text_diversity(table, seed=seed)
    found = []
    for name in ("self_bleu", "distinct_1", "distinct_2"):
        values = np.full(table.num_problems, np.nan)
        values[texts.problems] = getattr(texts, name)
        found.append(Measure(name, TEXT, values))
    drawn = texts.problems.size
    if not drawn:
        return found, ["self-BLEU and distinct-n are undefined: no problem has two correct completions"]
    note = f"self-BLEU and distinct-n compare up to {texts.num_texts} correct completions of {drawn} problems"
    return found, [note + (f", drawn from {drawn + texts.num_skipped}" if texts.num_skipped else "")]


def _sharpening(table: SampleTable, ks: Integers, seed: int) -> tuple[list[Measure], list[str]]:
    rows = [
        ("mean_token_logprob", mean_token_logprob(table)),
        ("length", mean_length(table)),
        ("length_correct", mean_length(table, correct=True)),
        ("length_wrong", mean_length(table, correct=False)),
    ]
    missing = [what for what, column in (("log-probs", table.logprobs), ("lengths", table.lengths)) if column is None]
    notes = [f"sharpening is partly unknown: the samples have no {' and no '.join(missing)}"] if missing else []
    return [Measure(name, SHARPENING, values) for name, values in rows if not np.isnan(values).all()], notes
