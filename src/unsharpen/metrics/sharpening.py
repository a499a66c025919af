"""How sharp a model is: log-probs of its samples, weight of its favourite solution, and what became of rare ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unsharpen.errors import InputError
from unsharpen.metrics._checks import Floats
from unsharpen.metrics.answers import answer_groups
from unsharpen.metrics.bootstrap import Interval, bootstrap_mean
from unsharpen.metrics.samples import SampleTable


def mean_token_logprob(table: SampleTable) -> Floats:
    """Mean log-probability per token of a model's own samples, for each problem.

        mean over samples i of l_i / T_i,  l_i summed over the tokens of a sample, T_i their number

    Its negative estimates the entropy per token. It rises towards 0 as a model sharpens. Samples without a log-prob or
    without tokens are left out.

    Args:
        table: samples with logprobs (nats) and lengths (tokens).

    Returns:
        [P] nats per token; NaN where no sample of a problem has both, and everywhere if the table lacks a column.
    """
    if table.logprobs is None or table.lengths is None:
        return np.full(table.num_problems, np.nan)
    known = (table.lengths > 0) & ~np.isnan(table.logprobs)
    return _mean_by_problem(table, np.where(known, table.logprobs / np.maximum(table.lengths, 1), np.nan))


def mean_length(table: SampleTable, *, correct: bool | None = None) -> Floats:
    """Mean tokens per sample of each problem: of all samples, of the correct ones, or of the wrong ones.

    Returns:
        [P] tokens; NaN where no such sample has a known length.
    """
    if table.lengths is None:
        return np.full(table.num_problems, np.nan)
    kept = table.lengths > 0
    if correct is not None:
        kept = kept & (table.correct == correct)
    return _mean_by_problem(table, np.where(kept, table.lengths, np.nan))


def largest_correct_share(table: SampleTable) -> Floats:
    """Share of the most frequent solution among the correct samples of each problem.

        max_i q_i,  q_i = c_i / c

    1 means that a problem is always solved the same way. A plug-in: biased high for small c.

    Returns:
        [P] in (0, 1]; NaN below two correct samples with a known solution, where it could only be 1.
    """
    groups = answer_groups(table, correct=True)
    return np.where(groups.total >= 2, groups.largest_share, np.nan)


@dataclass(frozen=True)
class RareCorrect:
    """What a trained model thinks of correct completions that were rare under its base.

    Args:
        num_rare: distinct rare correct completions of the base model.
        num_matched: those that the trained model sampled, too, so that both log-probs are known.
        base: mean log-prob under the base model of the matched ones, over problems, nats per completion.
        trained: the same under the trained model.
        change: trained - base, paired.
    """

    num_rare: int
    num_matched: int
    base: Interval
    trained: Interval
    change: Interval


def rare_correct_logprobs(
    base: SampleTable, trained: SampleTable, *, quantile: float = 0.25, level: float = 0.95, seed: int = 0
) -> RareCorrect | None:
    """Log-prob of rare correct completions of the base model under the trained model.

        rare: correct, with a base log-prob at or below the `quantile` of its problem's distinct correct completions

    A completion's log-prob under the trained model is known where that model sampled the same text. Those that it no
    longer samples are missing, so the change is an upper bound of the true one; `num_matched` beside `num_rare` shows
    how many are left, which is a measure of its own. Texts as short as those of CountDown match; long reasoning never
    does.

    Args:
        base: samples of the base model, with completions and logprobs.
        trained: samples of the trained model on the same problems, likewise; paired by problem id.
        quantile: in (0, 1].
        level: as in `bootstrap_mean`, over problems.
        seed: as in `bootstrap_mean`.

    Returns:
        RareCorrect, its intervals undefined (NaN) when nothing matches; None when a table lacks a column.

    Raises:
        InputError: quantile out of range.
    """
    if not 0 < quantile <= 1:
        raise InputError(f"quantile must lie in (0, 1]; found {quantile}")
    theirs, ours = _logprobs_by_text(base, correct=True), _logprobs_by_text(trained, correct=None)
    if theirs is None or ours is None:
        return None
    num_rare, num_matched = 0, 0
    rows: list[tuple[float, float]] = []
    for problem, known in theirs.items():
        limit = float(np.quantile(list(known.values()), quantile))
        rare = [text for text, value in known.items() if value <= limit]
        found = ours.get(problem, {})
        matched = [(known[text], found[text]) for text in rare if text in found]
        num_rare, num_matched = num_rare + len(rare), num_matched + len(matched)
        if matched:
            before, after = np.mean(matched, axis=0).tolist()
            rows.append((before, after))
    if not rows:
        nothing = Interval(np.nan, np.nan, np.nan)
        return RareCorrect(num_rare, 0, nothing, nothing, nothing)
    values = np.asarray(rows).T
    intervals = [bootstrap_mean(v, level=level, seed=seed) for v in (*values, values[1] - values[0])]
    return RareCorrect(num_rare, num_matched, *intervals)


def _logprobs_by_text(table: SampleTable, *, correct: bool | None) -> dict[str, dict[str, float]] | None:
    """Problem id -> completion -> log-prob."""
    if table.completions is None or table.logprobs is None:
        return None
    kept = ~np.isnan(table.logprobs)
    if correct is not None:
        kept = kept & (table.correct == correct)
    found: dict[str, dict[str, float]] = {}
    for i in np.flatnonzero(kept).tolist():
        found.setdefault(table.problem_ids[table.problem[i]], {})[table.completions[i]] = float(table.logprobs[i])
    return found


def _mean_by_problem(table: SampleTable, values: Floats) -> Floats:
    """[P] mean of the defined values of [N] samples."""
    known = ~np.isnan(values)
    total = np.bincount(table.problem[known], values[known], table.num_problems)
    count = np.bincount(table.problem[known], minlength=table.num_problems)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))
