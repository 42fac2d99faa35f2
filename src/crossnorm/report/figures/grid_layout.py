"""Layout of a figure in inches: heading, rows of axes, space for labels, footnote."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.errors import BadInput
from crossnorm.report.figures.style import MUTED, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Layout", "blank", "columns_that_fit"]

_EDGE = 0.1  # outer margin
_LEFT = 0.62  # left of the first column: axis label and tick labels
_NARROWEST = 0.7  # least width of axes
_MOST_LABELS = 0.5  # largest share of the width for the labels beside one column
_TICKS = 0.55  # under the last row: tick labels and axis label


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A grid of axes under a heading and above a footnote; lengths in inches at 8 points of text.

    Args:
        size: ``"page"``, ``"column"`` or inches.
        columns: Axes side by side.
        heights: Height of each row of axes.
        gaps: Space above each row, for titles and the tick labels of the row above.
        labels: Space right of each column, for the labels of lines.
        ticks: Space left of each column but the first, for its tick labels.
    """

    size: str | float
    columns: int
    heights: Sequence[float]
    gaps: Sequence[float]
    labels: float
    ticks: float = 0.1


def columns_that_fit(size: str | float, wanted: int, *, labels: float, ticks: float = 0.1, text_size: float) -> int:
    """The largest number of columns, 1 to `wanted`, whose axes and labels fit the width."""
    width, scale = width_of(size), text_size / 8
    fit = (width - scale * (_LEFT - ticks)) / (scale * (min(labels, _MOST_LABELS * width) + ticks) + _NARROWEST)
    return max(1, min(wanted, int(fit)))


def blank(
    layout: Layout, *, title: str, study: str, footnote: str, text_size: float
) -> tuple[Figure, NDArray[np.object_]]:
    """A figure with heading, footnote and empty axes (rows, columns); its height follows from its content.

    Raises:
        BadInput: The size is unknown or too narrow for the labels.
    """
    from matplotlib.figure import Figure

    width, scale = width_of(layout.size), text_size / 8
    small = text_size - 1.5
    note = textwrap.wrap(footnote.replace(" %", "\u00a0%"), int((width - 2 * _EDGE) * 72 / (0.56 * small)))
    foot = (1.3 * small * len(note)) / 72 + 0.1 + scale * _TICKS
    one_line = (len(title) * 1.3 + len(study)) * 0.62 * text_size / 72 < width - 4 * _EDGE
    head = (1 if one_line else 2) * 1.6 * text_size / 72 + _EDGE
    figure = Figure(figsize=(width, head + scale * sum(layout.gaps) + sum(layout.heights) + foot))
    _write(figure, _EDGE, _EDGE, title[:1].upper() + title[1:], weight="bold", size=text_size + 1.5)
    if one_line:
        _write(figure, width - _EDGE, _EDGE, study, ha="right", color=MUTED)
    else:
        _write(figure, _EDGE, _EDGE + 1.7 * text_size / 72, textwrap.shorten(study, 60), color=MUTED)
    below = figure.get_size_inches()[1] - 0.07
    _write(figure, _EDGE, below, "\n".join(note), va="bottom", color=MUTED, size=small, linespacing=1.25)
    return figure, _axes(figure, layout, scale, head)


def _write(figure: Figure, left: float, top: float, text: str, **style: Any) -> None:
    """Write text at a position in inches from the top left."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, **{"va": "top", "ha": "left", **style})


def _axes(figure: Figure, layout: Layout, scale: float, head: float) -> NDArray[np.object_]:
    width, height = figure.get_size_inches()
    pitch = (width - scale * _LEFT + scale * layout.ticks) / layout.columns
    inner = pitch - scale * (min(layout.labels, _MOST_LABELS * width) + layout.ticks)
    if inner < _NARROWEST:
        hint = "Increase the width or reduce the text size."
        raise BadInput.because("width", f"{width:g} inches is too narrow for the axes and the names of the arms", hint)
    cells = np.empty((len(layout.heights), layout.columns), dtype=object)
    top = head
    for row, (gap, tall) in enumerate(zip(layout.gaps, layout.heights, strict=True)):
        top += scale * gap
        for column in range(layout.columns):
            left = scale * _LEFT + column * pitch
            box = (left / width, 1 - (top + tall) / height, inner / width, tall / height)
            cells[row, column] = figure.add_axes(box)
        top += tall
    return cells
