"""Summaries of samples as tables: for the terminal, as CSV, and as LaTeX; and in plain sentences."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from unsharpen.metrics import BandSummary, Comparison, Interval, MeasureSummary, SamplingEfficiency, Summary
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.extras import require
from unsharpen.reports.tables import latex_float, latex_text

_TITLES = {
    "accuracy": "Accuracy",
    "stability": "Stability",
    "diversity": "Diversity of correct samples",
    "answers": "Answers of all samples",
    "text": "Wording",
    "sharpening": "Sharpening",
}
_PAPER = ("effective_solutions", "pairwise_diversity", "self_bleu")  # beside Pass@k, in a paper's table
_PAPER_HEADS = ("Eff. solutions", "Pairwise div.", "Self-BLEU")


def measures_table(summaries: Sequence[Summary], comparison: Comparison | None = None) -> Any:
    """A `rich.table.Table`: a row for each measure, a column for each model, and one for the difference.

    Of the stability measures only those of the largest k are shown; `measures_csv` has all.
    """
    text = require("rich.text").Text
    table = require("rich.table").Table(box=require("rich.box").SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in [s.label for s in summaries] + (["difference"] if comparison else []):
        table.add_column(text(name), justify="right", no_wrap=True)
    columns: list[Mapping[str, MeasureSummary]] = [s.measures for s in summaries]
    if comparison is not None:
        columns.append(comparison.differences)
    for group, title in _TITLES.items():
        names = [name for name in _names(columns) if _first(columns, name).group == group]
        if group == "stability":
            names = [name for name in names if f"@{summaries[0].ks[-1]}" in name]
        if names:
            table.add_row(text(title, "bold"))
        for name in names:
            cells = [
                "—" if name not in column else _cell(column[name].interval, signed=i == len(summaries))
                for i, column in enumerate(columns)
            ]
            table.add_row(_first(columns, name).label, *cells)
    return table


def bands_table(summaries: Sequence[Summary], comparison: Comparison | None = None) -> Any | None:
    """Pass@1, Pass@k and diversity by number of solutions that exist; None where that is unknown.

    A model that has other problems has other bands, and they stand under headings of their own.
    """
    shown = [(s.label, s.bands) for s in summaries if s.bands]
    if comparison is not None and comparison.bands:
        shown.append(("difference", comparison.bands))
    if not shown:
        return None
    text = require("rich.text").Text
    table = require("rich.table").Table(box=require("rich.box").SIMPLE_HEAD, pad_edge=False)
    table.add_column("solutions (problems)")
    heads = shown[0][1][0].measures
    names = [name for name in heads if name != "distinct_correct"]  # three columns fit a terminal
    for name in names:
        table.add_column(heads[name].label, justify="right", no_wrap=True)
    rows: dict[tuple[int, int, int], list[tuple[str, BandSummary]]] = {}
    for label, bands in shown:
        for band in bands:
            rows.setdefault((band.low, band.high, band.num_problems), []).append((label, band))
    for (low, high, problems), found in sorted(rows.items(), key=lambda row: row[0]):
        table.add_row(text(f"{found[0][1].name}, {low} to {high} ({problems})", "bold"))
        for label, band in found:
            measures = band.measures
            cells = [_cell(measures[n].interval, signed=label == "difference") if n in measures else "—" for n in names]
            table.add_row(text(label), *cells)
    return table


def measures_csv(summaries: Sequence[Summary], comparison: Comparison | None = None) -> str:
    """One line per model and measure, in full precision; empty where undefined. The last model is the difference."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "measure", "value", "low", "high", "problems", "undefined"])
    columns = [(s.label, s.measures) for s in summaries]
    if comparison is not None:
        columns.append((f"{comparison.label} - {comparison.base_label}", comparison.differences))
    for label, measures in columns:
        for name, measure in measures.items():
            plain = measure.as_dict()
            writer.writerow(
                [label, name, *(plain[key] for key in ("value", "low", "high", "num_problems", "num_undefined"))]
            )
    return out.getvalue()


def measures_latex(summaries: Sequence[Summary], comparison: Comparison | None = None) -> str:
    """A table for a paper (package booktabs): Pass@k in percent and diversity, with intervals, caption and label.

    The intervals are set small under their values. Numbers of problems and samples, the level and the seed are in the
    caption, so that the table can be read on its own.
    """
    ks = _paper_ks(summaries[0].ks)
    extra = [(name, head) for name, head in zip(_PAPER, _PAPER_HEADS, strict=True)
             if any(name in s.measures for s in summaries)]  # fmt: skip
    heads = ["Model", *(f"Pass@{k}" for k in ks), *(head for _, head in extra)]
    columns = [(f"pass@{k}", 100, 1) for k in ks] + [(name, 1, 2) for name, _ in extra]
    rows = [line for s in summaries for line in _latex_rows(s.label, s.measures, columns)]
    if comparison is not None:
        rows += ["\\midrule", *_latex_rows("Difference", comparison.differences, columns)]
    first = summaries[0]
    own = {s.label: f"{_samples(s)} samples for each of {s.num_problems} problems" for s in summaries}
    one = len(set(own.values())) == 1
    said = own[first.label] if one else "; ".join(f"{latex_text(label)}: {text}" for label, text in own.items())
    caption = (
        f"Pass@$k$ in percent (unbiased, {said}) and diversity of "
        f"the correct samples, with {100 * first.level:g}\\,\\% bootstrap intervals over problems (seed {first.seed})."
    )
    return "% needs \\usepackage{booktabs}\n" + latex_float(heads, rows, caption, "pass-at-k")


def sentences(summary: Summary, comparison: Comparison | None = None) -> list[str]:
    """What the numbers say, and what they leave open."""
    lines = [] if comparison is None else _compared(comparison)
    lines.append(
        f"{summary.label}: {_problems(summary.num_problems)}, {_samples(summary)} samples each, "
        f"{summary.num_correct} correct."
    )
    effective = summary.measures.get("effective_solutions")
    if effective is not None and effective.num_undefined:
        lines.append(
            f"Diversity is undefined for the {_problems(effective.num_undefined)} with fewer than two correct samples, "
            "and averaged over the others."
        )
    return lines


def _samples(summary: Summary) -> str:
    low, high = summary.num_samples
    return str(low) if low == high else f"{low} to {high}"


def _problems(count: int) -> str:
    return f"{count} problem" + "s" * (count != 1)


def _compared(found: Comparison) -> list[str]:
    lines = [_change(found, k) for k in dict.fromkeys((found.ks[0], found.ks[-1]))]
    caught = found.crossover
    if caught.k is None:
        lines.append(f"{found.base_label} does not catch up within {caught.max_k} samples.")
    elif caught.k == 1:
        lines.append(f"{found.base_label} is at least as good from the first sample on.")
    else:
        lines.append(f"{found.base_label} catches up at k = {caught} (interval of k in brackets).")
    few = max((k for k in found.ks if k <= 16), default=found.ks[0])
    shown = {e.k: e for e in found.efficiency if e.k in (few, found.ks[-1])}
    lines += [efficiency_sentence(found.label, found.base_label, e) for e in shown.values() if e.target > 0]
    if found.num_only_here or found.num_only_base:
        lines.append(
            f"Compared on {found.num_problems} common problems; left out: {found.num_only_here} only in {found.label}, "
            f"{found.num_only_base} only in {found.base_label}."
        )
    rare = found.rare_correct
    if rare is not None and rare.num_rare:
        lines.append(
            f"Of {rare.num_rare} rare correct completions of {found.base_label}, {found.label} still sampled "
            f"{rare.num_matched}"
            + (f"; their log-prob changed by {_signed(rare.change)} nats." if rare.num_matched else ".")
        )
    return lines


def _change(found: Comparison, k: int) -> str:
    change = found.differences[f"pass@{k}"].interval
    words = "higher" if change.low > 0 else "lower" if change.high < 0 else "not measurably different"
    than = "from" if words.startswith("not") else "than"
    return f"Pass@{k} of {found.label} is {words} {than} that of {found.base_label}: {_signed(change)}."


def efficiency_sentence(label: str, base_label: str, e: SamplingEfficiency) -> str:
    """How many samples a model needs for what its base reaches with k.

    >>> efficiency_sentence("GRPO", "base", SamplingEfficiency(16, 0.6, 4.0, 3.2, 5.0, 64))
    "For base's Pass@16 of .600, GRPO needs 4.0 [3.2, 5.0] samples (4.0 times fewer)."
    """
    goal = f"{base_label}'s Pass@{e.k} of {format_number(e.target, 3)}"
    if e.needed is None:
        return f"{label} never reaches {goal} within {e.max_k} samples."
    factor = f" ({e.k / e.needed:.1f} times fewer)" if e.needed < e.k else ""
    return f"For {goal}, {label} needs {e} samples{factor}."


def _latex_rows(
    label: str, measures: Mapping[str, MeasureSummary], columns: Sequence[tuple[str, int, int]]
) -> list[str]:
    """A line of values, and their intervals small below it; columns are (measure, scale, decimals)."""
    values, bounds = [latex_text(label)], [""]
    for name, scale, digits in columns:
        interval = measures[name].interval if name in measures else None
        if interval is None or math.isnan(interval.value):
            values.append("--")
            bounds.append("")
            continue
        value, low, high = (f"{scale * x:.{digits}f}" for x in (interval.value, interval.low, interval.high))
        values.append(f"${value}$")
        bounds.append(f"{{\\scriptsize $[{low}, {high}]$}}")
    return [" & ".join(values) + " \\\\", " & ".join(bounds) + " \\\\"]


def _paper_ks(ks: Sequence[int]) -> list[int]:
    """At most four: the ends, and two between."""
    return list(ks) if len(ks) <= 4 else [ks[0], ks[len(ks) // 3], ks[2 * len(ks) // 3], ks[-1]]


def _cell(interval: Interval, *, signed: bool) -> str:
    return _signed(interval) if signed else str(interval)


def _signed(interval: Interval) -> str:
    text = str(interval)
    return text if text == "undefined" or interval.value <= 0 else f"+{text}"


def _names(columns: Sequence[Mapping[str, MeasureSummary]]) -> list[str]:
    return list(dict.fromkeys(name for column in columns for name in column))


def _first(columns: Sequence[Mapping[str, MeasureSummary]], name: str) -> MeasureSummary:
    return next(column[name] for column in columns if name in column)
