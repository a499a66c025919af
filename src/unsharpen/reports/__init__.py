"""Reports from run folders: tables, figures, and one HTML page. Reads result files, runs no model.

Light to import: matplotlib and rich are loaded when a figure or a terminal table is made.
"""

from unsharpen.reports.html import write_report
from unsharpen.reports.plots import dynamics_figure, pass_at_k_figure, save
from unsharpen.reports.runs import Evaluation, Run, load_run
from unsharpen.reports.summary import band_table, summary_table
from unsharpen.reports.tables import Table, TableRow, to_csv, to_html, to_latex, to_markdown, to_rich
from unsharpen.reports.verdict import Verdict, comparisons, verdicts

__all__ = [
    "Evaluation",
    "Run",
    "Table",
    "TableRow",
    "Verdict",
    "band_table",
    "comparisons",
    "dynamics_figure",
    "load_run",
    "pass_at_k_figure",
    "save",
    "summary_table",
    "to_csv",
    "to_html",
    "to_latex",
    "to_markdown",
    "to_rich",
    "verdicts",
    "write_report",
]
