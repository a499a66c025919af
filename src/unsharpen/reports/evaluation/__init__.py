"""The report on evaluations: one page about one model or several, its figures, and a table for a paper."""

from unsharpen.reports.evaluation.compare import Verdict, evaluation_rows, verdicts
from unsharpen.reports.evaluation.figures import curves_figure, heat_figure
from unsharpen.reports.evaluation.model import Model, models_of
from unsharpen.reports.evaluation.page import evaluation_page, write_evaluation_report

__all__ = [
    "Model",
    "Verdict",
    "curves_figure",
    "evaluation_page",
    "evaluation_rows",
    "heat_figure",
    "models_of",
    "verdicts",
    "write_evaluation_report",
]
