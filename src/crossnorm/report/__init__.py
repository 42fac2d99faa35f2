"""Figures, the HTML page, and terminal and notebook summaries of a study, made from its table and verdict."""

from __future__ import annotations

from crossnorm.report.figures.alpha_trend import trend_figure
from crossnorm.report.figures.confusion_matrix import confusion_figure
from crossnorm.report.figures.learning_curves import curves_figure
from crossnorm.report.figures.style import FigureStyle, save
from crossnorm.report.html.notebook import result_html
from crossnorm.report.html.report_page import write_report
from crossnorm.report.terminal.verdict_summary import answer_panel, arms_table
from crossnorm.report.tex_tables import tex_table

__all__ = [
    "FigureStyle",
    "answer_panel",
    "arms_table",
    "confusion_figure",
    "curves_figure",
    "result_html",
    "save",
    "tex_table",
    "trend_figure",
    "write_report",
]
