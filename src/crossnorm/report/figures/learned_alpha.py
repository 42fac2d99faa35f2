"""What a network chose for itself: the learned α of every site while training.

Knows stored columns and looks; computes no statistics beyond means and knows nothing of files or pages.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.arm_groups import horizontal
from crossnorm.report.figures.grid_layout import Layout, blank
from crossnorm.report.figures.line_labels import end_labels, room, shortened
from crossnorm.report.figures.style import depth_color, readable, styled
from crossnorm.report.formatting import axis_name
from crossnorm.stats import Table, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learned_arms", "learned_figure"]

_SITES = ("alpha_attention", "alpha_pool")
_MOST = 3  # arms side by side


def learned_arms(table: Table) -> dict[int, list[str]]:
    """Position of every arm whose α was learned → the columns of its sites, in the order of the model."""
    columns = sorted((name for name in table.metrics if name.startswith(_SITES)), key=_order)
    there = {
        place: [name for name in columns if np.isfinite(table.metrics[name][place]).any()]
        for place in range(len(table.arms))
    }
    return {place: names for place, names in there.items() if names}


def _order(column: str) -> tuple[bool, int]:
    number = column.removeprefix(_SITES[0])
    return (not number.isdigit(), int(number) if number.isdigit() else 0)


def learned_figure(table: Table, verdict: Verdict, *, size: str | float = "page", text_size: float = 8.0) -> Figure:
    """α at every site against training, one column of axes per arm that learned it (the first three of them).

    Thin lines are single runs, thick ones means over them; where each head has an α, a site shows their mean.

    Args:
        table: The runs; at least one arm learned its α.
        verdict: Names the study.
        size: ``"page"`` (7.0 in wide) or ``"column"`` (3.4 in).
        text_size: Text size in points.

    Returns:
        A figure that belongs to the caller; nothing global is touched.

    Raises:
        BadInput: No such size.
    """
    arms = dict(list(learned_arms(table).items())[:_MOST])
    layout = Layout(
        size=size,
        columns=len(arms),
        heights=(2.1,),
        gaps=(0.34,),
        labels=room(_label(name) for names in arms.values() for name in names),
        ticks=0.45,
    )
    note = (
        "What the network chose. Thin: single runs. Thick: mean of an arm's runs. α starts at 0; where each head has "
        "its own, a site shows their mean."
    )
    with styled(text_size):
        title = "Learned α"
        figure, cells = blank(layout, title=title, study=verdict.study, footnote=note, text_size=text_size)
        for axes, (place, names) in zip(cells.flat, arms.items(), strict=True):
            axes.set_title(shortened(table.arms[place].name))
            axes.set_xlabel(axis_name(horizontal(table)[0]))
            _draw(axes, table, place, names, text_size)
        cells.flat[0].set_ylabel("α in force")
    return figure


def _draw(axes: Axes, table: Table, place: int, names: list[str], text_size: float) -> None:
    x = horizontal(table)[1]
    ends, colors = [], []
    for order, name in enumerate(names):
        runs, color = table.metrics[name][place], depth_color(order / max(1, len(names) - 1))
        axes.plot(x, runs.T, color=color, linewidth=0.5, alpha=0.3)
        mean = _mean(runs)
        axes.plot(x, mean, color=color, linewidth=1.7, gid=name)
        last = np.flatnonzero(np.isfinite(mean))[-1]
        ends.append((float(x[last]), float(mean[last])))
        colors.append(readable(color))
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(*_limits(np.stack([table.metrics[name][place] for name in names])))
    end_labels(axes, ends, [_label(name) for name in names], colors, size=text_size - 1)


def _mean(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an evaluation that no run has reached
        return np.asarray(np.nanmean(runs, axis=0))


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values)))
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _label(column: str) -> str:
    """``alpha_attention0`` as ``attention 0``."""
    site = column.removeprefix("alpha_")
    return site if not site[-1].isdigit() else f"attention {site.removeprefix('attention')}"
