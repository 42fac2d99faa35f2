"""Figures, the one-file page and the terminal's summary of a study; sees estimates and stored curves only.

Knows nothing of training, models or a study's folder: everything is a function of a `Table`, a `Verdict` and facts.
"""

from __future__ import annotations

from crossnorm.report.confusion import confusion_figure
from crossnorm.report.curves import curves_figure
from crossnorm.report.notebook import result_html
from crossnorm.report.page import write_report
from crossnorm.report.style import FigureStyle, save
from crossnorm.report.terminal import answer_panel, arms_table
from crossnorm.report.trend import trend_figure

__all__ = [
    "FigureStyle",
    "answer_panel",
    "arms_table",
    "confusion_figure",
    "curves_figure",
    "result_html",
    "save",
    "trend_figure",
    "write_report",
]
