"""One arm against another: pairs, interval, verdict.

A pair is a seed for which both arms are complete.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.metric import Direction, Metric
from crossnorm.stats.inference.divergence import Divergence, divergence
from crossnorm.stats.inference.intervals import Interval, Kind, interval_of_mean
from crossnorm.stats.inference.repeated_seeds import repeated_seeds
from crossnorm.stats.runs.run_table import Floats, Table

__all__ = ["Comparison", "Outcome", "Rule", "compare_arms", "judge", "resolve_margin"]

Outcome = Literal["same", "better", "worse", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How differences become verdicts.

    Args:
        direction: Whether lower or higher values of the metric are better.
        margin: Differences up to this size do not matter, in the metric's unit; None: never "same".
        confidence: Of the whole family, and of the trend.
        kind: Which intervals.
        prior: c² of the sequential test.
        comparisons: Size m of the family of simultaneous intervals.
    """

    direction: Direction
    margin: float | None = None
    confidence: float = 0.95
    kind: Kind = "bonferroni-t"
    prior: float = 1.0
    comparisons: int = 1

    def __post_init__(self) -> None:
        """Validate the settings."""
        if self.direction not in ("lower", "higher"):
            raise BadInput("direction", "lower or higher", self.direction)
        if self.kind not in ("bonferroni-t", "sequential"):
            raise BadInput("interval", "bonferroni-t or sequential", self.kind)
        if not 0 < self.confidence < 1:
            raise BadInput("confidence", "a number between 0 and 1", self.confidence, "For example 0.95.")
        if not 0 < self.prior < np.inf:
            raise BadInput("prior", "a positive number (c²)", self.prior)

    @property
    def level(self) -> float:
        """Error level of a single comparison outside the family."""
        return 1 - self.confidence

    def interval(self, differences: Floats, *, alone: bool = False) -> Interval:
        """The interval of one comparison in the family or, if `alone`, with its own error level."""
        level = self.level if alone else self.level / self.comparisons
        return interval_of_mean(differences, level, self.kind, prior=self.prior)

    def better(self, difference: float) -> bool:
        """Whether a nonzero difference is an improvement."""
        return (difference < 0) == (self.direction == "lower")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An arm against its reference, with the verdict."""

    interval: Interval
    divergence: Divergence
    verdict: Outcome


def resolve_margin(margin: float | str | None, baseline: Floats) -> float | None:
    """The margin in the metric's unit; "1 %" means 1 % of the mean of the baseline's complete runs.

    Args:
        margin: A number, a percentage as text, or None.
        baseline: The baseline's values (seeds,), nan where there is none.

    Returns:
        None without a margin, or for a percentage while the baseline has no complete run.

    Raises:
        BadInput: Neither a number ≥ 0 nor a percentage.
    """
    if margin is None:
        return None
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(%?)\s*", str(margin))
    try:
        size = float(match[1]) if match else np.nan
    except ValueError:
        size = np.nan
    if match is None or not 0 <= size <= 1e100:
        raise BadInput("margin", 'a number ≥ 0, a percentage such as "1 %", or none', margin)
    if not match[2]:
        return size
    values = baseline[~np.isnan(baseline)]
    return size / 100 * abs(float(values.mean())) if values.size else None


def compare_arms(table: Table, metric: Metric, values: Floats, arm: int, reference: int, rule: Rule) -> Comparison:
    """Compare two arms by their final values (arms, seeds) of the metric, over the seeds in which both have one.

    An arm that diverges more often than its reference, or that has more complete runs without a value, cannot be
    "better" or "same". If seeds repeat the runs of others, there is no interval.
    """
    differences = values[arm] - values[reference]
    interval = rule.interval(differences[~np.isnan(differences)])
    diverged = divergence(table.status[arm], table.status[reference], rule.kind)
    verdict: Outcome
    if repeated_seeds(table, metric, (arm, reference)):
        interval = interval.unbounded
        verdict = judge(interval, rule)
    elif diverged.excess:
        verdict = "worse" if diverged.p_value <= rule.level / rule.comparisons else "undecided"
    elif lacks_values(table, values, arm) > lacks_values(table, values, reference):
        verdict = "undecided"
    else:
        verdict = judge(interval, rule)
    return Comparison(interval=interval, divergence=diverged, verdict=verdict)


def judge(interval: Interval, rule: Rule) -> Outcome:
    """The verdict of one interval: "same" inside ± margin, "better" or "worse" if it excludes 0, else "undecided".

    Identical pairs are "same" with or without a margin.
    """
    low, high = interval.low, interval.high
    if low is None or high is None:
        return "same" if interval.identical else "undecided"
    if interval.identical or (rule.margin is not None and -rule.margin <= low and high <= rule.margin):
        return "same"
    if low > 0 or high < 0:
        return "better" if rule.better(low + high) else "worse"
    return "undecided"


def lacks_values(table: Table, values: Floats, arm: int) -> int:
    """Number of complete runs without a value, such as those that never reached a target."""
    return int(((table.status[arm] == "complete") & np.isnan(values[arm])).sum())
