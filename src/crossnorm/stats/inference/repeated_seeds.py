"""Seeds whose runs are those of another seed, to the bit: copied rows, or training that ignores its seed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from crossnorm.metric import Metric
from crossnorm.stats.inference.intervals import MIN_PAIRS
from crossnorm.stats.runs.run_table import Floats, Table

__all__ = ["repeated_seeds"]

_FEW = 6
_LARGEST_COUNT = 1000
_SINGLE = 1e-7
"""Relative precision of a number that was stored in 32 bits."""


def repeated_seeds(table: Table, metric: Metric, arms: Sequence[int]) -> tuple[int, ...]:
    """The seeds whose runs in all of these arms have the curve of an earlier seed; they are no independent pairs.

    Curves with few different values that are all ratios of small counts, such as an accuracy on 100 examples, may agree
    by chance: they are repeated only if all seeds agree.

    Args:
        table: The runs.
        metric: The curve is that of the column that it names or sums up.
        arms: Positions of an arm and its reference, or of all arms of a trend.
    """
    rows = sorted(set(arms))
    curves = table.curves(metric.base if metric.base in table.metrics else str(metric))[rows]
    status = table.status[rows]
    ended = np.isin(status, ("complete", "diverged")).all(axis=0) & np.isfinite(curves).any(axis=(0, 2))
    groups: dict[tuple[bytes, tuple[str, ...]], list[int]] = {}
    for s in np.flatnonzero(ended):
        whole = np.where(np.isnan(curves[:, s]), np.nan, curves[:, s])  # one bit pattern for all nan
        groups.setdefault((whole.tobytes(), tuple(status[:, s])), []).append(int(s))
    every = len(groups) == 1 and ended.sum() >= MIN_PAIRS
    repeated = [s for group in groups.values() if every or not _by_chance(curves[:, group[0]]) for s in group[1:]]
    return tuple(table.seeds[s] for s in sorted(repeated))


def _by_chance(curves: Floats) -> bool:
    """Whether another run may have the same curves by chance."""
    values = np.unique(curves[np.isfinite(curves)])
    return values.size < _FEW and all(_is_ratio(float(value)) for value in values)


def _is_ratio(value: float) -> bool:
    nearest = Fraction(value).limit_denominator(_LARGEST_COUNT)
    return abs(value - float(nearest)) <= _SINGLE * abs(value)
