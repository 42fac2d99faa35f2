"""Bands around learning curves, simultaneous over an arm's evaluations.

Fewer than 10 runs: Student-t intervals with Bonferroni over at most 10 declared evaluations, drawn as bars. From 10
runs: a ribbon whose width is the quantile of the simulated maximum of separately studentized t's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.stats.inference.intervals import MIN_PAIRS, Kind, critical_value, moments
from crossnorm.stats.runs.run_table import Floats, Table

__all__ = ["ArmBand", "Bands", "bands", "ribbon_critical"]

MOST_BARS = 10
RIBBON_FROM = 10
_DRAWS = 4000
_MANY_RUNS = 100
_SIMULATION_SEED = 2104_05704


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmBand:
    """One arm's curve with its band.

    Args:
        arm: The arm's name.
        n: Number of complete runs (pairs, for differences).
        kind: "bars" or "ribbon".
        curve_steps: The evaluations that all n runs have.
        curve: Mean at `curve_steps`.
        steps: The declared evaluations among them; the band is simultaneous over these.
        mean: Mean at `steps`.
        low: Lower bounds at `steps`; nan below 3 runs, -inf while a confidence sequence is infinite.
        high: Upper bounds, likewise.
        label: The kind of interval, number of runs and simultaneity, in words.
    """

    arm: str
    n: int
    kind: Literal["bars", "ribbon"]
    curve_steps: tuple[int, ...]
    curve: Floats
    steps: tuple[int, ...]
    mean: Floats
    low: Floats
    high: Floats
    label: str


@dataclass(frozen=True, kw_only=True)
class _Request:
    """Settings of a band; `declared` None: the default evaluations."""

    level: float
    interval: Kind
    prior: float
    unit: Literal["run", "pair"]
    declared: frozenset[int] | None

    def kind(self, n: int) -> Literal["bars", "ribbon"]:
        return "ribbon" if n >= RIBBON_FROM and self.interval == "bonferroni-t" else "bars"


@dataclass(frozen=True, kw_only=True)
class Bands:
    """The bands of every arm, in the table's order."""

    metric: str
    confidence: float
    difference: bool
    arms: tuple[ArmBand, ...]


def bands(
    table: Table,
    metric: str,
    *,
    confidence: float = 0.95,
    steps: Sequence[int] | None = None,
    difference: bool = False,
    interval: Kind = "bonferroni-t",
    prior: float = 1.0,
) -> Bands:
    """Mean curve and simultaneous band of the complete runs of each arm, separately for each arm.

    Args:
        table: The runs.
        metric: The metric drawn.
        confidence: Probability that a whole band covers its mean curve.
        steps: Declared evaluations, at most 10 for bars; None: 10 evenly spaced ones, the last included, or all of
            them for a ribbon.
        difference: Bands for (arm - baseline) over pairs, without a band for the baseline.
        interval: "sequential" if pairs may be added after viewing results: confidence sequences, always as bars.
        prior: c² of the sequential test.

    Raises:
        BadInput: A metric or step is unknown, or more than 10 evaluations are declared for bars.
    """
    curves = np.where((table.status == "complete")[..., None], table.curves(metric), np.nan)
    curves = np.where(np.isfinite(curves), curves, np.nan)
    if steps is not None and (unknown := sorted(set(steps) - set(table.steps))):
        raise BadInput("steps", f"evaluations of the table ({table.steps})", unknown)
    request = _Request(
        level=1 - confidence,
        interval=interval,
        prior=prior,
        unit="pair" if difference else "run",
        declared=None if steps is None else frozenset(steps),
    )
    wanted = range(1 if difference else 0, len(table.arms))
    found = [
        _arm_band(table.arms[i].name, curves[i] - curves[0] if difference else curves[i], table.steps, request)
        for i in wanted
    ]
    return Bands(metric=metric, confidence=confidence, difference=difference, arms=tuple(found))


def ribbon_critical(curves: Floats, level: float) -> float:
    """Critical value of the largest |t| over evaluations, by simulation with the curves' own correlation.

    Draws sets of n normal curves with the correlation of the residuals; each evaluation is studentized with its own
    standard deviation. Measured coverage of the ribbon: 93 to 95 % for a nominal 95 %.

    Args:
        curves: (runs, evaluations), runs ≥ 3.
        level: 1 - confidence.
    """
    n = curves.shape[0]
    _, sd = moments(curves.T)
    moving = curves[:, sd > 0]
    if moving.shape[1] == 0:
        return critical_value(n, level)
    residual = (moving - moving.mean(axis=0)) / sd[sd > 0]
    _, singular, axes = np.linalg.svd(residual / math.sqrt(n - 1), full_matrices=False)
    factor = singular[:, None] * axes
    rng = np.random.default_rng(_SIMULATION_SEED)
    if n > max(_MANY_RUNS, 2 * len(factor)):
        return float(np.quantile(_largest_t_of_many(factor, n, rng), 1 - level))
    chunk = max(1, 2_000_000 // (n * moving.shape[1]))
    largest = [
        _largest_t(rng.standard_normal((min(chunk, _DRAWS - start), n, len(factor))) @ factor)
        for start in range(0, _DRAWS, chunk)
    ]
    return float(np.quantile(np.concatenate(largest), 1 - level))


def _largest_t(draws: Floats) -> Floats:
    """(draws, n, evaluations) → (draws,): max over evaluations of |mean| √n / sd."""
    n = draws.shape[1]
    mean = draws.mean(axis=1)
    variance = ((draws**2).sum(axis=1) - n * mean**2) / (n - 1)
    return np.asarray(np.abs(mean / np.sqrt(variance / n)).max(axis=1))


def _largest_t_of_many(factor: Floats, n: int, rng: np.random.Generator) -> Floats:
    """As `_largest_t`, from draws of the mean and scatter matrix, whose sizes do not grow with n.

    The scatter matrix of n standard normal vectors of length r is A Aᵀ with A lower triangular, A_ii² ~ χ² with
    n - 1 - i degrees of freedom (i from 0) and standard normals below (Bartlett's decomposition).
    """
    rank = len(factor)
    below = np.tril(rng.standard_normal((_DRAWS, rank, rank)), -1)
    below[:, range(rank), range(rank)] = np.sqrt(rng.chisquare(n - 1 - np.arange(rank), (_DRAWS, rank)))
    variance = ((below.transpose(0, 2, 1) @ factor) ** 2).sum(axis=1) / (n - 1)
    mean = rng.standard_normal((_DRAWS, rank)) @ factor / math.sqrt(n)
    return np.asarray(np.abs(mean / np.sqrt(variance / n)).max(axis=1))


def _arm_band(name: str, runs: Floats, all_steps: tuple[int, ...], request: _Request) -> ArmBand:
    curves, known = _usable(runs)
    at = _declared(known, all_steps, len(curves), request)
    low, high = _bounds(curves[:, at], request)
    mean = curves.mean(axis=0) if len(curves) else np.full(len(all_steps), np.nan)
    return ArmBand(
        arm=name,
        n=len(curves),
        kind=request.kind(len(curves)),
        curve_steps=tuple(all_steps[k] for k in known),
        curve=mean[known],
        steps=tuple(all_steps[k] for k in at),
        mean=mean[at],
        low=low,
        high=high,
        label=_label(len(curves), len(at), request),
    )


def _usable(runs: Floats) -> tuple[Floats, list[int]]:
    """The runs with any value, and the evaluations that all of these have."""
    there = ~np.isnan(runs)
    used = there.any(axis=1)
    return runs[used], np.flatnonzero(there[used].all(axis=0) & used.any()).tolist()


def _declared(known: list[int], all_steps: tuple[int, ...], n: int, request: _Request) -> list[int]:
    kind, declared = request.kind(n), request.declared
    if declared is not None:
        if kind == "bars" and len(declared) > MOST_BARS:
            raise BadInput("steps", f"at most {MOST_BARS} declared evaluations for bars", len(declared))
        return [k for k in known if all_steps[k] in declared]
    if kind == "ribbon" or len(known) <= MOST_BARS:
        return known
    return [known[k] for k in np.linspace(0, len(known) - 1, MOST_BARS + 1).round().astype(int)[1:]]


def _bounds(curves: Floats, request: _Request) -> tuple[Floats, Floats]:
    n, evaluations = curves.shape
    if n < MIN_PAIRS or evaluations == 0:
        return np.full(evaluations, np.nan), np.full(evaluations, np.nan)
    if request.kind(n) == "ribbon":
        critical = ribbon_critical(curves, request.level)
    else:
        critical = critical_value(n, request.level / evaluations, request.interval, prior=request.prior)
    mean, sd = moments(curves.T)
    half = np.where(sd > 0, critical * np.where(sd > 0, sd, 1.0) / math.sqrt(n), 0.0)
    return mean - half, mean + half


def _label(n: int, evaluations: int, request: _Request) -> str:
    count = f"{n} {request.unit}{'' if n == 1 else 's'}"
    if n < MIN_PAIRS:
        return f"no interval: {count}, at least {MIN_PAIRS} needed"
    share = f"{100 * (1 - request.level):g} %"
    over = f"simultaneous over {evaluations} evaluation{'' if evaluations == 1 else 's'}, separately for each arm"
    if request.kind(n) == "ribbon":
        return f"ribbon: {share} by simulated maximum of t (93 to 95 % measured under normal noise), {count}, {over}"
    if request.interval == "sequential":
        return f"bars: {share} confidence sequences (Bonferroni), {count}, {over}, valid at every interim look"
    return f"bars: {share} Student-t intervals (Bonferroni), {count}, {over}"
