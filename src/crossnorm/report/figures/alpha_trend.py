"""The trend figure: differences at the last evaluation against α, with controls, contrasts and the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.arm_groups import controls_of
from crossnorm.report.figures.grid_layout import Layout, blank, columns_that_fit
from crossnorm.report.figures.line_labels import end_labels, label_width, mark_sides, shortened
from crossnorm.report.figures.style import INK, ArmStyle, arm_styles, readable, styled, variant_style, width_of
from crossnorm.report.formatting import contrast_name, dose, endpoint_name, interval, interval_note, number, percent
from crossnorm.stats import ArmInfo, ArmResult, Contrast, Table, Verdict, brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Series", "series", "trend_figure"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """One line of the trend: a variant, a control, or the contrast of the two, over α.

    Args:
        name: Label of the line.
        rows: Rows of the verdict, in order of α.
        seeds: Differences of individual seeds, (rows, seeds), nan for a missing pair.
        style: How it is drawn.
    """

    name: str
    rows: tuple[ArmResult | Contrast, ...]
    seeds: Floats
    style: ArmStyle

    @property
    def alphas(self) -> Floats:
        """Doses (rows,)."""
        return np.array([row.alpha for row in self.rows], dtype=np.float64)


def series(table: Table, verdict: Verdict) -> tuple[list[Series], list[Series], list[Series]]:
    """Lines of the figure: variants and controls over α, contrasts over α, and arms without a dose (one each)."""
    final = table.final(verdict.metric)
    infos = {arm.name: arm for arm in table.arms}
    controls = controls_of(table.arms)
    families = list(dict.fromkeys((a.variant, a.site) for a in table.arms[1:] if a.name not in controls))
    several = len({arm.site for arm in table.arms[1:]}) > 1

    own = arm_styles(table.arms)

    def style(arm: ArmInfo) -> ArmStyle:
        if arm.variant is None or not arm.alpha:
            return own[arm.name]
        owner = next((a for a in table.arms if a.control == arm.name), arm) if arm.name in controls else arm
        return variant_style(families.index((owner.variant, owner.site)), control=arm.name in controls)

    def build(name: str, rows: Sequence[ArmResult | Contrast]) -> Series:
        ordered = tuple(sorted(rows, key=lambda row: row.alpha or 0.0))
        against = [table.index(row.against) if isinstance(row, Contrast) else 0 for row in ordered]
        values = final[[table.index(row.arm) for row in ordered]] - final[against]
        return Series(name=name, rows=ordered, seeds=values, style=style(infos[ordered[0].arm]))

    dosed: dict[str, list[ArmResult | Contrast]] = {}
    single = []
    for row in verdict.arms[1:]:
        if row.variant is None or not row.alpha:
            single.append(build(row.arm, [row]))
        else:
            dosed.setdefault(_title(infos[row.arm], several), []).append(row)
    contrasts: dict[str, list[ArmResult | Contrast]] = {}
    for contrast in verdict.contrasts:
        if contrast.alpha:
            names = [_title(infos[name], several) for name in (contrast.arm, contrast.against)]
            contrasts.setdefault("\n− ".join(names), []).append(contrast)
    return (
        [build(name, rows) for name, rows in dosed.items()],
        [build(name, rows) for name, rows in contrasts.items()],
        single,
    )


def _title(arm: ArmInfo, several: bool) -> str:
    name = arm.variant or arm.name
    return f"{name} at {arm.site}" if several and arm.site else name


def trend_figure(table: Table, verdict: Verdict, *, size: str | float = "page", text_size: float = 8.0) -> Figure:
    """Differences at the last evaluation against α: variants and controls on the left, their contrasts on the right.

    Thin lines are individual seeds, bars are the verdict's intervals, and the shaded band is the margin. Arms without a
    dose have separate axes.

    Args:
        table: The runs.
        verdict: The estimates and intervals to draw.
        size: ``"page"`` (7.0 inches wide), ``"column"`` (3.4 inches), or the width in inches.
        text_size: Text size in points.

    Returns:
        A matplotlib figure, not registered with pyplot.

    Raises:
        BadInput: The size is unknown.
    """
    dosed, contrasts, single = series(table, verdict)
    panes = [pane for pane in (("arm − baseline", dosed), ("variant − control", contrasts), ("", single)) if pane[1]]
    names = [line.name if line not in single else shortened(line.name) for _, lines in panes for line in lines]
    labels = max(0.8, label_width(names))
    wanted = 1 if width_of(size) < 5 else max(1, len(panes))
    columns = columns_that_fit(size, wanted, labels=labels, ticks=0.5, text_size=text_size)
    rows = max(1, -(-len(panes) // columns))
    layout = Layout(
        size=size,
        columns=columns,
        heights=(max(1.9, 0.24 * len(single)),) * rows,
        gaps=(0.34, *(0.75,) * (rows - 1)),
        labels=labels,
        ticks=0.5,
    )
    with styled(text_size):
        title = f"difference in {endpoint_name(verdict)}"
        figure, cells = blank(
            layout, title=title, study=verdict.study, footnote=_footnote(verdict), text_size=text_size
        )
        for unused in cells.flat[len(panes) or 1 :]:
            unused.remove()
        for axes, (name, lines) in zip(cells.flat, panes, strict=False):
            axes.set_title(name)
            if lines is single:
                _forest(axes, lines, verdict)
            else:
                _over_dose(axes, lines, verdict, text_size)
    return figure


def _over_dose(axes: Axes, lines: Sequence[Series], verdict: Verdict, text_size: float) -> None:
    _zero(axes, verdict, horizontal=True)
    doses = sorted({0.0, *(float(alpha) for line in lines for alpha in line.alphas)})
    span = doses[-1] - doses[0] or 1.0
    step = min(np.diff(doses), default=span)
    for order, line in enumerate(lines):
        shift = min(0.02 * span, 0.12 * step) * (order - (len(lines) - 1) / 2)
        _seeds(axes, line)
        x, y = _with_baseline(line)
        axes.plot(x, y, gid=line.name, **_stroke(line.style), linewidth=1.4, zorder=4)
        _points(axes, line.alphas + shift, line, horizontal=False)
    axes.set_xlim(doses[0] - 0.06 * span, doses[-1] + 0.06 * span)
    axes.set_ylim(*_limits(lines, verdict))
    axes.set_xticks(doses if len(doses) <= 7 else doses[:: -(-len(doses) // 7)])
    axes.xaxis.set_major_formatter(lambda value, _: dose(value))
    axes.set_xlabel(verdict.dose_name)
    mark_sides(axes, verdict.direction)
    drawn = [line for line in lines if line.rows[-1].difference is not None]
    end_labels(
        axes,
        [(float(line.alphas[-1]), float(line.rows[-1].difference or 0.0)) for line in drawn],
        [line.name for line in drawn],
        [readable(line.style.color) for line in drawn],
        size=text_size - 0.5,
    )


def _with_baseline(line: Series) -> tuple[Floats, Floats]:
    """The line's means and the point (0, 0) of the baseline, in order of dose."""
    x = np.append(line.alphas, 0.0)
    y = np.append([np.nan if row.difference is None else row.difference for row in line.rows], 0.0)
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _stroke(style: ArmStyle) -> dict[str, Any]:
    return {"color": style.color, "linestyle": (0, (3.2, 1.4)) if style.dashed else "-"}


def _seeds(axes: Axes, line: Series) -> None:
    x = np.append(line.alphas, 0.0)
    order = np.argsort(x, kind="stable")
    for seed in line.seeds.T:
        y = np.append(seed, 0.0)
        axes.plot(x[order], y[order], color=line.style.color, linewidth=0.5, alpha=0.3, zorder=3)


def _points(axes: Axes, positions: Floats, line: Series, *, horizontal: bool) -> None:
    """Draw means as markers and intervals as bars, if they exist."""
    means = np.array([np.nan if row.difference is None else row.difference for row in line.rows])
    for position, row in zip(positions, line.rows, strict=True):
        if row.low is not None and row.high is not None:
            draw = axes.hlines if horizontal else axes.vlines
            draw(position, row.low, row.high, color=line.style.color, linewidth=2.0, alpha=0.85, zorder=5)
    x, y = (means, positions) if horizontal else (positions, means)
    face = "white" if line.style.dashed else line.style.color
    axes.plot(
        x,
        y,
        linestyle="none",
        marker=line.style.marker,
        markersize=5,
        color=line.style.color,
        markerfacecolor=face,
        zorder=6,
    )


def _zero(axes: Axes, verdict: Verdict, *, horizontal: bool) -> None:
    """The zero line and the shaded margin."""
    line, shade = (axes.axhline, axes.axhspan) if horizontal else (axes.axvline, axes.axvspan)
    if verdict.margin:
        shade(-verdict.margin, verdict.margin, color="#8f9aa6", alpha=0.22, linewidth=0, zorder=1)
    line(0, color=INK, linewidth=1.0, zorder=2)


def _limits(lines: Sequence[Series], verdict: Verdict) -> tuple[float, float]:
    """Limits that include all means, seeds, bars and the margin, with space for the labels in the corners."""
    values = [0.0, verdict.margin or 0.0, -(verdict.margin or 0.0)]
    for line in lines:
        values += [v for row in line.rows for v in (row.difference, row.low, row.high) if v is not None]
        values += [float(v) for v in line.seeds.flat if np.isfinite(v)]
    low, high = min(values), max(values)
    pad = 0.14 * (high - low) or 1.0
    return low - pad, high + pad


def _forest(axes: Axes, arms: Sequence[Series], verdict: Verdict) -> None:
    """Draw arms without a dose, one below the other."""
    _zero(axes, verdict, horizontal=False)
    positions = -np.arange(len(arms), dtype=np.float64)
    for position, arm in zip(positions, arms, strict=True):
        seeds = arm.seeds[0]
        axes.plot(seeds, np.full(len(seeds), position), "|", color=arm.style.color, markersize=6, alpha=0.5, zorder=3)
        _points(axes, np.array([position]), arm, horizontal=True)
    low, high = _limits(arms, verdict)
    axes.set_xlim(low, high)
    axes.set_ylim(positions[-1] - 0.7, 0.7)
    axes.set_yticks([])
    axes.grid(axis="x")
    for position, arm in zip(positions, arms, strict=True):
        axes.annotate(
            shortened(arm.name),
            xy=(1.02, position),
            xycoords=("axes fraction", "data"),
            va="center",
            color=readable(arm.style.color),
        )
    words = ("← better", "worse →") if verdict.direction == "lower" else ("← worse", "better →")
    axes.set_xlabel(f"{words[0]}    arm − baseline    {words[1]}")


def _footnote(verdict: Verdict) -> str:
    margin = f" Shaded: the margin of ± {brief(verdict.margin, 3)}." if verdict.margin else ""
    seeds = "Thin lines" if any(row.alpha for row in verdict.arms[1:]) else "Ticks"
    return f"{seeds}: individual seeds. Markers: means. {interval_note(verdict)}.{margin}{_primary(verdict)}"


def _primary(verdict: Verdict) -> str:
    """The primary trend with its interval, if there is one."""
    answer = verdict.answer
    if answer.estimate is None or answer.low is None or not answer.unit:
        return ""
    estimate = f"{number(answer.estimate, sign=True)}, {percent(verdict.confidence)} interval"
    bounds = interval(answer.low, answer.high).replace(" ", "\u00a0")
    return f" Trend of {contrast_name(answer.contrast)} per unit of {answer.unit}: {estimate} {bounds}."
