"""What a verdict is about: a logged quantity, how a run's curve of it becomes one number, and which side is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["DIRECTIONS", "Direction", "Metric"]

Direction = Literal["lower", "higher"]

DIRECTIONS: dict[str, Direction] = {"test_loss": "lower", "test_accuracy": "higher"}
"""The quantities that every evaluation of a task logs, and which side of each is better."""

_SUMMARY = re.compile(r"(.+)_(?:(auc)|steps_to_([0-9]+\.?[0-9]*|\.[0-9]+))")


@dataclass(frozen=True)
class Metric:
    """One number per run; as text, the column of a table that holds it.

    Args:
        base: The logged quantity, a column with a value at every evaluation.
        summary: "last": its last value; "auc": its mean over training (the area under its curve); "steps_to": the
            first step at which it reaches the target.
        target: Of "steps_to"; None otherwise.
        direction: Which side is better; None: unknown.

    >>> Metric.parse("test_accuracy_steps_to_0.5")
    Metric(base='test_accuracy', summary='steps_to', target=0.5, direction='lower')
    >>> str(Metric("test_loss", "auc"))
    'test_loss_auc'
    """

    base: str
    summary: Literal["last", "auc", "steps_to"] = "last"
    target: float | None = None
    direction: Direction | None = None

    @classmethod
    def parse(cls, text: str) -> Metric:
        """``BASE``, ``BASE_auc`` or ``BASE_steps_to_TARGET``; fewer steps are better, else the base decides."""
        match = _SUMMARY.fullmatch(text)
        if match is None:
            return cls(text, direction=DIRECTIONS.get(text))
        base, auc, target = match.groups()
        if auc:
            return cls(base, "auc", direction=DIRECTIONS.get(base))
        return cls(base, "steps_to", float(target), "lower")

    def __str__(self) -> str:
        if self.summary == "steps_to":
            return f"{self.base}_steps_to_{self.target:g}"
        return self.base if self.summary == "last" else f"{self.base}_auc"
