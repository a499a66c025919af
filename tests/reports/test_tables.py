"""A table in each of its formats."""

from __future__ import annotations

import csv
import io
import re

from rich.console import Console

from unsharpen.metrics import Interval, SamplingEfficiency
from unsharpen.reports import Table, TableRow, to_csv, to_html, to_latex, to_markdown, to_rich

TABLE = Table(
    "t",
    "A_b",
    "50 %",
    [
        TableRow("base", {"Pass@1": Interval(0.5, 0.4, 0.6), "s": None}, "1 solution"),
        TableRow("ds_x", {"Pass@1": Interval(-0.25, -0.3, -0.2), "s": 0.664}, "2 & more"),
        TableRow("bad", {}, "2 & more", note="failed: a|b"),
    ],
)


def test_markdown() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[4:] == [
        "| group | method | Pass@1 | s |",
        "|:--|:--|--:|--:|",
        "| 1 solution | base | .500 [.40, .60] | — |",
        "| 2 & more | ds_x | -.250 [-.30, -.20] | .66 |",
        "| 2 & more | bad | failed: a\\|b |  |",
    ]


def test_csv_is_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert rows[1] == {
        "group": "2 & more",
        "method": "ds_x",
        "Pass@1": "-0.25",
        "Pass@1 low": "-0.3",
        "Pass@1 high": "-0.2",
        "s": "0.664",
        "note": "",
    }
    assert (rows[0]["s"], rows[2]["note"]) == ("", "failed: a|b")


def test_latex_is_escaped_and_balanced() -> None:
    text = to_latex(TABLE)
    assert r"ds\_x & -.250 {\scriptsize [-.30, -.20]} & .66 \\" in text
    assert r"\multicolumn{3}{l}{\emph{2 \& more}} \\" in text
    assert r"bad & \multicolumn{2}{p{.6\textwidth}}{failed: a\textbar{}b} \\" in text
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert text.count("{") == text.count("}")
    wide = to_latex(Table("w", "W", "", [TableRow("x", {f"c{i}": 1.0 for i in range(7)})]))
    assert wide.index(r"\resizebox{\textwidth}{!}{%") < wide.index(r"\begin{tabular}")
    assert wide.count("{") == wide.count("}")
    for line in text.splitlines():
        if line.endswith(r"\\") and "multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == 2


def test_a_long_table_of_groups_is_one_float_for_each_in_latex() -> None:
    rows = [TableRow(f"m{i}", {"x": 1.0}, group) for group in ("few", "many") for i in range(21)]
    text = to_latex(Table("bands", "Bands", "", rows))
    assert re.findall(r"\\label\{(.*)\}", text) == ["tab:bands-1", "tab:bands-2"]
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    assert text.index(r"\emph{few}") < text.index("tab:bands-2") < text.index(r"\emph{many}")


def test_labels_print_what_they_are() -> None:
    hostile = "100% a_b [red]x \\ {y} #1 $2 ~^&<|>"
    table = Table("t", "T", "", [TableRow(hostile, {"Pass@1": Interval(0.5, 0.4, 0.6), "k": None}, "few: 1–2")])
    latex = to_latex(table).splitlines()
    assert latex[8] == r"\multicolumn{3}{l}{\emph{few: 1--2}} \\"
    assert latex[9] == (
        r"100\% a\_b {[}red]x \textbackslash{} \{y\} \#1 \$2 \textasciitilde{}\textasciicircum{}\&\textless{}"
        r"\textbar{}\textgreater{} & .500 {\scriptsize [.40, .60]} & --- \\"
    )
    assert (
        "100% a_b [red]x \\ {y} #1 $2 ~^&amp;&lt;|&gt;</th><td>.500<small>[.40, .60]</small></td><td>—</td>"
        in to_html(table)
    )
    assert "&<\\|> | .500" in to_markdown(table)
    console = Console(width=80, file=(out := io.StringIO()))
    console.print(to_rich(table))
    assert hostile in out.getvalue()


def test_every_kind_of_value_in_csv() -> None:
    efficiency = SamplingEfficiency(k=16, target=0.6, needed=4.0, low=3.2, high=None, max_k=64)
    rows = list(csv.reader(io.StringIO(to_csv(Table("t", "T", "", [TableRow("m", {"n": efficiency, "s": "2"})])))))
    assert rows == [["group", "method", "n", "n low", "n high", "s", "note"], ["", "m", "4.0", "3.2", "", "2", ""]]
