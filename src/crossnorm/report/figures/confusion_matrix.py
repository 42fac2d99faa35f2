"""The confusion picture: true classes against guessed ones, as shares of each true class.

Knows counts and names; knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from crossnorm.report.figures.style import styled, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion_figure"]

_WRITTEN = 20  # up to so many classes every cell holds its number
_NAMED = 40  # up to so many classes every row and column has its name


def confusion_figure(counts: Sequence[Sequence[int]], classes: Sequence[str], *, size: str = "page") -> Figure:
    """A confusion matrix, row by row in per cent of the true class.

    Args:
        counts: (classes, classes); row: true, column: guessed.
        classes: Names by index.
        size: ``"column"`` or ``"page"``: the width of the figure.

    Raises:
        BadInput: An unknown size.
    """
    from matplotlib.figure import Figure

    table = np.asarray(counts, dtype=float)
    share = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
    with styled():
        figure = Figure(figsize=(width_of(size), 0.84 * width_of(size)), layout="constrained")  # the bar takes the rest
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        axes.set(xlabel="guessed class", ylabel="true class")
        axes.grid(visible=False)
        if len(classes) <= _NAMED:
            names = [name if len(name) <= 18 else name[:17] + "…" for name in classes]
            turned = max(map(len, names)) > 2
            axes.set_xticks(range(len(names)), names, rotation=60 if turned else 0, ha="right" if turned else "center")
            axes.set_yticks(range(len(names)), names)
        if len(classes) <= _WRITTEN:
            _write(axes, share)
        figure.colorbar(image, ax=axes, shrink=0.7, label="% of the true class")
    return figure


def _write(axes: object, share: np.ndarray) -> None:
    size = 8 if len(share) <= 12 else 6
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            colour = "white" if value > 55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=size)  # type: ignore[attr-defined]
