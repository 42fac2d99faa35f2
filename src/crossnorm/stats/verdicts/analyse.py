"""From a table to its verdict: joins comparisons, trends, the primary endpoint and its sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats.design.power import pairs_needed
from crossnorm.stats.inference.comparison import Comparison, Rule, compare_arms, resolve_margin
from crossnorm.stats.inference.family import family_size
from crossnorm.stats.inference.intervals import MIN_PAIRS, Kind
from crossnorm.stats.inference.repeated_seeds import repeated_seeds
from crossnorm.stats.inference.trend import DoseGrid, dose_grids, seed_slopes
from crossnorm.stats.runs.curve_summaries import final_pairing
from crossnorm.stats.runs.run_table import Floats, Table
from crossnorm.stats.verdicts.primary_endpoint import primary_answer
from crossnorm.stats.verdicts.verdict import ArmResult, Contrast, Pairing, Trend, Verdict

__all__ = ["estimate"]


def estimate(
    table: Table,
    *,
    study: str,
    metric: Metric,
    margin: float | str | None = None,
    confidence: float = 0.95,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
    scope: str | None = None,
    remark: str | None = None,
) -> Verdict:
    """The verdict of a table of runs on one metric; None for everything that does not exist.

    Each comparison is mean ± critical · s/√n of within-seed differences. Arms and contrasts form one family of m
    comparisons, each at error level (1 - confidence)/m; each trend has its own error level.

    Args:
        table: The runs; its first arm is the baseline.
        study: Name of the study, for the verdict.
        metric: What is compared: a column of the table, at each run's last evaluation, and its better direction.
        margin: Differences up to this size count as "same"; "1 %" is relative to the baseline's mean; None: never.
        confidence: Of the family, and of each trend.
        interval: "bonferroni-t" for a number of pairs fixed in advance; "sequential" if pairs were or will be added
            after viewing results.
        prior: c² of the sequential test: prior effect μ/σ ~ N(0, 1/c²).
        scope: What the answer holds for, such as model, task and recipe, for its sentence; None for a table of runs.
        remark: A sentence for the answer, without its full stop, such as how its metric was chosen.

    Raises:
        BadInput: The metric is unknown, or a direction, margin, confidence, interval or prior is invalid.
    """
    if metric.direction is None:
        raise BadInput("direction", "lower or higher", "none")
    values = table.final(str(metric))
    rule = Rule(
        direction=metric.direction,
        margin=resolve_margin(margin, values[0]),
        confidence=confidence,
        kind=interval,
        prior=prior,
        comparisons=family_size(table),
    )
    arms = range(1, len(table.arms))
    grids = dose_grids(table)
    trends = tuple(_trend(table, metric, values, grid, rule) for grid in grids)
    correlation, ratio = final_pairing(values)
    rows = tuple(_arm(table, metric, values, i, rule) for i in arms)
    return Verdict(
        study=study,
        metric=str(metric),
        direction=metric.direction,
        margin=rule.margin,
        confidence=confidence,
        n_pairs=int((~np.isnan(values[1:] - values[0])).any(axis=0).sum()),
        complete=table.complete,
        interval=interval,
        answer=primary_answer(
            table, metric, rule, grids, [row.verdict for row in rows], scope=scope or "", remark=remark or ""
        ),
        arms=(_baseline(table, values), *rows),
        contrasts=tuple(_contrast(table, metric, values, *pair, rule) for pair in table.contrasts),
        trend=trends[0] if trends else Trend(),
        trends=trends[1:],
        pairing=Pairing(correlation=correlation, variance_ratio=ratio),
        endpoint=metric,
        dose_name=table.dose_name,
        scope=scope or "",
    )


def _baseline(table: Table, values: Floats) -> ArmResult:
    known = values[0][~np.isnan(values[0])]
    return _row(table, 0, n=int(known.size), mean=float(known.mean()) if known.size else None)


def _arm(table: Table, metric: Metric, values: Floats, arm: int, rule: Rule) -> ArmResult:
    found = compare_arms(table, metric, values, arm, 0, rule)
    paired = values[arm][~np.isnan(values[arm] - values[0])]
    row = _row(table, arm, n=found.interval.n, mean=float(paired.mean()) if paired.size else None)
    return replace(
        row,
        difference=found.interval.mean,
        low=found.interval.low,
        high=found.interval.high,
        verdict=found.verdict,
        pairs_needed=_pairs_needed(found, rule),
    )


def _row(table: Table, arm: int, *, n: int, mean: float | None) -> ArmResult:
    info, status = table.arms[arm], table.status[arm]
    return ArmResult(
        arm=info.name,
        variant=info.variant,
        alpha=info.alpha,
        site=info.site,
        n=n,
        mean=mean,
        difference=None,
        low=None,
        high=None,
        verdict=None,
        pairs_needed=None,
        diverged=int((status == "diverged").sum()),
        crashed=int((status == "crashed").sum()),
    )


def _pairs_needed(found: Comparison, rule: Rule) -> tuple[int, int, int] | None:
    interval = found.interval
    if rule.margin is None or interval.sd is None or interval.n < MIN_PAIRS:
        return None
    return pairs_needed(
        interval.sd,
        interval.n,
        rule.margin,
        comparisons=rule.comparisons,
        confidence=rule.confidence,
        interval=rule.kind,
        prior=rule.prior,
    )


def _contrast(table: Table, metric: Metric, values: Floats, arm: int, against: int, rule: Rule) -> Contrast:
    found = compare_arms(table, metric, values, arm, against, rule)
    return Contrast(
        arm=table.arms[arm].name,
        against=table.arms[against].name,
        alpha=table.arms[arm].alpha,
        n=found.interval.n,
        difference=found.interval.mean,
        low=found.interval.low,
        high=found.interval.high,
        verdict=found.verdict,
        pairs_needed=_pairs_needed(found, rule),
        declared=against != table.control(arm),
    )


def _trend(table: Table, metric: Metric, values: Floats, grid: DoseGrid, rule: Rule) -> Trend:
    found = rule.interval(seed_slopes(values, grid, (0,) * len(grid.arms)), alone=True)
    if repeated_seeds(table, metric, (0, *grid.arms)):
        found = found.unbounded
    return Trend(
        variant=grid.variant,
        slope=found.mean,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        n=found.n,
        unit=grid.unit(table.dose_name),
    )
