"""Intervals for a mean paired difference: Student's t for a fixed number of pairs, or a confidence sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from crossnorm.stats.inference.sequential import log_e_process, sequential_critical
from crossnorm.stats.runs.run_table import Floats

__all__ = ["MIN_PAIRS", "Interval", "Kind", "bounds", "critical_value", "interval_of_mean", "moments"]

Kind = Literal["bonferroni-t", "sequential"]

MIN_PAIRS = 3
"""Fewer pairs give no interval: with two, Student's critical value is 12.7 and the sd is a guess."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean difference with its interval; None for what does not exist.

    Args:
        n: Number of pairs.
        mean: Mean difference; None without pairs.
        sd: Standard deviation of the differences; None below `MIN_PAIRS`.
        low: Lower bound; None below `MIN_PAIRS` and while a confidence sequence is infinite.
        high: Upper bound, likewise.
        p_value: Two-sided t test; min(1, 1/E) for a confidence sequence; None below `MIN_PAIRS`.
        identical: Whether there are at least `MIN_PAIRS` pairs and all differences are 0.
    """

    n: int
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    identical: bool = False

    @property
    def unbounded(self) -> Interval:
        """The mean alone, where nothing can be said about its error; identical pairs stay what they are."""
        return self if self.identical else replace(self, sd=None, low=None, high=None, p_value=None)


def moments(differences: Floats) -> tuple[Floats, Floats]:
    """Mean and unbiased standard deviation over the last axis, (…, n ≥ 2) → (…), (…).

    Constant rows give exactly their value and 0. Scaled to avoid overflow.
    """
    _, exponent = np.frexp(np.max(np.abs(differences), axis=-1, keepdims=True))
    scaled = np.ldexp(differences, -exponent)
    constant = np.ptp(differences, axis=-1) == 0
    mean = np.where(constant, differences[..., 0], np.ldexp(scaled.mean(axis=-1), exponent[..., 0]))
    sd = np.where(constant, 0.0, np.ldexp(scaled.std(axis=-1, ddof=1), exponent[..., 0]))
    return mean, sd


def critical_value(n: int, level: float, kind: Kind = "bonferroni-t", *, prior: float = 1.0) -> float:
    """Half-width of the interval of n ≥ 2 pairs in units of s/√n, at a two-sided error level."""
    if kind == "sequential":
        return sequential_critical(n, level, prior=prior)
    return float(stats.t.isf(level / 2, n - 1))


def bounds(
    differences: Floats, level: float, kind: Kind = "bonferroni-t", *, prior: float = 1.0
) -> tuple[Floats, Floats]:
    """Interval for the mean over the last axis, (…, n ≥ 2) → low (…), high (…); infinite if undetermined.

    Equal differences have standard deviation 0 and an interval of width 0 (for a confidence sequence, once it is
    finite). If all differences are 0, the interval is [0, 0].
    """
    n = differences.shape[-1]
    mean, sd = moments(differences)
    critical = critical_value(n, level, kind, prior=prior)
    if math.isinf(critical):
        half = np.where((mean == 0) & (sd == 0), 0.0, np.inf)
    else:
        half = critical * sd / math.sqrt(n)
    return mean - half, mean + half


def interval_of_mean(differences: Floats, level: float, kind: Kind = "bonferroni-t", *, prior: float = 1.0) -> Interval:
    """The interval of one comparison, (n,) in seed order, for any n ≥ 0."""
    n = int(differences.size)
    if n == 0:
        return Interval(n=0)
    if n < MIN_PAIRS:
        return Interval(n=n, mean=float(differences.mean()))
    mean, sd = (float(x) for x in moments(differences))
    low, high = (float(x) for x in bounds(differences, level, kind, prior=prior))
    return Interval(
        n=n,
        mean=mean,
        sd=sd,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) else None,
        p_value=_p_value(differences, mean, sd, kind, prior),
        identical=mean == 0 and sd == 0,
    )


def _p_value(differences: Floats, mean: float, sd: float, kind: Kind, prior: float) -> float:
    if kind == "sequential":
        return math.exp(-max(0.0, float(log_e_process(differences, prior=prior)[-1])))
    if sd == 0:
        return 1.0 if mean == 0 else 0.0
    n = differences.size
    return float(np.clip(2 * stats.t.sf(abs(mean) / (sd / math.sqrt(n)), n - 1), 0.0, 1.0))
