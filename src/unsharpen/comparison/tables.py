"""A table once, written as Markdown, CSV, LaTeX or for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unsharpen.metrics import Crossover, Interval
from unsharpen.metrics.bootstrap import format_number
from unsharpen.reports.extras import require

Value = Interval | Crossover | float | str | None
_WIDE = 6  # columns with intervals that a page takes in small type; more are scaled down
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_LATEX |= {char: f"\\{char}" for char in "&%$#_{}"}
_LATEX |= {
    "—": "--",
    "–": "--",
    "−": "$-$",
    "·": r"$\cdot$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\to$",
    "<": r"$<$",
    ">": r"$>$",
}


@dataclass(frozen=True)
class TableRow:
    """One row: its label, its values by column heading, and where it stands.

    ``group`` opens a band of rows. ``note`` takes the place of the values of a row that has none.
    """

    label: str
    values: Mapping[str, Value]
    group: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows with the same columns; ``name`` is that of its files, ``caption`` says what the numbers are."""

    name: str
    title: str
    caption: str
    rows: Sequence[TableRow]

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


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table under its title.

    >>> print(
    ...     to_markdown(Table("t", "All", "Means.", [TableRow("grpo", {"Pass@1": 0.5}), TableRow("x", {}, note="-")]))
    ... )
    ### All
    <BLANKLINE>
    Means.
    <BLANKLINE>
    | method | Pass@1 |
    |:--|--:|
    | grpo | .50 |
    | x | - |
    """
    columns, lines = table.columns, []
    for row in table.rows:
        values = [row.note, *[""] * (len(columns) - 1)] if row.note else [cell(row.values.get(c)) for c in columns]
        lines.append([*([row.group] if table.is_grouped else []), row.label, *values])
    head = [*(["solutions"] if table.is_grouped else []), "method", *columns]
    escaped = [[text.replace("|", "\\|").replace("\n", " ") for text in line] for line in [head, *lines]]
    first, *body = [f"| {' | '.join(line)} |" for line in escaped]
    rule = "|:--" * (2 if table.is_grouped else 1) + "|" + "--:|" * len(columns)
    return "\n".join([f"### {table.title}", "", table.caption, "", first, rule, *body])


def to_csv(table: Table) -> str:
    """Full precision; after a column with intervals come its ``low`` and ``high``; empty is undefined, or never."""
    wide = {c for row in table.rows for c, v in row.values.items() if isinstance(v, Interval | Crossover)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{c}{end}" for c in table.columns for end in (("", " low", " high") if c in wide else ("",))]
    writer.writerow(["group", "method", *heads, "note"])
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
        case _:
            return [value, None, None] if wide else [value]


def to_latex(table: Table) -> str:
    """A ``table`` environment for the packages booktabs and graphicx; intervals in small type."""
    columns = table.columns
    is_wide = len(columns) > _WIDE
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{latex_text(table.title + '. ' + table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        *([r"\resizebox{\textwidth}{!}{%"] if is_wide else []),
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["method", *map(latex_text, columns)]) + r" \\",
    ]
    group = None
    for row in table.rows:
        if row.group != group or group is None:
            lines.append(r"\midrule")
            if row.group:
                lines.append(rf"\multicolumn{{{len(columns) + 1}}}{{l}}{{{latex_text(row.group)}}} \\")
            group = row.group
        if row.note:
            cells = [rf"\multicolumn{{{len(columns)}}}{{p{{.6\textwidth}}}}{{{latex_text(row.note)}}}"]
        else:
            cells = [_latex_cell(row.values.get(column)) for column in columns]
        lines.append(" & ".join([latex_text(row.label), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}" + "}" * is_wide, r"\end{table}", ""])


def latex_text(text: str) -> str:
    r"""Text with LaTeX's own characters escaped.

    >>> print(latex_text("50 % of a_b"))
    50 \% of a\_b
    """
    return "".join(_LATEX.get(char, char) for char in text)


def _latex_cell(value: Value) -> str:
    number, bracket, bounds = cell(value).partition(" [")
    return latex_text(number) + (rf" {{\scriptsize [{latex_text(bounds)}}}" if bracket else "")


def to_rich(table: Table) -> Any:
    """A ``rich.table.Table`` for the terminal, intervals on a dim second line."""
    text, rich_table = require("rich.text").Text, require("rich.table").Table
    out = rich_table(title=table.title, caption=table.caption, box=require("rich.box").SIMPLE_HEAD, show_edge=False)
    out.title_justify = out.caption_justify = "left"
    out.padding, out.collapse_padding, out.pad_edge = 0, True, False
    out.add_column("method", style="bold", no_wrap=True)
    for column in table.columns:
        out.add_column(_shortened(column), justify="right", overflow="fold")
    group = ""
    for row in table.rows:
        if row.group != group:
            group = row.group
            out.add_section()
            out.add_row(text(group, "bold italic"))
        cells = []
        for column in table.columns:
            value, _, bounds = cell(row.values.get(column)).partition(" [")
            dim = ("\n" + bounds.rstrip("]").replace("1.00", "1").replace(", ", "–"), "dim") if bounds else ""
            cells.append(text.assemble("" if row.note else value, dim))
        out.add_row(text(row.label), *cells)
    return out


def _shortened(column: str) -> str:
    """A heading for a narrow column of a terminal."""
    if column.startswith("Pass@"):
        return column.removeprefix("Pass").replace(" − ", "\n− ")
    return column.replace("samples for ", "for ").replace(" Pass@", "\n@").replace(" catches up at k", "\nat k")
