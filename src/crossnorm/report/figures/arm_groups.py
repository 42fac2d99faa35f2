"""Which arms share a panel, which horizontal axis a table has, and which of its metrics have curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, Table

__all__ = [
    "POSITIONS",
    "Panel",
    "controls_of",
    "declared",
    "drawable",
    "horizontal",
    "metrics_of",
    "panels",
    "ramped",
    "spaced",
]

Floats = NDArray[np.float64]

POSITIONS = ("epoch", "images", "seconds", "alpha")
"""Columns for the progress of a run: horizontal axes, not metrics."""

_RIBBON = 40  # most evaluations of one ribbon
_RIBBON_FROM = 10  # pairs
_MOST_ARMS = 8  # in one panel


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A group of arms drawn together with the baseline.

    Args:
        title: The common variant of the arms, their site, or "controls".
        arms: Positions in ``table.arms``, without the baseline (0).
    """

    title: str
    arms: tuple[int, ...]


def controls_of(arms: Sequence[ArmInfo]) -> frozenset[str]:
    """Names of the arms that are controls of others, without the baseline."""
    return frozenset(arm.control for arm in arms if arm.control is not None) - {arms[0].name}


def panels(arms: Sequence[ArmInfo]) -> list[Panel]:
    """One panel per variant and site, variants before their controls; at most eight arms in each."""
    controls = controls_of(arms)
    groups: dict[tuple[bool, str | None, str | None], list[int]] = {}
    for index, arm in enumerate(arms[1:], start=1):
        groups.setdefault((arm.name in controls, arm.variant, arm.site), []).append(index)
    several = len({arm.site for arm in arms[1:]}) > 1
    result = []
    for (control, variant, site), members in sorted(groups.items(), key=lambda item: item[0][0]):
        title = variant or ("controls" if control else "arms")
        title += f" at {site}" if several and site else ""
        title += " (control)" if control and variant else ""
        cuts = range(0, len(members), _MOST_ARMS)
        result += [Panel(title=title, arms=tuple(members[cut : cut + _MOST_ARMS])) for cut in cuts]
    return result or [Panel(title=arms[0].name, arms=())]


def horizontal(table: Table) -> tuple[str, Floats]:
    """Name and values (steps,) of the horizontal axis: epochs if all runs agree on them, else optimizer steps."""
    if "epoch" in table.metrics and table.steps:
        epochs = table.curves("epoch").reshape(-1, len(table.steps))
        whole = epochs[np.isfinite(epochs).all(axis=1)]
        if len(whole) and (np.diff(whole[0]) > 0).all() and _agree(epochs, whole[0]):
            return "epoch", whole[0]
    return "step", np.asarray(table.steps, dtype=np.float64)


def ramped(table: Table) -> dict[int, Floats]:
    """Arms whose α follows a schedule, the same in all their runs: position → α (steps,)."""
    if "alpha" not in table.metrics:
        return {}
    found = {}
    for index, rows in enumerate(table.curves("alpha")):
        if "alpha_mean" in table.metrics and np.isfinite(table.metrics["alpha_mean"][index]).any():
            continue  # learned
        whole = rows[np.isfinite(rows).all(axis=1)]
        if len(whole) and bool((np.diff(whole[0]) != 0).any()) and _agree(rows, whole[0]):
            found[index] = whole[0]
    return found


def _agree(rows: Floats, one: Floats) -> bool:
    return bool(((rows == one) | np.isnan(rows)).all())


def metrics_of(table: Table) -> list[str]:
    """The metrics with a curve: values at two or more evaluations of some run. `POSITIONS` are left out."""
    return [
        name
        for name, values in table.metrics.items()
        if name not in POSITIONS and bool((np.isfinite(values).sum(axis=-1) > 1).any())
    ]


def drawable(table: Table, metric: str) -> str:
    """The metric itself if it has a curve; the base of a summary such as ``test_loss_auc`` otherwise.

    Raises:
        BadInput: The table has no such metric.
    """
    table.curves(metric)
    known, base = metrics_of(table), Metric.parse(metric).base
    return base if metric not in known and base in known else metric


def declared(table: Table, metric: str, most: int = _RIBBON) -> tuple[int, ...] | None:
    """Evenly spaced evaluations for the ribbons of a table with more than `most` evaluations.

    None leaves the choice to `crossnorm.stats.inference.bands`: with few evaluations, or if some arm has too few
    pairs for a ribbon.
    """
    curves = np.where((table.status == "complete")[..., None], table.curves(metric), np.nan)
    pairs = (np.isfinite(curves) & np.isfinite(curves[0])).any(axis=-1).sum(axis=1)
    if len(table.steps) <= most or pairs.min() < _RIBBON_FROM:
        return None
    return tuple(table.steps[k] for k in spaced(len(table.steps), most))


def spaced(count: int, most: int) -> list[int]:
    """At most ``most`` (≥ 2) evenly spaced positions below ``count``, first and last included."""
    if count <= most:
        return list(range(count))
    return sorted({int(k) for k in np.linspace(0, count - 1, most).round()})
