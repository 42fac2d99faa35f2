"""Power of a planned study, from the noise of existing runs: what its seeds can detect, how many seeds are needed.

Standard deviations are measured on at least three pairs or unknown; none is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.stats.design.power import detectable_difference, pairs_for_difference_range, pairs_needed, sd_interval
from crossnorm.stats.inference.comparison import resolve_margin
from crossnorm.stats.inference.family import family_size
from crossnorm.stats.inference.intervals import Kind
from crossnorm.stats.inference.trend import DoseGrid, dose_grids
from crossnorm.stats.runs.curve_summaries import Noise, noise
from crossnorm.stats.runs.run_table import Table

__all__ = ["Outlook", "Prospect", "outlook"]

POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """Power of one kind of comparison of the study; None if the noise is not measured.

    Args:
        name: The comparison.
        comparisons: Size m of the family that shares the error level.
        sd: Standard deviation of the paired differences (for a trend: of the per-seed slopes).
        sd_range: Its chi-square interval.
        pairs: Number of pairs it was measured on.
        detectable: Smallest true difference (or slope) that the planned seeds detect with the given power.
        for_difference: Seeds needed to detect the given difference with that power: (likely, low, high).
        for_margin: Seeds until the interval's half-width reaches the margin, likewise.
    """

    name: str
    comparisons: int
    sd: float | None
    sd_range: tuple[float, float] | None
    pairs: int
    detectable: float | None
    for_difference: tuple[int, int, int] | None
    for_margin: tuple[int, int, int] | None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Power of a planned study.

    Args:
        metric: Compared at the last evaluation.
        seeds: Number of planned seeds.
        power: Probability of detection behind `detectable` and `for_difference`.
        confidence: Of the family, and of the trend.
        interval: The kind of interval for the planned seeds.
        later: The kind of interval if seeds are added later.
        difference: The difference to detect; per unit α for a trend.
        margin: In the metric's unit; None: no margin, or a percentage of a mean that is not known yet.
        arm: One arm against the baseline or its control.
        trend: The primary trend over α; None for a study without doses.
    """

    metric: str
    seeds: int
    power: float
    confidence: float
    interval: Kind
    later: Kind
    difference: float | None
    margin: float | None
    arm: Prospect
    trend: Prospect | None


def outlook(
    planned: Table,
    measured: Table | None,
    *,
    metric: str,
    confidence: float = 0.95,
    margin: float | str | None = None,
    difference: float | None = None,
    interval: Kind = "bonferroni-t",
    later: Kind = "bonferroni-t",
) -> Outlook:
    """Power of the planned study, if its noise equals that of the measured runs.

    Args:
        planned: Arms and seeds of the study; its values are not used.
        measured: Runs that give the standard deviations; None: there are none.
        metric: Column of the table, compared at the last evaluation.
        confidence: Of every interval.
        margin: The study's margin.
        difference: A true difference to detect, of either sign.
        interval: The kind of interval for the planned seeds.
        later: The kind of interval if seeds are added later.

    Raises:
        BadInput: The difference is 0 or not finite, or the margin or confidence is invalid.
    """
    if difference is not None and not 0 < abs(difference) < np.inf:
        raise BadInput("difference", "a finite number other than 0", difference)
    values = None if measured is None else measured.final(metric)[0]
    size = resolve_margin(margin, np.empty(0) if values is None else values)
    found = Noise(sd=None, n=0, trend_sd=None, trend_n=0) if measured is None else noise(measured, metric)
    seeds = len(planned.seeds)
    ask = partial(_prospect, seeds=seeds, confidence=confidence, difference=difference, interval=interval, later=later)
    grids = dose_grids(planned)
    trend = None
    if grids:
        trend = ask(_trend_name(planned, grids[0]), sd=found.trend_sd, pairs=found.trend_n, comparisons=1, margin=None)
    return Outlook(
        metric=metric,
        seeds=seeds,
        power=POWER,
        confidence=confidence,
        interval=interval,
        later=later,
        difference=difference,
        margin=size,
        arm=ask("one arm", sd=found.sd, pairs=found.n, comparisons=family_size(planned), margin=size),
        trend=trend,
    )


def _prospect(
    name: str,
    *,
    sd: float | None,
    pairs: int,
    comparisons: int,
    seeds: int,
    confidence: float,
    difference: float | None,
    margin: float | None,
    interval: Kind,
    later: Kind,
) -> Prospect:
    level: dict[str, Any] = {"comparisons": comparisons, "confidence": confidence}
    return Prospect(
        name=name,
        comparisons=comparisons,
        sd=sd,
        sd_range=sd_interval(sd, pairs, confidence=confidence) if sd is not None else None,
        pairs=pairs,
        detectable=detectable_difference(sd, seeds, power=POWER, interval=interval, **level)
        if sd is not None
        else None,
        for_difference=pairs_for_difference_range(sd, pairs, difference, power=POWER, interval=later, **level)
        if sd is not None and difference is not None
        else None,
        for_margin=pairs_needed(sd, pairs, margin, interval=later, **level)
        if sd is not None and margin is not None
        else None,
    )


def _trend_name(table: Table, grid: DoseGrid) -> str:
    """``convex - attenuated``, or ``matched - baseline``."""
    reference = table.arms[grid.controls[-1]]
    return f"{grid.variant} - {reference.name if grid.controls[-1] == 0 else reference.variant or reference.name}"
