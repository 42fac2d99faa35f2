"""The cost of a study: runs, steps, hours and disk.

Times come from the learning curves of stored runs, of a pilot, or of a few measured steps. Where a function trains,
only complete runs give times.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from crossnorm.data import Task
from crossnorm.data.batches import steps_per_epoch
from crossnorm.errors import BadInput
from crossnorm.models import count_parameters
from crossnorm.study.planning.durations import of_every_arm
from crossnorm.study.spec.plan import Arm, Plan, Run, cut
from crossnorm.study.workload.build_model import build_model

__all__ = [
    "Cost",
    "Curves",
    "Source",
    "cost_of",
    "cost_of_runs",
    "seconds_by_arm",
]

Curves = Mapping[Run, Sequence[Mapping[str, Any]]]
"""Learning curves by run: rows with `step`, `images` and `seconds`, in order of steps."""

Source = Literal["stored runs", "pilot", "measured steps"]

_RESULT_BYTES = 250
_PAGE_BYTES = 6_000_000  # report.html includes plotly
_STATE = 3  # values per weight in a checkpoint: itself and two moments, 4 bytes each
_CHECKPOINTS = 2  # the newest and the one before it


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of a study on this machine; None: not measured, or not known where a function trains.

    Attributes:
        source: The source of the times.
        arms: Number of arms, with the baseline.
        seeds: Number of seeds.
        runs: Arms × seeds.
        runs_done: Number of runs with a final outcome.
        train_examples: Examples per epoch.
        parameters: Number of parameters of the model.
        steps: Optimizer steps of all runs.
        images: Examples of all runs, over all epochs.
        seconds_per_run: Worker seconds of a run, averaged over arms.
        seconds_per_seed: Worker seconds of one seed of every arm.
        workers: Number of worker processes.
        hours: Hours of the whole study.
        hours_left: Hours of the runs without a final outcome.
        disk_bytes: Bytes of the finished study: curves, outcomes, report.
        disk_peak_bytes: The same with the checkpoints of the runs in training.
    """

    source: Source | None
    arms: int
    seeds: int
    runs: int
    runs_done: int
    train_examples: int | None = None
    parameters: int | None = None
    steps: int | None = None
    images: int | None = None
    seconds_per_run: float | None = None
    seconds_per_seed: float | None = None
    workers: int
    hours: float | None = None
    hours_left: float | None = None
    disk_bytes: int | None = None
    disk_peak_bytes: int | None = None


def seconds_by_arm(plan: Plan, curves: Curves, task: Task) -> dict[str, float]:
    """Seconds of one run of every arm, from learning curves; empty if no curve has two evaluations.

    Seconds = the evaluation before training + a rate per example × the examples of a whole run. An arm without curves
    gets the mean of the measured arms without the baseline.
    """
    found: dict[str, list[float]] = {}
    for run, rows in curves.items():
        timed = [row for row in rows if row.get("seconds") is not None and row.get("images") is not None]
        if len(timed) > 1:
            first, last = timed[0], timed[-1]
            rate = (last["seconds"] - first["seconds"]) / (last["images"] - first["images"])
            before = first["seconds"] if first["step"] == 0 else 0.0
            found.setdefault(run.arm, []).append(before + rate * _images(plan.arm(run.arm), task))
    return of_every_arm(plan, found)


def cost_of_runs(
    plan: Plan, seconds: Mapping[str, float], *, source: Source, done: Sequence[Run] = (), workers: int
) -> Cost:
    """Runs and hours of a plan.

    Args:
        plan: The plan.
        seconds: Seconds of one run of every arm; empty: not measured.
        source: The source of the seconds.
        done: Runs of the plan with a final outcome.
        workers: Number of worker processes.
    """
    todo = _todo(plan, done)
    cost = Cost(
        source=source if seconds else None,
        arms=len(plan.arms),
        seeds=len(plan.seeds),
        runs=len(plan.runs),
        runs_done=len(plan.runs) - len(todo),
        workers=workers,
    )
    if not seconds:
        return cost
    return replace(
        cost,
        seconds_per_run=sum(seconds.values()) / len(seconds),
        seconds_per_seed=sum(seconds.values()),
        hours=_hours(plan, plan.runs, seconds, workers),
        hours_left=_hours(plan, todo, seconds, workers),
    )


def cost_of(plan: Plan, task: Task, curves: Curves, *, source: Source, done: Sequence[Run] = (), workers: int) -> Cost:
    """The cost of a plan for a task.

    Args:
        plan: The compiled plan.
        task: Its task.
        curves: Learning curves of some of its arms, of any number of seeds and epochs.
        source: The source of the curves.
        done: Runs of the plan with a final outcome.
        workers: Number of worker processes.

    Raises:
        BadInput: No curve has two evaluations.
    """
    seconds = seconds_by_arm(plan, curves, task)
    if not seconds:
        raise BadInput.because(f"the {source}", "every run failed in its first steps, so no time was measured")
    todo, kept = _todo(plan, done), _kept_bytes(plan, curves)
    members = max((len(cohort.arms) for cohort in cut(plan, todo, workers)), default=0)
    model = build_model(plan.arms[0], plan.spec.model, task, plan.seeds[0])
    parameters = count_parameters(model)
    checkpoints = min(len(todo), members * workers) * _CHECKPOINTS * _STATE * 4 * parameters
    return replace(
        cost_of_runs(plan, seconds, source=source, done=done, workers=workers),
        train_examples=len(task.train),
        parameters=parameters,
        steps=len(plan.seeds) * sum(_steps(arm, task) for arm in plan.arms),
        images=len(plan.seeds) * sum(_images(arm, task) for arm in plan.arms),
        disk_bytes=kept,
        disk_peak_bytes=kept + checkpoints,
    )


def _todo(plan: Plan, done: Sequence[Run]) -> list[Run]:
    finished = set(done)
    return [run for run in plan.runs if run not in finished]


def _steps(arm: Arm, task: Task) -> int:
    return steps_per_epoch(task.train, arm.training.batch_size) * arm.training.epochs


def _images(arm: Arm, task: Task) -> int:
    return _steps(arm, task) * arm.training.batch_size


def _hours(plan: Plan, runs: Sequence[Run], seconds: Mapping[str, float], workers: int) -> float:
    """Hours until the last worker ends, if each takes the next cohort when it is free."""
    free = [0.0] * workers
    for cohort in cut(plan, runs, workers):
        heapq.heapreplace(free, free[0] + sum(seconds[arm] for arm in cohort.arms))
    return max(free) / 3600


def _kept_bytes(plan: Plan, curves: Curves) -> int:
    """Bytes of learning curves of the plan's length with lines of the measured length, of outcomes and report."""
    lines = [len(json.dumps(row)) + 1 for rows in curves.values() for row in rows]
    line = sum(lines) / len(lines)
    per_seed = sum((arm.training.epochs + 1) * line + _RESULT_BYTES for arm in plan.arms)
    return round(len(plan.seeds) * per_seed) + _PAGE_BYTES
