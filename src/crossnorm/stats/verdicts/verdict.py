"""The verdict as a value and as verdict.json."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from crossnorm.metric import Direction, Metric
from crossnorm.stats.inference.comparison import Outcome
from crossnorm.stats.inference.intervals import Kind

__all__ = ["Answer", "ArmResult", "Contrast", "Pairing", "Trend", "Verdict"]

_SHOWN_ONLY = {"stored": False}
"""Marks a field that readers are shown and verdict.json does not contain."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The primary answer: the declared trend over α of (variant - its control), with its own error level.

    Args:
        contrast: The comparison, such as "convex - attenuated"; None without a single declared comparison.
        estimate: Mean slope per `unit`; the mean difference for a single free-form arm.
        low: Lower bound; None for fewer than 3 pairs or an infinite interval.
        high: Upper bound, likewise.
        p_value: Against 0.
        verdict: From the interval, as for an arm; the margin applies at the largest dose. None without a single
            declared comparison.
        sentence: The answer in one sentence, with its scope.
        unit: What a slope is per unit of: "α", or "−α" if all doses are negative; empty without a trend. Not part of
            verdict.json.
    """

    contrast: str | None
    estimate: float | None
    low: float | None
    high: float | None
    p_value: float | None
    verdict: Outcome | None
    sentence: str
    unit: str = field(default="", metadata=_SHOWN_ONLY)


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """An arm against the baseline; `difference` = arm - baseline in the metric's unit, None for the baseline."""

    arm: str
    variant: str | None
    alpha: float | None
    site: str | None
    n: int
    mean: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Outcome | None
    pairs_needed: tuple[int, int, int] | None
    diverged: int
    crashed: int


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """An arm against a control that is not the baseline; one family with the arms.

    `pairs_needed` is as for an arm, `declared` tells a declared comparison from one with a control; neither is part of
    verdict.json.
    """

    arm: str
    against: str
    alpha: float | None
    n: int
    difference: float | None
    low: float | None
    high: float | None
    verdict: Outcome
    pairs_needed: tuple[int, int, int] | None = field(default=None, metadata=_SHOWN_ONLY)
    declared: bool = field(default=False, metadata=_SHOWN_ONLY)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Slope of a variant against the baseline, per `unit` as in the answer; None if the table has no doses."""

    variant: str | None = None
    slope: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n: int = 0
    unit: str = field(default="", metadata=_SHOWN_ONLY)


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """Effect of pairing at the last evaluation: medians over arms, None below 3 pairs.

    Args:
        correlation: Between an arm's and the baseline's values over seeds.
        variance_ratio: Var(arm - baseline) / (Var(arm) + Var(baseline)); pairing helps below 1.
    """

    correlation: float | None
    variance_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All conclusions of a study: a pure function of its table.

    Args:
        study: The study's name.
        metric: The metric that is compared.
        direction: Whether lower or higher is better.
        margin: In the metric's unit; None: only identical arms are "same".
        confidence: Of the family of arms and contrasts together, and of each trend.
        n_pairs: Number of seeds in which the baseline and at least one other arm are complete.
        complete: Whether every run has an outcome.
        interval: The kind of interval.
        answer: The primary answer.
        arms: Baseline first.
        contrasts: Arms against other arms than the baseline: their controls, and declared comparisons.
        trend: The first variant's slope against the baseline.
        trends: The other variants' slopes.
        pairing: Effect of pairing.
        endpoint: The metric with its summary; `metric` is its column. Not part of verdict.json.
        dose_name: What the doses are called. Not part of verdict.json.
        scope: Model, task and recipe; empty for a table of runs. Not part of verdict.json.
    """

    study: str
    metric: str
    direction: Direction
    margin: float | None
    confidence: float
    n_pairs: int
    complete: bool
    interval: Kind
    answer: Answer
    arms: tuple[ArmResult, ...]
    contrasts: tuple[Contrast, ...]
    trend: Trend
    trends: tuple[Trend, ...]
    pairing: Pairing
    endpoint: Metric = field(metadata=_SHOWN_ONLY)
    dose_name: str = field(default="α", metadata=_SHOWN_ONLY)
    scope: str = field(default="", metadata=_SHOWN_ONLY)

    def to_json(self) -> str:
        """Canonical JSON, to be written as UTF-8: sorted keys, 10 significant digits, null for missing values."""
        return json.dumps(_plain(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        stored = (entry.name for entry in fields(value) if entry.metadata.get("stored", True))
        return {name: _plain(getattr(value, name)) for name in stored}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.10g}") + 0.0 if math.isfinite(value) else None  # + 0.0: no negative zero
    return value
