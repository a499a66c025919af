"""Tables of runs beside their base model: one list of rows, written as Markdown, CSV or a rich table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unsharpen.metrics import Crossover, Interval, SamplingEfficiency, bootstrap_mean, crossover
from unsharpen.reports.extras import require
from unsharpen.reports.runs import Evaluation, Integers, Run, base_models, labels

KS = (1, 8, 64, 128)
DISTINCT, EFFECTIVE, CATCH_UP = "distinct solutions", "effective solutions", "base catches up at k"
_SHORT = {DISTINCT: "distinct", EFFECTIVE: "effective", CATCH_UP: "caught\nat k"}  # in a terminal of 80 columns
Value = Interval | Crossover | SamplingEfficiency | None


@dataclass(frozen=True)
class Row:
    """One model: its label, what it was evaluated on, and its values by column heading.

    A value is None where it can't be had: a k above the number of samples, or no diversity recorded.
    """

    label: str
    step: int
    num_problems: int
    num_samples: int
    values: Mapping[str, Value]
    group: str = ""

    @property
    def name(self) -> str:
        return f"{self.group}: {self.label}" if self.group else self.label


def summary_rows(runs: Sequence[Run]) -> list[Row]:
    """The base model and every run: Pass@k, diversity of the correct completions, crossover.

    Pass@k and distinct solutions are means over all problems; effective solutions is the mean over the
    problems with two correct completions or more. Intervals: 95 % bootstrap over problems. The crossover compares each
    run with its own base evaluation.

    Args:
        runs: loaded runs; base models that several runs share are shown once, from the first of them.

    Returns:
        Rows with the same columns each, base first.
    """
    named = [*base_models(runs).items(), *zip(labels(runs), (run.final for run in runs), strict=True)]
    largest = max(evaluation.num_samples for _, evaluation in named)
    ks = sorted({k for k in KS if k <= largest} | ({largest} if largest < KS[-1] else set()))
    rows = [_row(label, evaluation, ks) for label, evaluation in named]
    caught: list[Value] = [*[None] * (len(rows) - len(runs)), *(_caught(run) for run in runs)]
    return [
        Row(row.label, row.step, row.num_problems, row.num_samples, {**row.values, CATCH_UP: value})
        for row, value in zip(rows, caught, strict=True)
    ]


def band_rows(runs: Sequence[Run], k: int = 64) -> list[Row]:
    """Pass@1, Pass@k and effective solutions by number of solutions of the problem: few, medium, many.

    The bands are the terciles of the multiplicity of the problems. `Row.group` names the band; a band that
    ties leave empty is missing.

    Args:
        runs: loaded runs; one without multiplicity has no rows.
        k: the second Pass@k, lowered to the smallest number of samples.

    Returns:
        Rows sorted by band, base first; empty when no evaluation knows the multiplicity.
    """
    named = [*base_models(runs).items(), *zip(labels(runs), (run.final for run in runs), strict=True)]
    known = [(label, e, e.multiplicity) for label, e in named if e.multiplicity is not None]
    if not known:
        return []
    k = min(k, *(e.num_samples for _, e, _ in known))
    cuts = np.quantile(known[0][2], [1 / 3, 2 / 3])
    rows = []
    for band, name in enumerate(("few", "medium", "many")):
        for label, evaluation, multiplicity in known:
            inside = np.flatnonzero(np.searchsorted(cuts, multiplicity) == band)
            if inside.size:
                low, high = int(multiplicity[inside].min()), int(multiplicity[inside].max())
                rows.append(_row(label, _subset(evaluation, inside), sorted({1, k}), band_title(name, low, high)))
    return rows


def band_title(name: str, low: int, high: int) -> str:
    """A band of problems by how many solutions they have.

    >>> band_title("few", 1, 2)
    'few: 1–2 solutions'
    """
    return f"{name}: {low if low == high else f'{low}–{high}'} solution{'s' * (high > 1)}"


def to_markdown(rows: Sequence[Row]) -> str:
    """A GitHub-flavoured table.

    >>> row = Row("GRPO", 600, 200, 128, {"Pass@1": Interval(0.565, 0.53, 0.6), "Pass@256": None})
    >>> print(to_markdown([row]))
    | run | Pass@1 | Pass@256 |
    |:--|--:|--:|
    | GRPO | .565 [.53, .60] | — |
    """
    columns = list(rows[0].values) if rows else []
    lines = [["run", *columns], *([row.name, *(cell(row.values[c]) for c in columns)] for row in rows)]
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in lines]
    head, *body = [f"| {' | '.join(line)} |" for line in escaped]
    return "\n".join([head, "|:--|" + "--:|" * len(columns), *body])


def to_csv(rows: Sequence[Row]) -> str:
    """Full precision; each column is followed by its `low` and `high`; empty where undefined or never."""
    columns = list(rows[0].values) if rows else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    bounds = [f"{column}{end}" for column in columns for end in ("", " low", " high")]
    writer.writerow(["run", "step", "problems", "samples", *bounds])
    for row in rows:
        numbers = [x for column in columns for x in _numbers(row.values[column])]
        writer.writerow([row.name, row.step, row.num_problems, row.num_samples, *numbers])
    return out.getvalue()


def to_latex(rows: Sequence[Row], *, caption: str = "", label: str = "") -> str:
    r"""A table for a paper: booktabs, intervals in small print below the values.

    Needs \usepackage{booktabs} and, for intervals, nothing else. What comes from labels is escaped.

    >>> row = Row("GRPO_1", 600, 200, 128, {"Pass@1": Interval(0.565, 0.53, 0.6), "Pass@256": None})
    >>> print(to_latex([row]))
    \begin{tabular}{lrr}
    \toprule
    model & Pass@1 & Pass@256 \\
    \midrule
    GRPO\_1 & .565 {\scriptsize [.53, .60]} & --- \\
    \bottomrule
    \end{tabular}
    """
    columns = list(rows[0].values) if rows else []
    lines = [" & ".join(["model", *map(_latex, columns)]) + r" \\", r"\midrule"]
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{_latex(group)}}}}} \\")
        cells = []
        for column in columns:
            value, _, bounds = cell(row.values[column]).partition(" [")
            cells.append(_latex(value) + (rf" {{\scriptsize [{_latex(bounds)}}}" if bounds else ""))
        lines.append(" & ".join([_latex(row.label), *cells]) + r" \\")
    table = [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", *lines, r"\bottomrule", r"\end{tabular}"]
    if not caption and not label:
        return "\n".join(table)
    above = [rf"\caption{{{_latex(caption)}}}"] * bool(caption) + [rf"\label{{{label}}}"] * bool(label)
    return "\n".join([r"\begin{table}", r"\centering", *above, *table, r"\end{table}"])


def to_rich(rows: Sequence[Row], title: str = "") -> Any:
    """A `rich.table.Table` for the terminal, intervals on a dim second line; fits 80 columns."""
    text, table = require("rich.text").Text, require("rich.table").Table
    out = table(title=title or None, box=require("rich.box").SIMPLE_HEAD, show_edge=False)
    out.padding, out.collapse_padding, out.pad_edge = 0, True, False  # the box has one blank between columns
    out.caption = "distinct, effective: correct solutions; caught: where the base model catches up"
    out.caption_justify = "left"
    out.add_column("run", style="bold", no_wrap=True)
    columns = list(rows[0].values) if rows else []
    for column in columns:
        out.add_column(_SHORT.get(column, column), justify="right", overflow="fold")
    for row in rows:
        cells = []
        for column in columns:
            value, _, bounds = cell(row.values[column]).partition(" [")
            dim = ("\n" + bounds.rstrip("]").replace("1.00", "1").replace(", ", "–"), "dim") if bounds else ""
            cells.append(text.assemble(value, dim))
        out.add_row(text(row.name), *cells)
    return out


def cell(value: Value) -> str:
    """The value as text; a dash where there is none."""
    return "—" if value is None else str(value)


_LATEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after the end of a row it would be taken for an option
    "—": "---",
    "–": "--",
    "−": "$-$",
    "\n": " ",
}


def _latex(text: str) -> str:
    """The text as LaTeX that prints it."""
    return "".join(_LATEX.get(char, char) for char in text if char >= " " or char == "\n")


def _row(label: str, evaluation: Evaluation, ks: Sequence[int], group: str = "") -> Row:
    n = evaluation.num_samples
    values: dict[str, Value] = {f"Pass@{k}": bootstrap_mean(evaluation.pass_at(k)) if k <= n else None for k in ks}
    diversity = {DISTINCT: evaluation.distinct_correct, EFFECTIVE: evaluation.effective_solutions}
    for name, column in diversity.items():
        values[name] = None if np.isnan(column).all() else bootstrap_mean(column, nan="omit")
    return Row(label, evaluation.step, evaluation.num_problems, n, values, group)


def _caught(run: Run) -> Crossover | None:
    base, final = run.base, run.final
    if final.step == 0 or not base.same_problems(final):
        return None
    return crossover(base.num_samples, base.num_correct, final.num_samples, final.num_correct)


def _subset(evaluation: Evaluation, rows: Integers) -> Evaluation:
    return Evaluation(
        evaluation.step,
        evaluation.num_samples,
        evaluation.num_correct[rows],
        evaluation.distinct_correct[rows],
        evaluation.effective_solutions[rows],
        None,
        evaluation.settings,
    )


def _numbers(value: Value) -> Sequence[float | int | None]:
    if value is None:
        return [None, None, None]
    if isinstance(value, Crossover):
        return [value.k, value.low, value.high]
    if isinstance(value, SamplingEfficiency):
        return [value.needed, value.low, value.high]
    return [value.value, value.low, value.high]
