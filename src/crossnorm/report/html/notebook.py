"""Notebook display of studies and results: self-contained HTML fragments."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from crossnorm.report.figures.alpha_trend import trend_figure
from crossnorm.report.figures.learning_curves import curves_figure
from crossnorm.report.figures.style import styled
from crossnorm.report.formatting import endpoint_name, interval_note
from crossnorm.report.html.report_page import environment
from crossnorm.stats import Table, Verdict

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.figure import Figure

__all__ = ["result_html", "study_html"]


def result_html(table: Table, verdict: Verdict, notes: Sequence[str] = ()) -> str:
    """The answer with its notes, a table of the arms, the trend and the learning curves."""
    figures = [
        (f"Trend over {verdict.dose_name}", trend_figure(table, verdict)),
        ("Learning curves", curves_figure(table, verdict)),
    ]
    return _template("notebook_result.html").render(
        verdict=verdict,
        note=interval_note(verdict),
        endpoint=endpoint_name(verdict),
        caveats=notes,
        figures=[(title, _inline(figure)) for title, figure in figures],
    )


def study_html(name: str, summary: str, arms: Iterable[tuple[str, str | None, float | None, str | None]]) -> str:
    """The study's name and a table of its arms: name, variant, dose, control."""
    return _template("notebook_study.html").render(name=name, summary=summary, arms=list(arms))


def _template(name: str) -> Template:
    return environment().get_template(name)


def _inline(figure: Figure) -> str:
    target = io.BytesIO()
    with styled():
        figure.savefig(target, format="png", dpi=144, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()
