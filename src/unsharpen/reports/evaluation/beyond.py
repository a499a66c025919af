"""Beyond Pass@k: votes and stability, samples for the same Pass@k, and results by how many solutions exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unsharpen.metrics import (
    Interval,
    SamplingEfficiency,
    bootstrap_mean,
    g_pass_at_k,
    mg_pass_at_k,
    multiplicity_bands,
    sampling_efficiency,
)
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.evaluation.model import MAJORITY, Integers, Model, bootstrap_columns, shared_rows
from unsharpen.reports.measures import efficiency_sentence
from unsharpen.reports.summary import DISTINCT, EFFECTIVE, band_title, mean_or_none
from unsharpen.reports.tables import TableRow, Value

TAUS = (0.5, 0.75, 1.0)
_EFFICIENT = 16  # the k of the sentence, or the largest below
_LARGEST = 64  # as the verdicts


def stability_rows(models: Sequence[Model]) -> list[TableRow]:
    """maj@k at two k, and G-Pass@k and mG-Pass@k at the largest k that all models share, at most 64.

    Empty where that k is 1: all of them are then Pass@1, or 0.
    """
    k = _common_k(models)
    return [] if k == 1 else [TableRow(m.label, _stability(m, k)) for m in models]


def _stability(model: Model, k: int) -> dict[str, Value]:
    n, c, voted = model.table.num_samples, model.table.num_correct, sorted({min(8, k), k})
    columns = {f"G-Pass@{k}, τ = {tau:g}": np.asarray(g_pass_at_k(n, c, k, tau)) for tau in TAUS}
    columns[f"mG-Pass@{k}"] = np.asarray(mg_pass_at_k(n, c, k))
    stable: dict[str, Value] = dict(zip(columns, bootstrap_columns(list(columns.values())), strict=True))
    ks, curve = list(model.curve), model.curves.get(MAJORITY)
    votes: dict[str, Value] = {f"maj@{j}": curve[ks.index(j)] if curve and j in ks else None for j in voted}
    return votes | stable


def efficiencies(models: Sequence[Model]) -> dict[str, tuple[int, tuple[SamplingEfficiency, ...]]]:
    """Model -> problems that it shares with the first one, and the samples that it needs for that one's Pass@k.

    The k are powers of four within the reference's samples, and its largest. A model that shares no problem is missing.
    """
    reference, found = models[0], {}
    for model in models[1:]:
        theirs, ours = shared_rows(reference, model)
        if ours.size:
            n, c = reference.table.num_samples[theirs], reference.table.num_correct[theirs]
            ks = sorted({4**i for i in range(20) if 4**i <= n.min()} | {int(n.min())})
            counts = (n, c, model.table.num_samples[ours], model.table.num_correct[ours])
            found[model.label] = (int(ours.size), sampling_efficiency(*counts, ks=ks))
    return found


def efficiency_rows(found: Mapping[str, tuple[int, tuple[SamplingEfficiency, ...]]], base_label: str) -> list[TableRow]:
    """A row for each k of the base, grouped by model: its Pass@k, the samples needed, and how many times fewer."""
    rows = []
    for label, (problems, efficiency) in found.items():
        for e in efficiency:
            values: dict[str, Value] = {"samples needed": e, "times fewer": times_fewer(e)}
            text = f"{base_label}'s Pass@{e.k} of {format_number(e.target, 3)}"
            rows.append(TableRow(text, values, f"{label}, {problems:,} problem{'s' * (problems != 1)}"))
    return rows


def times_fewer(e: SamplingEfficiency) -> Interval | None:
    """The factor k / needed with its interval, where a bound that is never reached is 0; None for never.

    >>> print(times_fewer(SamplingEfficiency(k=16, target=0.6, needed=4.0, low=3.2, high=None, max_k=64)))
    4.00 [.0, 5.0]
    """
    if e.factor is None:
        return None
    low, high = (0.0 if bound is None else e.k / bound for bound in (e.high, e.low))
    return Interval(e.factor, low, high)


def efficiency_sentences(found: Mapping[str, tuple[int, tuple[SamplingEfficiency, ...]]], base_label: str) -> list[str]:
    """One sentence a model, at k = 16 or the largest k below; none where the base's Pass@k there is 0."""
    chosen = {label: [e for e in each if e.k <= _EFFICIENT][-1] for label, (_, each) in found.items()}
    return [efficiency_sentence(label, base_label, e) for label, e in chosen.items() if e.target > 0]


def band_rows(models: Sequence[Model]) -> list[TableRow]:
    """Pass@1, Pass@k and diversity by number of solutions that exist: thirds of all problems where it is known.

    Each row is over the model's own problems. A band that ties leave empty is missing; without multiplicity all are.
    """
    known: dict[str, int] = {}
    for model in models:
        if model.table.multiplicity is not None:
            known |= dict(zip(model.table.problem_ids, model.table.multiplicity.tolist(), strict=True))
    if not known:
        return []
    names, ks = list(known), sorted({1, _common_k(models)})
    rows = []
    for band in multiplicity_bands(list(known.values())):
        inside = [names[i] for i in band.problems.tolist()]
        for model in models:
            where = np.asarray([model.position[name] for name in inside if name in model.position], dtype=np.int64)
            if where.size:
                rows.append(TableRow(model.label, _in_band(model, where, ks), band_title(band)))
    return rows


def _in_band(model: Model, where: Integers, ks: Sequence[int]) -> dict[str, Value]:
    values: dict[str, Value] = {f"Pass@{k}": bootstrap_mean(model.pass_at(k, where)) for k in ks}
    for name, column in ((DISTINCT, model.distinct[where]), (EFFECTIVE, model.effective[where])):
        values[name] = mean_or_none(column)
    return values


def _common_k(models: Sequence[Model]) -> int:
    """The largest k up to 64 at which every model has a curve."""
    return max(k for k in set.intersection(*(set(model.curve) for model in models)) if k <= _LARGEST)
