"""The learning curves as a picture: every run thin, the mean of each arm thick, its band, and names at the lines' ends.

Knows a table of runs, bands and looks; computes no statistics and knows nothing of files or pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.errors import BadInput
from crossnorm.report.figures.arm_groups import Panel, declared, drawable, horizontal, panels, ramped
from crossnorm.report.figures.grid_layout import Layout, blank, columns_that_fit
from crossnorm.report.figures.line_labels import arm_labels, end_labels, room, sides
from crossnorm.report.figures.style import INK, Look, looks, readable, styled, width_of
from crossnorm.report.formatting import axis_name, metric_name
from crossnorm.stats import ArmBand, Table, Verdict, bands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves_figure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sheet:
    """What one row of axes shows: the metric, or its difference to the baseline.

    Args:
        x: The horizontal axis of each arm (arms, steps).
        axis: Its name.
        runs: Values drawn thin (arms, seeds, steps).
        bands: Mean and band by arm.
        steps: Step → position in ``x``.
    """

    table: Table
    x: Floats
    runs: Floats
    bands: dict[str, ArmBand]
    looks: dict[str, Look]
    axis: str
    difference: bool

    def at(self, arm: int, steps: Sequence[int]) -> Floats:
        """Horizontal positions of an arm at the given steps."""
        places = {step: place for place, step in enumerate(self.table.steps)}
        x: Floats = self.x[arm]
        return x[[places[step] for step in steps]]

    def limits(self) -> tuple[float, float]:
        """Vertical limits: all complete runs and means, and of the bands what takes at most half as much again."""
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
    """Learning curves: above the metric itself, below its difference to the baseline's run of the same seed.

    A column of axes per variant and one per control, all on shared scales, so that nine arms stay legible. Thin
    lines are runs, thick lines means over the complete ones; bars (below ten pairs) or a ribbon (from ten) are the
    band.

    Args:
        table: The runs.
        verdict: Names the metric, its direction, the confidence and the kind of interval.
        metric: Another stored metric; default the verdict's.
        over_alpha: Against the α in force instead: how far can it be raised before it costs something? Only the arms
            that raise it by a schedule are drawn.
        size: ``"page"`` (7.0 in wide), ``"column"`` (3.4 in), or the width in inches.
        text_size: Text size in points.

    Returns:
        A figure that belongs to the caller; nothing global is touched.

    Raises:
        BadInput: no such metric, no such size, or no arm that raises α.
    """
    metric = drawable(table, metric or verdict.metric)
    groups = _ramped_panels(table) if over_alpha else panels(table.arms)
    labels = room(text for group in groups for text in arm_labels([table.arms[k] for k in (0, *group.arms)]))
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
        sheets = [_sheet(table, verdict, metric, difference, over_alpha) for difference in (False, True)]
        title = f"{metric_name(metric)} while {'α rises' if over_alpha else 'training'}"
        figure, cells = blank(
            layout, title=title, study=verdict.study, footnote=_small_print(sheets[1]), text_size=text_size
        )
        for row, sheet in enumerate(sheets):
            for place, group in enumerate(groups):
                axes = cells[2 * (place // columns) + row, place % columns]
                _draw(axes, sheet, group, text_size)
                _name(axes, sheet, group, metric, verdict, first=place % columns == 0)
        for unused in range(len(groups), columns * blocks):
            for row in (0, 1):
                cells[2 * (unused // columns) + row, unused % columns].remove()
    return figure


def _ramped_panels(table: Table) -> list[Panel]:
    """The panels of the arms that raise α, without the others."""
    moving = ramped(table)
    if not moving:
        raise BadInput("over_alpha", "a study with an alpha_schedule", "one in which α does not move")
    kept = [(group.title, tuple(arm for arm in group.arms if arm in moving)) for group in panels(table.arms)]
    return [Panel(title=title, arms=arms) for title, arms in kept if arms]


def _sheet(table: Table, verdict: Verdict, metric: str, difference: bool, over_alpha: bool) -> _Sheet:
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
    return _Sheet(
        table=table,
        x=x,
        axis="alpha" if over_alpha else horizontal(table)[0],
        runs=np.where(np.isfinite(runs), runs, np.nan),
        bands={band.arm: band for band in found},
        looks=looks(table.arms),
        difference=difference,
    )


def _draw(axes: Axes, sheet: _Sheet, group: Panel, text_size: float) -> None:
    """Runs, bands and means of one panel's arms and the baseline, with names at the lines' ends."""
    over_alpha = sheet.axis == "alpha"
    arms = list(group.arms) if sheet.difference or over_alpha else [*group.arms, 0]
    there = sheet.x[list(group.arms)] if over_alpha else sheet.x
    left, right = (float(there.min()), float(there.max())) if there.size else (0.0, 1.0)
    span = right - left or 1.0
    axes.set_ylim(*sheet.limits())
    axes.set_xlim(left - 0.02 * span, right + 0.02 * span)
    if sheet.difference:
        axes.axhline(0, color=INK, linewidth=1.2, zorder=2)
    names, ends, colors = [], [], []
    labels = arm_labels([sheet.table.arms[arm] for arm in arms])
    for order, arm in enumerate(arms):
        name = sheet.table.arms[arm].name
        look, band = sheet.looks[name], sheet.bands[name]
        _runs(
            axes,
            sheet.x[arm],
            sheet.runs[arm],
            look,
            opacity=max(0.06, min(0.3, 12 / (len(arms) * len(sheet.table.seeds)))),
        )
        shift = 0.01 * span * (order - (len(arms) - 1) / 2) if sheet.difference and band.kind == "bars" else 0.0
        _band(axes, sheet.at(arm, band.steps) + shift, band, look)
        if band.n:
            x = sheet.at(arm, band.curve_steps)
            axes.plot(x, band.curve, gid=name, **_thick(look))
            if len(x):
                names.append(labels[order])
                ends.append((float(x[-1]), float(band.curve[-1])))
                colors.append(readable(look.color))
    if sheet.difference and there.size:
        names, ends, colors = [*names, "baseline"], [*ends, (right, 0.0)], [*colors, INK]
    end_labels(axes, ends, names, colors, size=text_size - 1)


def _thick(look: Look) -> dict[str, Any]:
    style = (0, (3.2, 1.4)) if look.dashed else "-"
    return {"color": look.color, "linewidth": 1.7, "linestyle": style, "zorder": 4}


def _runs(axes: Axes, x: Floats, runs: Floats, look: Look, *, opacity: float) -> None:
    from matplotlib.collections import LineCollection

    lines = [np.column_stack([x, run])[~np.isnan(run)] for run in runs if not np.isnan(run).all()]
    thin = LineCollection(lines, colors=look.color, linewidths=0.5, alpha=opacity, zorder=3)
    axes.add_collection(thin, autolim=False)


def _band(axes: Axes, x: Floats, band: ArmBand, look: Look) -> None:
    there = np.isfinite(band.low) & np.isfinite(band.high)
    if not there.any():
        return
    low, high = band.low[there], band.high[there]
    if band.kind == "ribbon":
        axes.fill_between(x[there], low, high, color=look.color, alpha=0.25, linewidth=0, zorder=2.5)
    else:
        axes.vlines(x[there], low, high, color=look.color, linewidth=1.0, alpha=0.75, zorder=3.5)


def _name(axes: Axes, sheet: _Sheet, group: Panel, metric: str, verdict: Verdict, *, first: bool) -> None:
    """Title, axis labels and the better side; only the first column says what is measured."""
    from matplotlib.ticker import MaxNLocator

    if sheet.difference:
        axes.set_xlabel(axis_name(sheet.axis))
    else:
        axes.set_title(group.title)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=sheet.axis != "alpha"))
    if not sheet.difference:
        axes.tick_params(labelbottom=False)
    if not first:
        axes.tick_params(labelleft=False)
    else:
        axes.set_ylabel("arm − baseline" if sheet.difference else metric_name(metric))
    if sheet.difference and metric == drawable(sheet.table, verdict.metric):
        sides(axes, verdict.direction)


def _small_print(sheet: _Sheet) -> str:
    """What lines and bands are."""
    labels = [band.label for band in sheet.bands.values()]
    said = max(sorted(set(labels)), key=labels.count, default="")
    others = "; arms with failed runs have fewer" if len(set(labels)) > 1 else ""
    return (
        "Thin: single runs. Thick: mean of an arm's complete runs. Lower axes: difference to the baseline's run of the "
        f"same seed. {said[:1].upper()}{said[1:]}{others}."
    )
