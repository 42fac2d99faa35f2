"""Direct labels: names at the ends of lines, moved apart so that they do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.style import MUTED
from crossnorm.report.formatting import better_side
from crossnorm.stats import ArmInfo, dose_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["arm_labels", "end_labels", "label_width", "mark_sides", "shortened", "spread"]

_LONGEST = 18


def arm_labels(arms: Sequence[ArmInfo], dose_name: str) -> list[str]:
    """Label of each arm's line: its α if that is unique in the panel, else its shortened name."""
    dosed = [dose_name == "α" and arm.variant is not None and bool(arm.alpha) for arm in arms]
    doses = [dose_words(dose_name, arm.alpha or 0.0) if there else "" for arm, there in zip(arms, dosed, strict=True)]
    return [
        text if text and doses.count(text) == 1 else shortened(arm.name) for arm, text in zip(arms, doses, strict=True)
    ]


def shortened(name: str) -> str:
    """The name on one line, at most 18 characters."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def label_width(texts: Iterable[str]) -> float:
    """Width in inches of the longest of these labels, at 8 points of text."""
    return 0.2 + 0.064 * max((len(line) for text in texts for line in text.splitlines()), default=0)


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Nearest positions (least squares) in [low, high] with the same order and at least ``gap`` between neighbors.

    With y sorted and z_i = y_i - i·gap this is isotonic regression of z, clipped, by pooling adjacent violators. The
    gap shrinks if the labels do not fit.
    """
    wanted = np.asarray(positions, dtype=np.float64)
    count = len(wanted)
    if count == 0:
        return wanted
    gap = min(gap, (high - low) / max(1, count - 1))
    order = np.argsort(wanted, kind="stable")
    steps = np.arange(count) * gap
    blocks: list[tuple[float, int]] = []
    for value in wanted[order] - steps:
        mean, size = float(value), 1
        while blocks and blocks[-1][0] > mean:
            before, weight = blocks.pop()
            mean, size = (before * weight + mean * size) / (weight + size), weight + size
        blocks.append((mean, size))
    pooled = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])
    result = np.empty(count)
    result[order] = np.clip(pooled, low, high - (count - 1) * gap) + steps
    return result


def end_labels(
    axes: Axes, ends: Sequence[tuple[float, float]], texts: Sequence[str], colors: Sequence[str], *, size: float
) -> None:
    """Write ``texts`` right of the axes, each with a dotted gray leader to its line's end (x, y in data units).

    The limits and position of the axes must be final, with space for the labels beside them.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    points = [to_axes.transform(end) for end in ends]
    box = axes.get_window_extent()
    width, height = (72 * side / axes.figure.dpi for side in (box.width, box.height))
    lines = max((text.count("\n") + 1 for text in texts), default=1)
    heights = [float(np.clip(point[1], 0, 1)) for point in points]
    placed = spread(heights, 1.35 * size * lines / height, 0.0, 1.0)
    for point, end, label, text, color in zip(points, heights, placed, texts, colors, strict=True):
        axes.annotate(
            text,
            xy=(float(point[0]) + 4 / width, end),
            xycoords="axes fraction",
            xytext=(1 + 10 / width, float(label)),
            textcoords="axes fraction",
            va="center",
            ha="left",
            color=color,
            fontsize=size,
            annotation_clip=False,
            # Gray and dotted, so that it is not mistaken for a part of the line.
            arrowprops={
                "arrowstyle": "-",
                "color": MUTED,
                "lw": 0.7,
                "ls": (0, (1, 1.6)),
                "relpos": (0, 0.5),
                "shrinkA": 1,
            },
        )


def mark_sides(axes: Axes, direction: str) -> None:
    """Label the better and the worse side of a difference's zero line, in the corners of the axes."""
    above, below = better_side(direction)
    style: dict[str, Any] = {"ha": "left", "color": MUTED, "fontstyle": "italic", "zorder": 6}
    backed = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8}
    for text, height, side in ((above, 0.985, "top"), (below, 0.015, "bottom")):
        axes.text(0.012, height, text, transform=axes.transAxes, va=side, bbox=backed, **style)
