"""Statistical power of paired comparisons: detectable differences and required numbers of pairs.

With sequential intervals the numbers hold for the last analysis; stopping earlier only raises the power.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import optimize, stats

from crossnorm.errors import BadInput
from crossnorm.stats.inference.intervals import MIN_PAIRS, Kind, critical_value

__all__ = [
    "achieved_power",
    "detectable_difference",
    "pairs_for_difference",
    "pairs_for_difference_range",
    "pairs_needed",
    "sd_interval",
]

_MOST_PAIRS = 10**9
"""Larger numbers are reported as not achievable."""


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
    """Probability that the interval of n pairs excludes 0 on the correct side, given the true difference.

    P(T > critical), T noncentral t with n - 1 degrees of freedom and noncentrality |difference| √n / sd.
    """
    critical = critical_value(n, (1 - confidence) / comparisons, interval, prior=prior)
    if math.isinf(critical):
        return 0.0
    if sd == 0:
        return float(difference != 0)
    effect = abs(difference) * math.sqrt(n) / sd
    if effect > 30 and effect > 2 * critical and n > 100:  # scipy's noncentral t fails here: use the normal limit
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
    """Smallest true difference that n pairs detect with the given power.

    Args:
        sd: Standard deviation of the paired differences.
        n: Pairs.
        comparisons: Size m of the family (1 for the primary trend, with the sd of its slopes).
        confidence: Of the family.
        power: Probability of detection.
        interval: Which intervals.
        prior: c² of the sequential test.

    Returns:
        In the unit of sd; None if n pairs have no finite interval (always below 3).
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
    """Fewest pairs that detect a true difference with the given power; None if not achievable."""
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
    """`pairs_for_difference` as (likely, low, high), for the sd and the ends of its interval from n pairs."""
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

    The half-width at k pairs is critical(k) · sd / √k; low and high use the ends of the sd's interval. `likely` is at
    most n exactly if the current interval is narrow enough already.

    Args:
        sd: Estimated standard deviation of the differences.
        n: Number of pairs it was estimated from.
        margin: Target half-width.
        comparisons: Size m of the family.
        confidence: Of the family, and of the interval of the sd.
        interval: Which intervals.
        prior: c² of the sequential test.

    Returns:
        None if no number of pairs reaches the margin.
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
    """Smallest n ≥ `MIN_PAIRS` with enough(n), by bisection; enough must be monotone."""
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
