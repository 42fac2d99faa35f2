"""The confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from crossnorm.report.figures.style import styled, width_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["confusion_figure"]

_MOST_NUMBERED = 20  # classes, for numbers in the cells
_MOST_NAMED = 40  # classes, for names at rows and columns


def confusion_figure(counts: Sequence[Sequence[int]], classes: Sequence[str], *, size: str | float = "page") -> Figure:
    """A confusion matrix in percent of each true class.

    Args:
        counts: (classes, classes); rows: true, columns: predicted.
        classes: Names by index.
        size: ``"page"`` (7.0 inches wide), ``"column"`` (3.4 inches), or the width in inches.

    Raises:
        BadInput: The size is unknown.
    """
    from matplotlib.figure import Figure

    table = np.asarray(counts, dtype=float)
    share = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
    with styled():
        figure = Figure(
            figsize=(width_of(size), 0.84 * width_of(size)), layout="constrained"
        )  # the color bar takes the rest
        axes = figure.add_subplot()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.grid(visible=False)
        if len(classes) <= _MOST_NAMED:
            names = [name if len(name) <= 18 else name[:17] + "…" for name in classes]
            turned = max(map(len, names)) > 2
            axes.set_xticks(range(len(names)), names, rotation=60 if turned else 0, ha="right" if turned else "center")
            axes.set_yticks(range(len(names)), names)
        if len(classes) <= _MOST_NUMBERED:
            _write(axes, share)
        figure.colorbar(image, ax=axes, shrink=0.7, label="% of true class")
    return figure


def _write(axes: object, share: np.ndarray) -> None:
    size = 8 if len(share) <= 12 else 6
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.5:
            color = "white" if value > 55 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color, fontsize=size)  # type: ignore[attr-defined]
