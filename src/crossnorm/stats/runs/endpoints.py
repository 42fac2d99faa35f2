"""The endpoint that a text names in a table: a column at its last step, or a summary of a column's curve."""

from __future__ import annotations

from typing import cast

import numpy as np

from crossnorm.errors import BadInput, unknown_name
from crossnorm.metric import DIRECTIONS, Direction, Metric
from crossnorm.stats.runs.curve_summaries import with_summaries
from crossnorm.stats.runs.run_table import Table

__all__ = ["with_endpoint"]


def with_endpoint(table: Table, text: str, direction: str | None = None) -> tuple[Table, Metric]:
    """The table with a column for the endpoint, and the endpoint.

    Args:
        table: The runs.
        text: A column; else ``COLUMN_auc``, the mean of its curve over the steps, or ``COLUMN_steps_to_TARGET``, the
            first step at which it reaches the target.
        direction: Which side of the column is better, lower or higher; None: known for test_loss and test_accuracy.
            Fewer steps to a target are always better.

    Raises:
        BadInput: There is no such column, the direction is missing or wrong, or every run has reached the target at
            its first evaluation.
    """
    parsed = Metric.parse(text)
    summarizes = parsed.summary != "last" and _has_curve(table, parsed.base)
    if not summarizes or _has_curve(table, text):
        if text not in table.metrics:
            summaries = [f"{name}_auc" for name in table.metrics] if parsed.summary != "last" else []
            raise unknown_name("metric", text, [*table.metrics, *summaries])
        return table, Metric(text, direction=_side(text, direction))
    side = _side(parsed.base, direction)
    summed = with_summaries(table, parsed, side=side)
    if parsed.target is None:
        return summed, Metric(parsed.base, "auc", direction=side)
    steps = summed.final(str(parsed))
    if np.isfinite(steps).any() and bool((steps[np.isfinite(steps)] == _first_steps(table, parsed.base, steps)).all()):
        hint = f"The direction is the better side of {parsed.base}: {side} was given."
        raise BadInput.because("metric", f"{text}: every run has reached the target at its first evaluation", hint)
    return summed, parsed


def _has_curve(table: Table, column: str) -> bool:
    """Whether some run has several values of the column; summaries have one."""
    values = table.metrics.get(column)
    return values is not None and bool(((~np.isnan(values)).sum(axis=-1) > 1).any())


def _side(column: str, direction: str | None) -> Direction:
    known = DIRECTIONS.get(column)
    side = direction or known
    if side not in ("lower", "higher"):
        raise BadInput(
            "direction", "lower or higher", "none" if side is None else side, f"Say which {column} is better."
        )
    if known not in (None, side):
        raise BadInput("direction", f"{known} for {column}", side)
    return cast("Direction", side)


def _first_steps(table: Table, column: str, like: np.ndarray) -> np.ndarray:
    """The first evaluated step of the runs that have reached the target."""
    there = ~np.isnan(table.metrics[column])
    first = np.array(table.steps, dtype=np.float64)[np.argmax(there, axis=-1)]
    return np.asarray(first[np.isfinite(like)])
