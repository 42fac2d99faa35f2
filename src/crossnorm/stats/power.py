"""What a number of pairs can show, and how many pairs a question needs.

Knows nothing of tables; sees the standard deviation of paired differences. With sequential intervals the
numbers hold for the last look: stopping earlier only helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize, stats

from crossnorm.errors import BadInput
from crossnorm.stats.intervals import MIN_PAIRS, Kind, critical_value

__all__ = [
    "achieved_power",
    "detectable_difference",
    "pairs_for_difference",
    "pairs_for_difference_range",
    "pairs_needed",
    "sd_interval",
]

_MOST_PAIRS = 10**9
"""Nobody trains more; a question that needs more has no answer here."""


def achieved_power(
    difference: float,
    sd: float,
    n: int,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> float:
    """Chance that the interval of n pairs excludes 0 on the right side, when the true difference is this large.

    P(T > critical), T noncentral t with n - 1 degrees of freedom and noncentrality |difference| √n / sd.
    """
    critical = critical_value(n, (1 - confidence) / comparisons, interval, prior=prior)
    if math.isinf(critical):
        return 0.0
    if sd == 0:
        return float(difference != 0)
    effect = abs(difference) * math.sqrt(n) / sd
    if effect > 30 and effect > 2 * critical and n > 100:  # beyond the reach of the noncentral t: normal limit
        return float(stats.norm.sf(critical - effect))
    return float(stats.nct.sf(critical, n - 1, effect))


def detectable_difference(
    sd: float,
    n: int,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
    power: float = 0.8,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> float | None:
    """Smallest true difference that n pairs detect with the wanted power.

    Args:
        sd: Standard deviation of the paired differences.
        n: Pairs.
        comparisons: Size m of the family (1 for the declared trend, with the slopes' sd).
        confidence: Of the family.
        power: Wanted chance of detection.
        interval: Which intervals.
        prior: c² of the sequential test.

    Returns:
        In the unit of sd; None where n pairs can decide nothing (fewer than 3, or an infinite interval).
    """
    _check(sd, power, confidence)
    if n < MIN_PAIRS or math.isinf(critical_value(n, (1 - confidence) / comparisons, interval, prior=prior)):
        return None

    def missing(effect: float) -> float:
        return power - achieved_power(
            effect, 1.0, n, comparisons=comparisons, confidence=confidence, interval=interval, prior=prior
        )

    high = 1.0
    while missing(high) > 0:
        high *= 2
    return sd * float(optimize.brentq(missing, 0.0, high, xtol=1e-10))


def pairs_for_difference(
    sd: float,
    difference: float,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
    power: float = 0.8,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> int | None:
    """Fewest pairs that detect a true difference with the wanted power; None where no number does."""
    _check(sd, power, confidence)
    if difference == 0:
        return None
    return _fewest(
        lambda n: (
            achieved_power(
                difference, sd, n, comparisons=comparisons, confidence=confidence, interval=interval, prior=prior
            )
            >= power
        )
    )


def pairs_for_difference_range(
    sd: float,
    n: int,
    difference: float,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
    power: float = 0.8,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> tuple[int, int, int] | None:
    """`pairs_for_difference` as (likely, low, high): with the range that an sd from n pairs leaves."""
    found = [
        pairs_for_difference(
            scale,
            difference,
            comparisons=comparisons,
            confidence=confidence,
            power=power,
            interval=interval,
            prior=prior,
        )
        for scale in (sd, *sd_interval(sd, n, confidence=confidence))
    ]
    return _triple(found)


def pairs_needed(
    sd: float,
    n: int,
    margin: float,
    *,
    comparisons: int = 1,
    confidence: float = 0.95,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> tuple[int, int, int] | None:
    """Pairs until an interval's half-width reaches the margin: (likely, low, high).

    The half-width at k pairs is critical(k) · sd / √k. So `likely` is at most n exactly if the interval at hand
    is narrow enough already; low and high take the ends of the sd's own interval.

    Args:
        sd: Standard deviation of the differences, estimated.
        n: Pairs it was estimated from.
        margin: Wanted half-width.
        comparisons: Size m of the family.
        confidence: Of the family, and of the sd's interval.
        interval: Which intervals.
        prior: c² of the sequential test.

    Returns:
        None for a margin that no number of pairs reaches.
    """
    level = (1 - confidence) / comparisons

    def enough(scale: float) -> Callable[[int], bool]:
        def reached(k: int) -> bool:
            critical = critical_value(k, level, interval, prior=prior)
            return math.isfinite(critical) and critical * scale / math.sqrt(k) <= margin

        return reached

    return _triple([_fewest(enough(scale)) for scale in (sd, *sd_interval(sd, n, confidence=confidence))])


def sd_interval(sd: float, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Chi-square interval of a standard deviation estimated from n ≥ 2 normal differences."""
    low, high = stats.chi2.isf([(1 - confidence) / 2, (1 + confidence) / 2], n - 1)
    return sd * math.sqrt((n - 1) / low), sd * math.sqrt((n - 1) / high)


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """Smallest n ≥ `MIN_PAIRS` with enough(n), which must stay true once it is."""
    high = MIN_PAIRS
    while not enough(high):
        high *= 2
        if high > _MOST_PAIRS:
            return None
    low = max(MIN_PAIRS - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _triple(found: list[int | None]) -> tuple[int, int, int] | None:
    likely, low, high = found
    return None if likely is None or low is None or high is None else (likely, low, high)


def _check(sd: float, power: float, confidence: float) -> None:
    if not 0 <= sd < math.inf:
        raise BadInput("sd", "a number ≥ 0", sd)
    if not 0 < power < 1:
        raise BadInput("power", "a number between 0 and 1", power)
    if not 0 < confidence < 1:
        raise BadInput("confidence", "a number between 0 and 1", confidence)
