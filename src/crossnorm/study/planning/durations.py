"""How long the complete runs of a study took, by arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crossnorm.study.spec.plan import Plan, Run
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["of_every_arm", "seconds_of_outcomes", "seconds_per_seed"]


def seconds_of_outcomes(plan: Plan, results: Mapping[Run, Mapping[str, Any] | None]) -> dict[str, float]:
    """Seconds of one run of every arm, from complete runs; empty without any."""
    found: dict[str, list[float]] = {}
    for run, result in results.items():
        if result is None or result["status"] != RunStatus.COMPLETE:
            continue
        if isinstance(result.get("seconds"), int | float):
            found.setdefault(run.arm, []).append(result["seconds"])
    return of_every_arm(plan, found)


def seconds_per_seed(plan: Plan, results: Mapping[Run, Mapping[str, Any] | None]) -> float | None:
    """Worker seconds of one seed of every arm, from complete runs; None without any."""
    return sum(seconds_of_outcomes(plan, results).values()) or None


def of_every_arm(plan: Plan, found: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means by arm; an arm without values gets the mean of the other arms without the baseline."""
    means = {arm: sum(values) / len(values) for arm, values in found.items()}
    if not means:
        return {}
    others = [value for arm, value in means.items() if arm != plan.arms[0].name] or list(means.values())
    return {arm.name: means.get(arm.name, sum(others) / len(others)) for arm in plan.arms}
