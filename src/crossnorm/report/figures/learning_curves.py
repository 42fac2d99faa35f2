"""The learning-curve figure: thin lines for runs, thick lines for means, bands, and labels at the ends of lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.errors import BadInput
from crossnorm.report.figures.arm_groups import Panel, declared, drawable, horizontal, panels, ramped
from crossnorm.report.figures.grid_layout import Layout, blank, columns_that_fit
from crossnorm.report.figures.line_labels import arm_labels, end_labels, label_width, mark_sides
from crossnorm.report.figures.style import INK, ArmStyle, arm_styles, readable, styled, width_of
from crossnorm.report.formatting import axis_name, metric_name
from crossnorm.stats import ArmBand, Table, Verdict, bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves_figure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Row:
    """The content of one row of axes: the metric, or its difference from the baseline.

    Args:
        table: The runs.
        x: Horizontal positions (arms, steps).
        runs: Values of individual runs (arms, seeds, steps).
        bands: Mean and band by arm.
        styles: Style by arm.
        axis: Name of the horizontal axis.
        difference: Whether values are differences from the baseline.
    """

    table: Table
    x: Floats
    runs: Floats
    bands: dict[str, ArmBand]
    styles: dict[str, ArmStyle]
    axis: str
    difference: bool

    def at(self, arm: int, steps: Sequence[int]) -> Floats:
        """Horizontal positions of an arm at the given steps."""
        index = {step: k for k, step in enumerate(self.table.steps)}
        x: Floats = self.x[arm]
        return x[[index[step] for step in steps]]

    def limits(self) -> tuple[float, float]:
        """Vertical limits: all complete runs, and bands as far as half the runs' range beyond them."""
        complete = self.runs[self.table.status == "complete"]
        values = complete[np.isfinite(complete)]
        if not values.size:
            return -1.0, 1.0
        low, high = float(values.min()), float(values.max())
        reach = (high - low) / 2
        edges = [edge for band in self.bands.values() for edge in (*band.low, *band.high) if np.isfinite(edge)]
        low = min(low, max(low - reach, min(edges, default=low)))
        high = max(high, min(high + reach, max(edges, default=high)))
        if self.difference:
            low, high = min(low, 0.0), max(high, 0.0)
        pad = (0.17 if self.difference else 0.04) * (high - low) or 0.1 * abs(high) or 1.0
        return low - pad, high + pad


def curves_figure(
    table: Table,
    verdict: Verdict,
    metric: str | None = None,
    *,
    over_alpha: bool = False,
    size: str | float = "page",
    text_size: float = 8.0,
) -> Figure:
    """Learning curves: the metric (upper axes), and its difference from the baseline's run of the same seed (lower).

    Each variant and each control has a column of axes, on shared scales. Thin lines are individual runs and thick
    lines means of complete runs; bands are bars (fewer than 10 pairs) or ribbons.

    Args:
        table: The runs.
        verdict: Gives the metric, its direction, the confidence and the kind of interval.
        metric: Another stored metric; default the verdict's.
        over_alpha: Draw over the current α instead, for the arms with an α schedule only.
        size: ``"page"`` (7.0 inches wide), ``"column"`` (3.4 inches), or the width in inches.
        text_size: Text size in points.

    Returns:
        A matplotlib figure, not registered with pyplot.

    Raises:
        BadInput: The metric or size is unknown, or no arm has an α schedule.
    """
    metric = drawable(table, metric or verdict.metric)
    groups = _ramped_panels(table) if over_alpha else panels(table.arms)
    labels = label_width(
        text for group in groups for text in arm_labels([table.arms[k] for k in (0, *group.arms)], table.dose_name)
    )
    wanted = min(len(groups), max(1, int(width_of(size) / 2.3)))
    columns = columns_that_fit(size, wanted, labels=labels, text_size=text_size)
    blocks = -(-len(groups) // columns)
    layout = Layout(
        size=size,
        columns=columns,
        heights=(1.45, 1.45) * blocks,
        gaps=(0.34, 0.14, *(0.75, 0.14) * (blocks - 1)),
        labels=labels,
    )
    with styled(text_size):
        contents = [_row(table, verdict, metric, difference, over_alpha) for difference in (False, True)]
        title = f"{metric_name(metric)} {'as α rises' if over_alpha else 'during training'}"
        figure, cells = blank(
            layout, title=title, study=verdict.study, footnote=_footnote(contents[1]), text_size=text_size
        )
        for below, row in enumerate(contents):
            for index, group in enumerate(groups):
                axes = cells[2 * (index // columns) + below, index % columns]
                _draw(axes, row, group, text_size)
                _annotate(axes, row, group, metric, verdict, first=index % columns == 0)
        for unused in range(len(groups), columns * blocks):
            for below in (0, 1):
                cells[2 * (unused // columns) + below, unused % columns].remove()
    return figure


def _ramped_panels(table: Table) -> list[Panel]:
    """The panels of the arms with an α schedule."""
    moving = ramped(table)
    if not moving:
        raise BadInput.because("over_alpha", "no arm of the study has an α schedule")
    kept = [(group.title, tuple(arm for arm in group.arms if arm in moving)) for group in panels(table.arms)]
    return [Panel(title=title, arms=arms) for title, arms in kept if arms]


def _row(table: Table, verdict: Verdict, metric: str, difference: bool, over_alpha: bool) -> _Row:
    curves = table.curves(metric)
    x = np.tile(horizontal(table)[1], (len(table.arms), 1))
    if over_alpha:
        for arm, alphas in ramped(table).items():
            x[arm] = alphas
    found = bands(
        table,
        metric,
        confidence=verdict.confidence,
        steps=declared(table, metric) if verdict.interval == "bonferroni-t" else None,
        difference=difference,
        interval=verdict.interval,
    ).arms
    with np.errstate(invalid="ignore"):  # a diverged run is infinite, and so may be its baseline
        runs = curves - curves[0] if difference else curves
    return _Row(
        table=table,
        x=x,
        axis="alpha" if over_alpha else horizontal(table)[0],
        runs=np.where(np.isfinite(runs), runs, np.nan),
        bands={band.arm: band for band in found},
        styles=arm_styles(table.arms),
        difference=difference,
    )


def _draw(axes: Axes, row: _Row, group: Panel, text_size: float) -> None:
    """Draw runs, bands and means of one panel's arms and the baseline, with labels at the ends of lines."""
    over_alpha = row.axis == "alpha"
    arms = list(group.arms) if row.difference or over_alpha else [*group.arms, 0]
    shown = row.x[list(group.arms)] if over_alpha else row.x
    left, right = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 1.0)
    span = right - left or 50.0  # a single evaluation stands in the middle of one unit on either side
    axes.set_ylim(*row.limits())
    axes.set_xlim(left - 0.02 * span, right + 0.02 * span)
    if row.difference:
        axes.axhline(0, color=INK, linewidth=1.2, zorder=2)
    names, ends, colors = [], [], []
    labels = arm_labels([row.table.arms[arm] for arm in arms], row.table.dose_name)
    for order, arm in enumerate(arms):
        name = row.table.arms[arm].name
        style, band = row.styles[name], row.bands[name]
        _runs(
            axes,
            row.x[arm],
            row.runs[arm],
            style,
            opacity=max(0.06, min(0.3, 12 / (len(arms) * len(row.table.seeds)))),
        )
        shift = 0.01 * span * (order - (len(arms) - 1) / 2) if row.difference and band.kind == "bars" else 0.0
        _band(axes, row.at(arm, band.steps) + shift, band, style)
        if band.n:
            x = row.at(arm, band.curve_steps)
            axes.plot(x, band.curve, gid=name, **_thick(style))
            if len(x):
                names.append(labels[order])
                ends.append((float(x[-1]), float(band.curve[-1])))
                colors.append(readable(style.color))
    if row.difference and shown.size:
        names, ends, colors = [*names, "baseline"], [*ends, (right, 0.0)], [*colors, INK]
    end_labels(axes, ends, names, colors, size=text_size - 1)


def _thick(style: ArmStyle) -> dict[str, Any]:
    dashes = (0, (3.2, 1.4)) if style.dashed else "-"
    return {"color": style.color, "linewidth": 1.7, "linestyle": dashes, "zorder": 4}


def _runs(axes: Axes, x: Floats, runs: Floats, style: ArmStyle, *, opacity: float) -> None:
    from matplotlib.collections import LineCollection

    lines = [np.column_stack([x, run])[~np.isnan(run)] for run in runs if not np.isnan(run).all()]
    thin = LineCollection(lines, colors=style.color, linewidths=0.5, alpha=opacity, zorder=3)
    axes.add_collection(thin, autolim=False)


def _band(axes: Axes, x: Floats, band: ArmBand, style: ArmStyle) -> None:
    finite = np.isfinite(band.low) & np.isfinite(band.high)
    if not finite.any():
        return
    low, high = band.low[finite], band.high[finite]
    if band.kind == "ribbon":
        axes.fill_between(x[finite], low, high, color=style.color, alpha=0.25, linewidth=0, zorder=2.5)
    else:
        axes.vlines(x[finite], low, high, color=style.color, linewidth=1.0, alpha=0.75, zorder=3.5)


def _annotate(axes: Axes, row: _Row, group: Panel, metric: str, verdict: Verdict, *, first: bool) -> None:
    """Write title, axis labels and the better side; only the first column has a vertical axis label."""
    from matplotlib.ticker import MaxNLocator

    if row.difference:
        axes.set_xlabel(axis_name(row.axis))
    else:
        axes.set_title(group.title)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=row.axis != "alpha"))
    axes.ticklabel_format(axis="x", useOffset=False)
    if not row.difference:
        axes.tick_params(labelbottom=False)
    if not first:
        axes.tick_params(labelleft=False)
    else:
        axes.set_ylabel("arm − baseline" if row.difference else metric_name(metric))
    if row.difference and metric == drawable(row.table, verdict.metric):
        mark_sides(axes, verdict.direction)


def _footnote(row: _Row) -> str:
    """Explanation of lines and bands."""
    labels = [band.label for band in row.bands.values()]
    label = max(sorted(set(labels)), key=labels.count, default="")
    others = "; fewer in arms with failed runs" if len(set(labels)) > 1 else ""
    return (
        "Thin lines: individual runs. Thick lines: mean of each arm's complete runs. Lower axes: difference from the "
        f"baseline's run of the same seed. {label[:1].upper()}{label[1:]}{others}."
    )
