"""Matrices as images: two factors with their products, and the heads of an attention layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.style import INK, MUTED, styled
from crossnorm.report.formatting import number
from crossnorm.report.gallery.matrix_products import PRODUCTS, products

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["HeadValues", "heads_figure", "products_figure"]

Floats = NDArray[np.float64]

_GRAY, _BRIGHT, _DIVERGING = "gray", "magma", "RdBu_r"


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadValues:
    """One attention head on one input.

    Args:
        weights: Attention A (queries, tokens).
        value: V (tokens, channels).
        mixed: S(V) (tokens, channels).
        plain: A·V (queries, channels).
        crossed: A·S(V) (queries, channels).
    """

    weights: Floats
    value: Floats
    mixed: Floats
    plain: Floats
    crossed: Floats


def products_figure(left: Floats, right: Floats, *, temperature: float) -> Figure:
    """The two factors and their four products, each on a color scale from its minimum to its maximum."""
    from matplotlib.figure import Figure

    with styled(9):
        figure = Figure(figsize=(9.6, 6.75), facecolor="white")
        cells = figure.subplots(2, 3)
        figure.subplots_adjust(left=0.02, right=0.98, top=0.93, bottom=0.06, wspace=0.06, hspace=0.24)
        for axes, picture, title in (
            (cells[0, 0], left, "A, the left factor"),
            (cells[1, 0], right, "B, the right factor"),
        ):
            _picture(axes, picture, title, "", _GRAY, (0.0, 1.0))
        found = products(left, right, temperature)
        for axes, (name, product) in zip(cells[:, 1:].flat, PRODUCTS.items(), strict=True):
            picture = found[name]
            reach = float(np.abs(picture).max()) or 1.0
            limits = (-reach, reach) if product.signed else (float(picture.min()), float(picture.max()))
            formula = product.formula.replace("τ ", f"{temperature:g} ")
            span = f"{formula}     {number(picture.min())} to {number(picture.max())}"
            _picture(axes, picture, product.title, span, _DIVERGING if product.signed else _BRIGHT, limits)
    return figure


def _picture(axes: Axes, picture: Floats, title: str, under: str, colors: str, limits: tuple[float, float]) -> None:
    low, high = limits
    axes.imshow(picture, cmap=colors, vmin=low, vmax=high if high > low else low + 1, interpolation="nearest")
    axes.set_title(title, pad=4)
    axes.set_xlabel(under, labelpad=4)
    _bare(axes)


def heads_figure(heads: Sequence[HeadValues], shown: Floats | None) -> Figure:
    """One row per head: A, V, S(V), A·V and A·S(V), with the input in the first row if it is an image.

    Each matrix has its own color scale: symmetric about 0 for V and A·V, from 0 for the others.
    """
    from matplotlib.figure import Figure

    columns = ("A, attention", "V", "S(V)", "A·V, plain", "A·S(V), crossed")
    with styled(9):
        figure = Figure(figsize=(9.6, 0.75 + 1.75 * len(heads)), facecolor="white")
        wide = [1.0, *[0.8] * 4]
        given = 0 if shown is None else 1
        grid = figure.add_gridspec(
            len(heads), 5 + given, width_ratios=[0.8] * given + wide, left=0.045, right=0.985, wspace=0.22,
            hspace=0.32, top=1 - 0.42 / figure.get_figheight(), bottom=0.3 / figure.get_figheight(),
        )  # fmt: skip
        if shown is not None:
            axes = figure.add_subplot(grid[0, 0])
            axes.imshow(shown, cmap=_GRAY, interpolation="nearest")
            axes.set_title("input")
            _bare(axes)
        for row, head in enumerate(heads):
            parts = (head.weights, head.value, head.mixed, head.plain, head.crossed)
            for column, (matrix, title) in enumerate(zip(parts, columns, strict=True)):
                axes = figure.add_subplot(grid[row, column + given])
                _matrix(axes, matrix, about_zero=column in (1, 3))
                if row == 0:
                    axes.set_title(title)
                if column == 0:
                    axes.set_ylabel(f"head {row}", color=INK)
    return figure


def _matrix(axes: Axes, matrix: Floats, *, about_zero: bool) -> None:
    reach = float(np.abs(matrix).max()) or 1.0
    limits = (-reach, reach) if about_zero else (0.0, float(matrix.max()) or 1.0)
    axes.imshow(
        matrix, cmap=_DIVERGING if about_zero else _BRIGHT, vmin=limits[0], vmax=limits[1], aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    axes.set_xlabel(f"{number(matrix.min())} to {number(matrix.max())}", fontsize=7, color=MUTED, labelpad=2)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
