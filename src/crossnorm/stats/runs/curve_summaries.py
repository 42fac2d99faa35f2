"""Summaries of learning curves: area under the curve, steps to a target, correlation of pairs, noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossnorm.metric import DIRECTIONS, Direction, Metric
from crossnorm.stats.inference.intervals import MIN_PAIRS
from crossnorm.stats.inference.trend import dose_grids, seed_slopes
from crossnorm.stats.runs.run_table import Floats, Table

__all__ = [
    "Noise",
    "PairingDiagnostics",
    "area_under_curve",
    "noise",
    "pairing_diagnostics",
    "steps_to_target",
    "with_summaries",
]


def area_under_curve(table: Table, metric: str) -> Floats:
    """Area under each complete run's curve divided by its length: the metric's mean over training, in its unit.

    Uses the trapezoid rule over the recorded evaluations; nan for runs that are not complete.

    Returns:
        (arms, seeds)
    """
    steps = np.array(table.steps, dtype=np.float64)
    area = np.full(table.status.shape, np.nan)
    curves, final = table.curves(metric), table.final(metric)
    for run in np.argwhere(~np.isnan(final)):
        curve = curves[tuple(run)]
        there = ~np.isnan(curve)
        x, y = steps[there], curve[there]
        width = np.diff(x)
        with np.errstate(invalid="ignore"):  # an infinite value on either side: no area
            area[tuple(run)] = (width * (y[1:] + y[:-1]) / 2).sum() / width.sum() if len(x) > 1 else y[0]
    return np.where(np.isfinite(area), area, np.nan)


def steps_to_target(table: Table, metric: str, target: float, direction: Direction) -> Floats:
    """Step of the first evaluation at which each complete run has reached the target; nan if it never does.

    A value that is not finite reaches nothing.

    Returns:
        (arms, seeds)
    """
    curves = table.curves(metric)
    reached = np.isfinite(curves) & (curves <= target if direction == "lower" else curves >= target)
    usable = reached.any(axis=-1) & (table.status == "complete")
    if not table.steps:
        return np.full(table.status.shape, np.nan)
    first = np.array(table.steps, dtype=np.float64)[np.argmax(reached, axis=-1)]
    return np.where(usable, first, np.nan)


def with_summaries(table: Table, metric: Metric, *, side: Direction | None = None) -> Table:
    """The table with the area under the metric's base and, if it has a target, the steps to it as further columns.

    Both have their value at the last evaluation. A run that never reaches the target is missing from the means, and an
    arm with more such runs than its reference is never "better" or "same".

    Args:
        table: The runs.
        metric: Its base is a column of the table.
        side: The better side of the base, from which it reaches the target; None: as in `DIRECTIONS`.
    """
    base, better = metric.base, side or DIRECTIONS.get(metric.base)
    added = {Metric(base, "auc", direction=better): area_under_curve(table, base)}
    if metric.target is not None:
        added[metric] = steps_to_target(table, base, metric.target, better or DIRECTIONS[base])
    metrics = dict(table.metrics)
    for name, values in ((str(summary), values) for summary, values in added.items()):
        metrics[name] = np.full((*values.shape, len(table.steps)), np.nan)
        metrics[name][..., -1:] = values[..., None]
    return replace(
        table, metrics=metrics, summaries={**table.summaries, **{str(summary): summary for summary in added}}
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PairingDiagnostics:
    """Correlation of arms with the baseline over seeds, at every evaluation.

    Args:
        arms: Names of the arms other than the baseline.
        steps: The evaluations.
        correlation: (arms, steps), nan with fewer than 3 pairs or without variance.
        variance_ratio: Var(arm - baseline) / (Var(arm) + Var(baseline)), (arms, steps); pairing helps below 1.
    """

    arms: tuple[str, ...]
    steps: tuple[int, ...]
    correlation: Floats
    variance_ratio: Floats


def pairing_diagnostics(table: Table, metric: str) -> PairingDiagnostics:
    """Correlation and variance ratio of every arm with the baseline at every evaluation, complete runs only."""
    curves = np.where((table.status == "complete")[..., None], table.curves(metric), np.nan)
    shape = (len(table.arms) - 1, len(table.steps))
    correlation, ratio = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, k in np.ndindex(shape):
        correlation[i, k], ratio[i, k] = _pairing(curves[i + 1, :, k], curves[0, :, k])
    names = tuple(arm.name for arm in table.arms[1:])
    return PairingDiagnostics(arms=names, steps=table.steps, correlation=correlation, variance_ratio=ratio)


def final_pairing(values: Floats) -> tuple[float | None, float | None]:
    """Median correlation and variance ratio over arms, from final values (arms, seeds); None if undefined."""
    pairs = np.array([_pairing(row, values[0]) for row in values[1:]]).reshape(-1, 2)
    columns = [column[~np.isnan(column)] for column in pairs.T]
    correlation, ratio = (float(np.median(column)) if column.size else None for column in columns)
    return correlation, ratio


def _pairing(arm: Floats, baseline: Floats) -> tuple[float, float]:
    there = np.isfinite(arm) & np.isfinite(baseline)
    x, y = arm[there], baseline[there]
    if len(x) < MIN_PAIRS or (np.ptp(x) == 0 and np.ptp(y) == 0):
        return np.nan, np.nan
    variances = x.var(ddof=1), y.var(ddof=1)
    ratio = float((x - y).var(ddof=1) / sum(variances))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, ratio
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1)), ratio


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations for planning; None with fewer than 3 pairs.

    Args:
        sd: Of paired differences from the baseline, root mean square over arms.
        n: Number of pairs: the fewest of any arm with at least 3.
        trend_sd: Of the per-seed slopes of the primary trend (first variant - its control).
        trend_n: Number of seeds with such a slope.
    """

    sd: float | None
    n: int
    trend_sd: float | None
    trend_n: int


def noise(table: Table, metric: str) -> Noise:
    """Standard deviations of paired differences and of the primary trend's slopes, from complete runs."""
    values = table.final(metric)
    rows = [row[~np.isnan(row)] for row in values[1:] - values[0]]
    rows = [row for row in rows if row.size >= MIN_PAIRS]
    grids = dose_grids(table)
    slopes = seed_slopes(values, grids[0], grids[0].controls) if grids else np.empty(0)
    return Noise(
        sd=float(np.sqrt(np.mean([row.var(ddof=1) for row in rows]))) if rows else None,
        n=min((row.size for row in rows), default=0),
        trend_sd=float(slopes.std(ddof=1)) if slopes.size >= MIN_PAIRS else None,
        trend_n=int(slopes.size),
    )
