"""Data of the page's charts: curves, bands, trends and pairing, thinned and rounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossnorm.report.figures.alpha_trend import Series, series
from crossnorm.report.figures.arm_groups import POSITIONS, controls_of, declared, drawable, metrics_of, panels, spaced
from crossnorm.report.figures.style import arm_styles
from crossnorm.report.formatting import axis_name, metric_name
from crossnorm.stats import ArmBand, Table, Verdict, bands, metric_words, pairing_diagnostics

__all__ = ["chart_data", "rounded"]

Floats = NDArray[np.float64]

_NUMBERS = 120_000  # most values of individual runs on one page, about 1 MB (plotly.js: 4.8 MB)
_MEANS, _FEWEST_MEANS = 80, 30  # most evaluations of a mean curve, and the least they are reduced to
_BANDED, _FEWEST_BANDED = 40, 12  # evaluations of a ribbon, likewise
_CURVES = 180  # arms × metrics above which all but the primary metric have fewer evaluations
_SHOWN = 12  # arms that are visible initially


def chart_data(table: Table, verdict: Verdict) -> dict[str, Any]:
    """All data of the charts, ready for JSON: no NaN and no infinity.

    Individual runs are thinned to evenly spaced evaluations, first and last included, if the page would exceed 7 MB;
    means are thinned above 80 evaluations. The primary metric keeps the most. Positions and labels that several bands
    share are stored once, in ``places`` and ``labels``.
    """
    metrics, axes = metrics_of(table), _axes(table)
    columns = len(table.arms) * len(table.seeds) * (len(metrics) + len(axes))
    kept = spaced(len(table.steps), max(10, _NUMBERS // max(1, columns)))
    decided = drawable(table, verdict.metric) if metrics else None
    if decided not in metrics:  # every run diverged at once: only other metrics have curves
        decided = None
    crowd = max(1.0, len(table.arms) * len(metrics) / _CURVES)
    shared = _Shared()
    curves = {
        name: _metric(
            table, verdict, name, _Detail.of(kept, len(table.steps), 1.0 if name == decided else crowd), shared
        )
        for name in metrics
    }
    return {
        "metric": decided,
        "direction": verdict.direction,
        "dose_name": verdict.dose_name,
        "decided": metric_words(verdict.endpoint),
        "margin": verdict.margin,
        "seeds": list(table.seeds),
        "kept": kept,
        "thinned": len(kept) < len(table.steps),
        "arms": _arms(table),
        "groups": [
            {"title": group.title, "arms": [table.arms[k].name for k in group.arms]} for group in panels(table.arms)
        ],
        "axes": {name: _axis(table, name, kept) for name in ("step", *axes)},
        "metrics": curves,
        "places": [list(places) for places in shared.places],
        "labels": list(shared.labels),
        "trend": _trend(table, verdict),
        "pairing": None if decided is None else _pairing(table, decided),
    }


def rounded(values: Iterable[float], digits: int = 5) -> list[float | None]:
    """Values rounded to ``digits`` significant digits; None if not finite."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in map(float, values)]


def _arms(table: Table) -> list[dict[str, Any]]:
    styles, controls = arm_styles(table.arms), controls_of(table.arms)
    first = {table.arms[0].name, *(arm.name for arm in table.arms[1:_SHOWN])}
    return [
        {
            "name": arm.name,
            "color": styles[arm.name].color,
            "dark": styles[arm.name].dark,
            "dashed": styles[arm.name].dashed,
            "control": arm.name in controls,
            "shown": len(table.arms) <= _SHOWN or arm.name in first,
        }
        for arm in table.arms
    ]


def _axes(table: Table) -> list[str]:
    """The stored positions that change during some run."""
    moving = []
    for name in POSITIONS:
        values = table.metrics.get(name)
        if values is None or values.shape[-1] < 2:
            continue
        moves = np.diff(values, axis=-1)
        if bool((np.isfinite(moves) & (moves != 0)).any()):  # nan: not evaluated yet
            moving.append(name)
    return moving


def _axis(table: Table, name: str, kept: Sequence[int]) -> dict[str, Any]:
    """Positions: ``shared`` (steps,) if all runs agree, else ``runs`` (arms, seeds, kept) and ``mean`` by arm."""
    if name == "step":
        return {"label": axis_name(name), "shared": list(table.steps)}
    values = table.curves(name)
    flat = values.reshape(-1, len(table.steps))
    whole = flat[np.isfinite(flat).all(axis=1)]
    if len(whole) and bool(((flat == whole[0]) | np.isnan(flat)).all()):
        return {"label": axis_name(name), "shared": rounded(whole[0], 8)}
    return {
        "label": axis_name(name),
        "runs": [[rounded(run[list(kept)]) for run in arm] for arm in values],
        "mean": [rounded(_mean_over_seeds(arm)) for arm in values],
    }


def _mean_over_seeds(values: Floats) -> Floats:
    """(seeds, steps) → (steps,); nan if no seed has a value."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, there.sum(axis=0), out=np.full(total.shape, np.nan), where=there.any(axis=0)))


@dataclass(frozen=True)
class _Detail:
    """Evaluations and digits of the runs, means and bands of one metric."""

    kept: Sequence[int]
    means: int
    banded: int
    digits: int

    @classmethod
    def of(cls, kept: Sequence[int], steps: int, crowd: float) -> _Detail:
        """Full detail, reduced by the factor ``crowd``."""
        return cls(
            kept,
            means=max(_FEWEST_MEANS, int(_MEANS / crowd)),
            banded=max(_FEWEST_BANDED, int(_BANDED / crowd)),
            digits=5 if crowd == 1.0 or len(kept) == steps else 4,
        )


class _Shared:
    """Positions and labels that several bands share; each is stored once and referred to by its index."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, ...], int] = {}
        self.labels: dict[str, int] = {}

    def place(self, places: Iterable[int]) -> int:
        return self.places.setdefault(tuple(places), len(self.places))

    def label(self, label: str) -> int:
        return self.labels.setdefault(label, len(self.labels))


def _metric(table: Table, verdict: Verdict, name: str, detail: _Detail, shared: _Shared) -> dict[str, Any]:
    found = {
        kind: bands(
            table,
            name,
            confidence=verdict.confidence,
            steps=declared(table, name, detail.banded) if verdict.interval == "bonferroni-t" else None,
            difference=kind == "difference",
            interval=verdict.interval,
        )
        for kind in ("level", "difference")
    }
    return {
        "label": metric_name(name),
        "runs": [[rounded(run[list(detail.kept)], detail.digits) for run in arm] for arm in table.curves(name)],
        **{
            kind: {band.arm: _band(table, band, detail.means, shared) for band in result.arms}
            for kind, result in found.items()
        },
    }


def _band(table: Table, band: ArmBand, most: int, shared: _Shared) -> dict[str, Any]:
    """Mean and band of one arm; ``at`` and ``declared`` are indices into ``places``."""
    index = {step: k for k, step in enumerate(table.steps)}
    means = spaced(len(band.curve_steps), most)
    return {
        "n": band.n,
        "kind": band.kind,
        "label": shared.label(band.label),
        "at": shared.place(index[band.curve_steps[k]] for k in means),
        "mean": rounded(band.curve[means]),
        "declared": shared.place(index[step] for step in band.steps),
        "low": rounded(band.low),
        "high": rounded(band.high),
    }


def _trend(table: Table, verdict: Verdict) -> list[dict[str, Any]]:
    """The panels of the trend: arms over α, contrasts over α, arms without a dose."""
    titles = ("arm − baseline", "variant − control", "arms without a dose − baseline")
    return [
        {"title": title, "dosed": lines is not found[2], "lines": [_line(line) for line in lines]}
        for found in [series(table, verdict)]
        for title, lines in zip(titles, found, strict=True)
        if lines
    ]


def _line(line: Series) -> dict[str, Any]:
    rows = line.rows
    return {
        "name": line.name.replace("\n", " "),
        "label": line.name,
        "color": line.style.color,
        "dark": line.style.dark,
        "dashed": line.style.dashed,
        "alpha": [row.alpha for row in rows],
        "mean": [row.difference for row in rows],
        "low": [row.low for row in rows],
        "high": [row.high for row in rows],
        "n": [row.n for row in rows],
        "verdict": [row.verdict for row in rows],
        "seeds": [rounded(seed) for seed in line.seeds.T],
    }


def _pairing(table: Table, metric: str) -> dict[str, Any]:
    """Correlation and variance ratio of every arm with the baseline, at evenly spaced evaluations."""
    found = pairing_diagnostics(table, metric)
    at = spaced(len(table.steps), _MEANS)
    return {
        "at": at,
        "correlation": [rounded(row[at], 4) for row in found.correlation],
        "ratio": [rounded(row[at], 4) for row in found.variance_ratio],
    }
