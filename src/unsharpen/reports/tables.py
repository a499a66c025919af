"""A table once, written as Markdown, CSV, LaTeX, HTML or for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from typing import Any

from unsharpen.metrics import Crossover, Interval, SamplingEfficiency
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.extras import require

Value = Interval | Crossover | SamplingEfficiency | float | str | None
_WIDE = 6  # columns with intervals that a page of LaTeX takes in small type; more are scaled down
_LONG = 40  # rows that such a page takes
_NARROW = 8  # columns that a terminal of 80 characters takes with their words
_SHORT = {" solutions": "", "base catches up at k": "caught\nat k"}
_SHORTER = {"distinct": "dist.", "effective": "eff.", "samples for ": "for ", " Pass@": "\n@", "Pass@": "@"}
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
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\to$",
    "\n": " ",
}


@dataclass(frozen=True)
class TableRow:
    """One row: its label, its values by column heading, and where it stands.

    ``group`` opens a band of rows. ``note`` takes the place of the values of a row that has none. A value is None where
    it can't be had: a k above the number of samples, or no diversity recorded.
    """

    label: str
    values: Mapping[str, Value]
    group: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns.

    ``name`` is that of its files, and its label in LaTeX; ``caption`` says what the numbers are, ``head`` what the rows
    are.
    """

    name: str
    title: str
    caption: str
    rows: Sequence[TableRow]
    head: str = "method"

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.rows for column in row.values))

    @property
    def is_grouped(self) -> bool:
        return any(row.group for row in self.rows)


def cell(value: Value) -> str:
    """The value as text; a dash where there is none.

    >>> cell(Interval(0.5, 0.4, 0.6)), cell(0.664), cell(None)
    ('.500 [.40, .60]', '.66', '—')
    """
    if value is None:
        return "—"
    return format_number(value, 2) if isinstance(value, float) else str(value)


def _split(value: Value) -> tuple[str, str]:
    """The value, and its bounds without their brackets."""
    text, _, bounds = cell(value).partition(" [")
    return text, bounds.rstrip("]")


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table under its title.

    >>> rows = [TableRow("GRPO", {"Pass@1": Interval(0.565, 0.53, 0.6), "Pass@256": None}), TableRow("x", {}, note="-")]
    >>> print(to_markdown(Table("t", "All", "Means.", rows)))
    ### All
    <BLANKLINE>
    Means.
    <BLANKLINE>
    | method | Pass@1 | Pass@256 |
    |:--|--:|--:|
    | GRPO | .565 [.53, .60] | — |
    | x | - |  |
    """
    columns, lines = table.columns, []
    for row in table.rows:
        values = [row.note, *[""] * (len(columns) - 1)] if row.note else [cell(row.values.get(c)) for c in columns]
        lines.append([*([row.group] if table.is_grouped else []), row.label, *values])
    head = [*(["group"] if table.is_grouped else []), table.head, *columns]
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [head, *lines]]
    first, *body = [f"| {' | '.join(line)} |" for line in escaped]
    rule = "|:--" * (2 if table.is_grouped else 1) + "|" + "--:|" * len(columns)
    return "\n".join([f"### {table.title}", "", table.caption, "", first, rule, *body])


def to_csv(table: Table) -> str:
    """Full precision; after a column with intervals come its ``low`` and ``high``; empty is undefined, or never."""
    wide = {c for row in table.rows for c, v in row.values.items() if not isinstance(v, float | str | None)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{c}{end}" for c in table.columns for end in (("", " low", " high") if c in wide else ("",))]
    writer.writerow(["group", table.head, *heads, "note"])
    for row in table.rows:
        numbers = [x for c in table.columns for x in _numbers(row.values.get(c), c in wide)]
        writer.writerow([row.group, row.label, *numbers, row.note])
    return out.getvalue()


def _numbers(value: Value, wide: bool) -> list[Any]:
    match value:
        case Interval():
            return [value.value, value.low, value.high]
        case Crossover():
            return [value.k, value.low, value.high]
        case SamplingEfficiency():
            return [value.needed, value.low, value.high]
        case _:
            return [value, None, None] if wide else [value]


def to_latex(table: Table) -> str:
    r"""A ``table`` environment for the packages booktabs and graphicx; intervals in small type.

    A long table of groups becomes one for each group.

    >>> print(to_latex(Table("all", "All", "50 %.", [TableRow("GRPO_1", {"Pass@1": Interval(0.565, 0.53, 0.6)})])))
    \begin{table}
    \centering\small
    \caption{All. 50 \%.}
    \label{tab:all}
    \begin{tabular}{lr}
    \toprule
    method & Pass@1 \\
    \midrule
    GRPO\_1 & .565 {\scriptsize [.53, .60]} \\
    \bottomrule
    \end{tabular}
    \end{table}
    """
    groups = [list(rows) for _, rows in groupby(table.rows, key=lambda row: row.group)]
    if len(table.rows) <= _LONG or len(groups) == 1:
        return _latex(table)
    parts = (replace(table, rows=rows, name=f"{table.name}-{i}") for i, rows in enumerate(groups, start=1))
    return "\n".join(map(_latex, parts))


def _latex(table: Table) -> str:
    columns, group = table.columns, ""
    lines: list[str] = []
    for row in table.rows:
        if row.group != group:
            group = row.group
            lines += [r"\midrule"] if lines else []
            lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{\emph{{{latex_text(group)}}}}} \\")
        if row.note:
            cells = [rf"\multicolumn{{{len(columns)}}}{{p{{.6\textwidth}}}}{{{latex_text(row.note)}}}"]
        else:
            cells = [_latex_cell(row.values.get(column)) for column in columns]
        lines.append(" & ".join([latex_text(row.label), *cells]) + r" \\")
    caption = latex_text(f"{table.title}. {table.caption}")
    heads = [latex_text(text) for text in (table.head, *columns)]
    return latex_float(heads, lines, caption, table.name, is_wide=len(columns) > _WIDE)


def latex_float(heads: Sequence[str], lines: Sequence[str], caption: str, name: str, *, is_wide: bool = False) -> str:
    """A ``table`` environment around rows of LaTeX; a wide one is scaled to the text's width."""
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\small",
            rf"\caption{{{caption}}}",
            rf"\label{{tab:{name}}}",
            *[r"\resizebox{\textwidth}{!}{%"] * is_wide,
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            " & ".join(heads) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}" + "}" * is_wide,
            r"\end{table}",
            "",
        ]
    )


def latex_text(text: str) -> str:
    r"""Text as LaTeX that prints it.

    >>> print(latex_text("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(char, char) for char in text if char >= " " or char == "\n")


def _latex_cell(value: Value) -> str:
    text, bounds = _split(value)
    return latex_text(text) + (rf" {{\scriptsize [{latex_text(bounds)}]}}" if bounds else "")


def to_html(table: Table) -> str:
    """A ``<table>`` in a box that scrolls; everything in it is escaped."""
    columns, body, group = table.columns, "", ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            body += f'<tr><th scope="rowgroup" class="band" colspan="{len(columns) + 1}">{escape(group)}</th></tr>\n'
        cells = f'<td colspan="{len(columns)}" style="text-align: left">{escape(row.note)}</td>' if row.note else ""
        for column in [] if row.note else columns:
            value, bounds = map(escape, _split(row.values.get(column)))
            cells += f"<td>{value}" + (f"<small>[{bounds}]</small>" if bounds else "") + "</td>"
        body += f'<tr><th scope="row">{escape(row.label)}</th>{cells}</tr>\n'
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in (table.head, *columns))
    return (
        f'<div class="card scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">\n'
        f"<table><caption>{escape(table.caption)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{body}</tbody></table></div>"
    )


def to_rich(table: Table) -> Any:
    """A ``rich.table.Table`` for the terminal, intervals on a dim second line."""
    text, rich_table = require("rich.text").Text, require("rich.table").Table
    out = rich_table(title=table.title, caption=table.caption, box=require("rich.box").SIMPLE_HEAD, show_edge=False)
    out.title_justify = out.caption_justify = "left"
    out.padding, out.collapse_padding, out.pad_edge = 0, True, False  # the box has one blank between columns
    out.add_column(table.head, style="bold", no_wrap=True)
    short = _SHORT | (_SHORTER if len(table.columns) > _NARROW else {})
    for column in table.columns:
        out.add_column(_shortened(column, short), justify="right", overflow="fold")
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            out.add_section()
            out.add_row(text(group, "bold italic"))
        cells = []
        for column in table.columns:
            value, bounds = _split(row.values.get(column))
            dim = ("\n" + bounds.replace("1.00", "1"), "dim") if bounds else ""
            cells.append(text.assemble("" if row.note else value.replace("never up to ", ">"), dim))
        out.add_row(text(row.label), *cells)
    return out


def _shortened(column: str, words: Mapping[str, str]) -> str:
    """A heading for a narrow column of a terminal."""
    for long, short in words.items():
        column = column.replace(long, short)
    return column
