"""The learned-α figure: α of every site during training."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.arm_groups import horizontal
from crossnorm.report.figures.grid_layout import Layout, blank
from crossnorm.report.figures.line_labels import end_labels, label_width, shortened
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
    """The arms with a learned α: position → columns of its sites, in the order of the model."""
    columns = sorted((name for name in table.metrics if name.startswith(_SITES)), key=_order)
    learned = {
        arm: [name for name in columns if np.isfinite(table.metrics[name][arm]).any()] for arm in range(len(table.arms))
    }
    return {arm: names for arm, names in learned.items() if names}


def _order(column: str) -> tuple[bool, int]:
    number = column.removeprefix(_SITES[0])
    return (not number.isdigit(), int(number) if number.isdigit() else 0)


def learned_figure(table: Table, verdict: Verdict, *, size: str | float = "page", text_size: float = 8.0) -> Figure:
    """α of every site during training, one column of axes for each of the first three arms that learn it.

    Thin lines are individual runs and thick lines their means. If each head has its own α, a site shows the mean over
    heads.

    Args:
        table: The runs; at least one arm has a learned α.
        verdict: Gives the name of the study.
        size: ``"page"`` (7.0 inches wide), ``"column"`` (3.4 inches), or the width in inches.
        text_size: Text size in points.

    Returns:
        A matplotlib figure, not registered with pyplot.

    Raises:
        BadInput: The size is unknown.
    """
    from matplotlib.ticker import MaxNLocator

    arms = dict(list(learned_arms(table).items())[:_MOST])
    layout = Layout(
        size=size,
        columns=len(arms),
        heights=(2.1,),
        gaps=(0.34,),
        labels=label_width(_label(name) for names in arms.values() for name in names),
        ticks=0.45,
    )
    note = (
        "α as learned by the network, from 0. Thin lines: individual runs. Thick lines: mean of each arm's runs. Sites "
        "with one α per head show the mean over heads."
    )
    with styled(text_size):
        title = "Learned α"
        figure, cells = blank(layout, title=title, study=verdict.study, footnote=note, text_size=text_size)
        for axes, (arm, names) in zip(cells.flat, arms.items(), strict=True):
            axes.set_title(shortened(table.arms[arm].name))
            axes.set_xlabel(axis_name(horizontal(table)[0]))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            _draw(axes, table, arm, names, text_size)
        cells.flat[0].set_ylabel(axis_name("alpha"))
    return figure


def _draw(axes: Axes, table: Table, arm: int, names: list[str], text_size: float) -> None:
    x = horizontal(table)[1]
    ends, colors = [], []
    for order, name in enumerate(names):
        runs, color = table.metrics[name][arm], depth_color(order / max(1, len(names) - 1))
        axes.plot(x, runs.T, color=color, linewidth=0.5, alpha=0.3)
        mean = _mean(runs)
        axes.plot(x, mean, color=color, linewidth=1.7, gid=name)
        last = np.flatnonzero(np.isfinite(mean))[-1]
        ends.append((float(x[last]), float(mean[last])))
        colors.append(readable(color))
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(*_limits(np.stack([table.metrics[name][arm] for name in names])))
    end_labels(axes, ends, [_label(name) for name in names], colors, size=text_size - 1)


def _mean(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # mean of no runs
        return np.asarray(np.nanmean(runs, axis=0))


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = min(0.0, float(np.nanmin(values))), max(0.0, float(np.nanmax(values)))
    pad = 0.06 * (high - low) or 0.05
    return low - pad, high + pad


def _label(column: str) -> str:
    """``alpha_attention0`` as ``attention 0``."""
    site = column.removeprefix("alpha_")
    return site if not site[-1].isdigit() else f"attention {site.removeprefix('attention')}"
