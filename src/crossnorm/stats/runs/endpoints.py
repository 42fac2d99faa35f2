"""The endpoint that a text names in a table: a column at its last step, or a summary of a column's curve."""

from __future__ import annotations

from typing import cast

import numpy as np

from crossnorm.errors import BadInput, unknown_name
from crossnorm.metric import DIRECTIONS, Direction, Metric
from crossnorm.stats.runs.curve_summaries import with_summaries
from crossnorm.stats.runs.run_table import Floats, Table

__all__ = ["with_endpoint"]


def with_endpoint(table: Table, text: str, direction: str | None = None) -> tuple[Table, Metric]:
    """The table with a column for the endpoint, and the endpoint.

    Runs whose column ends with a value that is not finite have diverged, whatever became of their other columns.

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
    if text in table.metrics and text not in table.summaries and not _stored_summary(table, text, parsed):
        return table.judged_by(text), Metric(text, direction=_side(text, direction))
    if parsed.summary == "last" or parsed.base not in table.metrics:
        raise unknown_name("metric", text, table.metrics)
    side = _side(parsed.base, direction)
    summed = with_summaries(table.judged_by(parsed.base), parsed, side=side)
    found = summed.summaries[str(parsed)]
    if found.target is not None:
        _check_target(summed, found, side)
    return summed, found


def _stored_summary(table: Table, text: str, parsed: Metric) -> bool:
    """Whether a column of a table from a file is a summary of another one: it has one value where that has many."""
    if parsed.summary == "last" or parsed.base not in table.metrics:
        return False
    own, base = (np.isfinite(table.curves(name)).sum(axis=-1) for name in (text, parsed.base))
    return bool((own <= 1).all() and (base > 1).any())


def _side(column: str, direction: str | None) -> Direction:
    known = DIRECTIONS.get(column)
    side = direction or known
    if side not in ("lower", "higher"):
        hint = f"Say which {column} is better."
        raise BadInput("direction", "lower or higher", "none" if side is None else side, hint)
    if known not in (None, side):
        raise BadInput("direction", f"{known} for {column}", side)
    return cast("Direction", side)


def _check_target(table: Table, metric: Metric, side: Direction) -> None:
    """Refuse a target that every run has reached at its first evaluation."""
    steps = table.final(str(metric))
    reached = np.isfinite(steps)
    if reached.any() and bool((steps[reached] == _first_steps(table, metric.base)[reached]).all()):
        hint = f"The direction is the better side of {metric.base}: {side} was given."
        raise BadInput.because("metric", f"{metric}: every run has reached the target at its first evaluation", hint)


def _first_steps(table: Table, column: str) -> Floats:
    """The first evaluated step of every run, (arms, seeds)."""
    there = ~np.isnan(table.curves(column))
    return np.asarray(np.array(table.steps, dtype=np.float64)[np.argmax(there, axis=-1)])
