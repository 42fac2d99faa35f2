"""Schedules: the learning rate as a function of the step, α as a function of the fraction of training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from crossnorm.errors import BadInput, unknown_name
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["AlphaSchedule", "learning_rate"]

KINDS = ("constant", "linear", "cosine", "steps")


def learning_rate(step: int, total_steps: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """Linear warm-up to `lr`, then half a cosine period or a line to `min_lr` at the last step.

    Args:
        step: 0 … total_steps - 1.
        total_steps: Of the whole training.
        steps_per_epoch: Of one epoch.
        recipe: Supplies `lr`, `lr_schedule`, `min_lr`, `warmup_lr` and `warmup_epochs`.
    """
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch), total_steps - 1)
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, total_steps - 1 - warmup)
    left = 1 - progress if recipe.lr_schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * left


@dataclass(frozen=True, kw_only=True)
class AlphaSchedule:
    """α as a function of the fraction of training: from `initial` to `final`.

    Attributes:
        kind: "constant" (always `final`), "linear", "cosine" (half a period), or "steps" (`steps` equal increments).
        final: α from `end` on.
        initial: α until `start`.
        start: Fraction of training, 0 to 1, at which α starts to change.
        end: Fraction of training, at most 1, at which α reaches `final`.
        steps: Number of increments of the kind "steps".

    Raises:
        BadInput: Unknown kind, a value that is not finite, or fractions out of order.

    Example:
        >>> AlphaSchedule(kind="linear", final=1.0, end=0.5).at(0.25)
        0.5
    """

    kind: Literal["constant", "linear", "cosine", "steps"] = "linear"
    final: float = 1.0
    initial: float = 0.0
    start: float = 0.0
    end: float = 1.0
    steps: int = 4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("AlphaSchedule.kind", self.kind, KINDS)
        if not all(map(math.isfinite, (self.final, self.initial))):
            raise BadInput("AlphaSchedule", "finite initial and final", (self.initial, self.final))
        if not 0 <= self.start < self.end <= 1:
            raise BadInput("AlphaSchedule", "0 ≤ start < end ≤ 1", (self.start, self.end))
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise BadInput("AlphaSchedule.steps", "an integer of at least 1", self.steps)

    def at(self, fraction: float) -> float:
        """α at a fraction (0 to 1) of training."""
        if self.kind == "constant":
            return self.final
        done = min(max((fraction - self.start) / (self.end - self.start), 0.0), 1.0)
        if self.kind == "cosine":
            done = 0.5 * (1 - math.cos(math.pi * done))
        elif self.kind == "steps":
            done = math.floor(done * self.steps + 1e-9) / self.steps  # tolerance for rounding
        return self.initial + (self.final - self.initial) * done
