"""How often verdicts err where nothing differs: A/A runs resampled into small studies, with the pool's uncertainty.

Sees final values of runs that were treated alike; knows nothing of studies, arms' names or files.

A resampled study draws pairs of such runs and asks whether one plain Student-t interval excludes 0. The share of
studies that do is a U-statistic: its resamples overlap, so their number says nothing about its uncertainty, the pool
does. A pool that can be cut into K studies without a common run bounds the true rate θ by Hoeffding's argument (1963,
section 5): the share u is an average, over all ways to cut the pool, of means of K independent outcomes, hence

    P(u ≥ a) ≤ exp(-K · KL(a ‖ θ))   for a ≥ θ, likewise below,   KL(a ‖ θ) = a log(a/θ) + (1-a) log((1-a)/(1-θ)),

and {θ : K · KL(u ‖ θ) ≤ log(2/δ)} covers it with confidence 1 - δ in any pool, however small. A bootstrap over the
pool would be narrower and, at six seeds, wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from crossnorm.errors import BadInput
from crossnorm.stats.curve_summaries import final_pairing
from crossnorm.stats.intervals import MIN_PAIRS, bounds
from crossnorm.stats.run_table import Floats

__all__ = ["FalseRate", "Scatter", "paired_scatter", "rate_bounds", "rate_of_paired", "rate_of_unpaired"]

_DRAWS = 4000
"""Resampled studies: enough that drawing, unlike the pool, adds less than one point of standard error."""


@dataclass(frozen=True, kw_only=True)
class FalseRate:
    """The share of resampled studies that call two runs treated alike "better" or "worse".

    Args:
        runs: Runs in the pool.
        pairs: Pairs in a resampled study.
        disjoint: K, the most studies without a common run that the pool holds; 0: the pool is too small.
        rate: The share; None if the pool is too small.
        low: Lower bound of the true rate, from the pool's size; 0 if that is too small.
        high: Upper bound, likewise 1.
    """

    runs: int
    pairs: int
    disjoint: int
    rate: float | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """How A/A arms scatter about their baseline.

    Args:
        sd: Of paired differences, root mean square over arms; None below 3 pairs.
        correlation: Between an arm's and the baseline's values over seeds, median over arms; None where undefined.
        variance_ratio: Var(arm - baseline) / (Var(arm) + Var(baseline)), median over arms.
    """

    sd: float | None
    correlation: float | None
    variance_ratio: float | None


def rate_of_paired(values: Floats, *, pairs: int = MIN_PAIRS, confidence: float = 0.95) -> FalseRate:
    """The rate for arms that share a seed's draws but one: pairs are two different arms of one seed.

    Given the seeds, arms are independent and alike, so the bounds are for the mean rate over these seeds.

    Args:
        values: (arms, seeds), the baseline among the arms; seeds with a nan are left out.
        pairs: Pairs in a resampled study, each of another seed.
        confidence: Of the intervals inside the studies, and of the bounds of the rate.

    Raises:
        BadInput: Fewer than 3 pairs, or a confidence out of range.
    """
    _check(pairs, confidence)
    values = values[:, ~np.isnan(values).any(axis=0)]
    arms, seeds = values.shape
    disjoint = (seeds // pairs) * (arms // 2)
    if not disjoint:
        return FalseRate(runs=values.size, pairs=pairs, disjoint=0)
    rng = np.random.default_rng(0)
    seed = _different(rng, (_DRAWS,), seeds, pairs)
    arm = _different(rng, (_DRAWS, pairs), arms, 2)
    differences = values[arm[..., 0], seed] - values[arm[..., 1], seed]
    return _rate(differences, values.size, disjoint, confidence)


def rate_of_unpaired(values: Floats, *, pairs: int = MIN_PAIRS, confidence: float = 0.95) -> FalseRate:
    """The rate for runs that share no draw, each of a seed of its own: any two make a pair.

    Args:
        values: (runs,), nan where there is none.
        pairs: Pairs in a resampled study, of 2 · pairs different runs.
        confidence: Of the intervals inside the studies, and of the bounds of the rate.

    Raises:
        BadInput: Fewer than 3 pairs, or a confidence out of range.
    """
    _check(pairs, confidence)
    values = values[~np.isnan(values)]
    disjoint = values.size // (2 * pairs)
    if not disjoint:
        return FalseRate(runs=values.size, pairs=pairs, disjoint=0)
    run = _different(np.random.default_rng(0), (_DRAWS,), values.size, 2 * pairs)
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


def _different(rng: np.random.Generator, shape: tuple[int, ...], among: int, count: int) -> np.ndarray:
    """Different positions below `among`, (*shape, count), every choice and order equally likely."""
    return np.argsort(rng.random((*shape, among)), axis=-1)[..., :count]


def _rate(differences: Floats, runs: int, disjoint: int, confidence: float) -> FalseRate:
    low, high = bounds(differences, 1 - confidence)
    rate = float(((low > 0) | (high < 0)).mean())
    bottom, top = rate_bounds(rate, disjoint, confidence)
    pairs = differences.shape[-1]
    return FalseRate(runs=runs, pairs=pairs, disjoint=disjoint, rate=rate, low=bottom, high=top)
