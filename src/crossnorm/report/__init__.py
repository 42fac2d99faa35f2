"""Figures, the one-file page and the terminal's summary of a study; sees estimates and stored curves only.

Knows nothing of training, models or a study's folder: everything is a function of a `Table`, a `Verdict` and facts.
"""

from __future__ import annotations

from crossnorm.report.confusion import confusion_figure
from crossnorm.report.curves import curves_figure
from crossnorm.report.page import write_report
from crossnorm.report.style import save
from crossnorm.report.terminal import answer_panel, arms_table
from crossnorm.report.trend import trend_figure

__all__ = [
    "answer_panel",
    "arms_table",
    "confusion_figure",
    "curves_figure",
    "save",
    "trend_figure",
    "write_report",
]
