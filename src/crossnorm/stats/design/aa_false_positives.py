"""False-positive rates of verdicts, estimated by resampling A/A runs into small studies.

A resampled study draws pairs of runs that were treated alike and tests whether one Student-t interval excludes 0. The
share u of studies that do is a U-statistic. Resamples overlap, so the uncertainty of u depends on the pool of runs and
not on the number of resamples. For a pool that splits into K studies without a common run, Hoeffding (1963, section 5)
bounds the true rate θ: u is an average, over all ways to split the pool, of means of K independent outcomes, hence

    P(u ≥ a) ≤ exp(-K · KL(a ‖ θ))   for a ≥ θ, likewise below,   KL(a ‖ θ) = a log(a/θ) + (1-a) log((1-a)/(1-θ)),

and {θ : K · KL(u ‖ θ) ≤ log(2/δ)} covers it with confidence 1 - δ for any size of pool. A bootstrap over the pool would
be narrower but invalid at six seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from crossnorm.errors import BadInput
from crossnorm.stats.inference.intervals import MIN_PAIRS, bounds
from crossnorm.stats.runs.curve_summaries import final_pairing
from crossnorm.stats.runs.run_table import Floats

__all__ = ["FalseRate", "Scatter", "paired_scatter", "rate_bounds", "rate_of_paired", "rate_of_unpaired"]

_DRAWS = 4000
"""Number of resampled studies: adds a standard error of less than one percentage point."""


@dataclass(frozen=True, kw_only=True)
class FalseRate:
    """The share of resampled A/A studies with verdict "better" or "worse".

    Args:
        runs: Runs in the pool.
        pairs: Pairs in a resampled study.
        disjoint: K, the largest number of studies without a common run; 0: the pool is too small.
        rate: The share; None if the pool is too small.
        low: Lower bound of the true rate; 0 if the pool is too small.
        high: Upper bound; 1 if the pool is too small.
    """

    runs: int
    pairs: int
    disjoint: int
    rate: float | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Scatter of A/A arms about their baseline.

    Args:
        sd: Of paired differences, root mean square over arms; None below 3 pairs.
        correlation: Between an arm's and the baseline's values over seeds, median over arms; None where undefined.
        variance_ratio: Var(arm - baseline) / (Var(arm) + Var(baseline)), median over arms.
    """

    sd: float | None
    correlation: float | None
    variance_ratio: float | None


def rate_of_paired(values: Floats, *, pairs: int = MIN_PAIRS, confidence: float = 0.95) -> FalseRate:
    """The rate for arms that differ in one random stream: a pair is two arms of one seed.

    Given the seeds, arms are independent and identically distributed; the bounds hold for the mean rate over them.

    Args:
        values: (arms, seeds), baseline included; seeds with a nan are left out.
        pairs: Pairs in a resampled study, each of a different seed.
        confidence: Of the resampled studies' intervals and of the bounds of the rate.

    Raises:
        BadInput: There are fewer than 3 pairs, or the confidence is not between 0 and 1.
    """
    _check(pairs, confidence)
    values = values[:, ~np.isnan(values).any(axis=0)]
    arms, seeds = values.shape
    disjoint = (seeds // pairs) * (arms // 2)
    if not disjoint:
        return FalseRate(runs=values.size, pairs=pairs, disjoint=0)
    rng = np.random.default_rng(0)
    seed = _distinct(rng, (_DRAWS,), seeds, pairs)
    arm = _distinct(rng, (_DRAWS, pairs), arms, 2)
    differences = values[arm[..., 0], seed] - values[arm[..., 1], seed]
    return _rate(differences, values.size, disjoint, confidence)


def rate_of_unpaired(values: Floats, *, pairs: int = MIN_PAIRS, confidence: float = 0.95) -> FalseRate:
    """The rate for runs of different seeds, which share no random stream: any two form a pair.

    Args:
        values: (runs,), nan if missing.
        pairs: Pairs in a resampled study, formed of 2 · pairs different runs.
        confidence: Of the resampled studies' intervals and of the bounds of the rate.

    Raises:
        BadInput: There are fewer than 3 pairs, or the confidence is not between 0 and 1.
    """
    _check(pairs, confidence)
    values = values[~np.isnan(values)]
    disjoint = values.size // (2 * pairs)
    if not disjoint:
        return FalseRate(runs=values.size, pairs=pairs, disjoint=0)
    run = _distinct(np.random.default_rng(0), (_DRAWS,), values.size, 2 * pairs)
    return _rate(values[run[:, :pairs]] - values[run[:, pairs:]], values.size, disjoint, confidence)


def rate_bounds(rate: float, disjoint: int, confidence: float) -> tuple[float, float]:
    """{θ : K · KL(rate ‖ θ) ≤ log(2/δ)} as (low, high), K = `disjoint`, δ = 1 - confidence."""

    def excess(theta: float) -> float:
        kl = special.rel_entr(rate, theta) + special.rel_entr(1 - rate, 1 - theta)
        return float(disjoint * kl - math.log(2 / (1 - confidence)))

    tiny = 1e-12
    low = optimize.brentq(excess, tiny, rate) if rate > 0 and excess(tiny) > 0 else 0.0
    high = optimize.brentq(excess, rate, 1 - tiny) if rate < 1 and excess(1 - tiny) > 0 else 1.0
    return float(low), float(high)


def paired_scatter(values: Floats) -> Scatter:
    """Scatter of arms about the baseline, from final values (arms, seeds) with the baseline first."""
    differences = [row[~np.isnan(row)] for row in values[1:] - values[0]]
    variances = [row.var(ddof=1) for row in differences if row.size >= MIN_PAIRS]
    correlation, ratio = final_pairing(values)
    sd = float(np.sqrt(np.mean(variances))) if variances else None
    return Scatter(sd=sd, correlation=correlation, variance_ratio=ratio)


def _check(pairs: int, confidence: float) -> None:
    if pairs < MIN_PAIRS:
        raise BadInput("pairs", f"at least {MIN_PAIRS}", pairs)
    if not 0 < confidence < 1:
        raise BadInput("confidence", "a number between 0 and 1", confidence)


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], among: int, count: int) -> np.ndarray:
    """`count` different positions below `among`, uniform over choices and orders, (*shape, count)."""
    return np.argsort(rng.random((*shape, among)), axis=-1)[..., :count]


def _rate(differences: Floats, runs: int, disjoint: int, confidence: float) -> FalseRate:
    low, high = bounds(differences, 1 - confidence)
    rate = float(((low > 0) | (high < 0)).mean())
    bottom, top = rate_bounds(rate, disjoint, confidence)
    pairs = differences.shape[-1]
    return FalseRate(runs=runs, pairs=pairs, disjoint=disjoint, rate=rate, low=bottom, high=top)
