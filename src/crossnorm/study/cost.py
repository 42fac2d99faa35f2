"""What a study costs: runs, steps, hours and disk, from learning curves that carry their seconds.

The curves come from stored runs, from a pilot, or from a few measured steps of the study's own model; hours of other
sizes follow from counted multiply-adds. Knows nothing of how the curves are judged.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.models import count_macs, count_parameters, create_model
from crossnorm.models.compact import Model
from crossnorm.stats import Outlook
from crossnorm.study.plan import Arm, Plan, Run, cut
from crossnorm.study.runner import build_model
from crossnorm.training.batches import steps_per_epoch

__all__ = [
    "Cost",
    "Curves",
    "Elsewhere",
    "Estimate",
    "Like",
    "Source",
    "cost_of",
    "elsewhere",
    "macs_of",
    "seconds_by_arm",
    "seconds_per_seed",
]

Curves = Mapping[Run, Sequence[Mapping[str, Any]]]
"""Learning curves by run: rows with `step`, `images` and `seconds`, by increasing step."""

Source = Literal["stored runs", "pilot", "measured steps"]

_RESULT_BYTES = 250
_PAGE_BYTES = 6_000_000  # the page carries its drawing library
_STATE = 3  # a weight and its two moments in a checkpoint, 4 bytes each
_CHECKPOINTS = 2  # the newest and the one before it
_PASSES = 3  # forward, and backward for inputs and for weights, each as much


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a study takes on this machine.

    Attributes:
        source: Where the seconds come from.
        arms: Number of arms, the baseline included.
        seeds: Number of seeds.
        runs: Arms × seeds.
        runs_done: Those that have an outcome already.
        train_examples: In one epoch's training set.
        steps: Optimiser steps of all runs.
        images: Examples that all runs train on.
        seconds_per_run: Mean over arms, of one worker.
        seconds_per_seed: One more seed of every arm, of one worker.
        workers: Worker processes that share the runs.
        hours: Until the last worker ends, were nothing done yet.
        hours_left: Of the runs that are still to do.
        disk_bytes: What stays: curves, outcomes, the page.
        disk_peak_bytes: With the checkpoints of the runs in training.
    """

    source: Source
    arms: int
    seeds: int
    runs: int
    runs_done: int
    train_examples: int
    steps: int
    images: int
    seconds_per_run: float
    seconds_per_seed: float
    workers: int
    hours: float
    hours_left: float
    disk_bytes: int
    disk_peak_bytes: int


@dataclass(frozen=True)
class Like:
    """Another size of the study: a model of `create_model`, and what of images, examples and devices differs.

    Args:
        model: Its name.
        image_size: Pixels a side; None: the model's own.
        examples: In the training set; None: the study's.
        devices: That share the work.
        tflops: TFLOP/s that one device sustains in training; None: what a worker here reaches.
    """

    model: str
    image_size: int | None = None
    examples: int | None = None
    devices: int = 1
    tflops: float | None = None


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The same study with another model or size on other devices: an estimate, nothing measured.

    Seconds of a run = seconds here × (multiply-adds × examples there) / (multiply-adds × examples here) / devices,
    as if a device computed as many multiply-adds a second as one worker here; or, where its speed is given,
    6 × multiply-adds × examples × epochs / (devices × TFLOP/s × 10¹²): 2 operations each, forward once and backward
    twice as much. Either way devices share the work without loss.
    """

    model: str
    image_size: int | None
    examples: int
    devices: int
    tflops: float | None
    macs: int
    macs_here: int
    hours_per_run: float
    hours: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would cost and what it could show, before it is run.

    Attributes:
        study: Its name.
        cost: Runs, hours, disk.
        outlook: Detectable differences and needed seeds.
        noise: Where the outlook's standard deviations come from; None: not measured.
        elsewhere: Another size of it, if asked for.
        notes: What a reader must know to read the numbers right.
        most_seeds: Whether an open-ended study may stop before all of its seeds.
    """

    study: str
    cost: Cost
    outlook: Outlook
    noise: Source | None
    elsewhere: Elsewhere | None
    notes: tuple[str, ...]
    most_seeds: bool = False

    def to_json(self) -> str:
        """All of it as JSON, keys sorted, null for what does not exist."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def seconds_by_arm(plan: Plan, curves: Curves, task: Task) -> dict[str, float]:
    """Seconds of one whole run of every arm; empty if no curve has two evaluations.

    A run takes its evaluation before training, then time in proportion to the examples it has seen (evaluations after
    each epoch included). An arm without curves takes as long as the mean of the measured arms beside the baseline.
    """
    found: dict[str, list[float]] = {}
    for run, rows in curves.items():
        timed = [row for row in rows if row.get("seconds") is not None and row.get("images") is not None]
        if len(timed) > 1:
            first, last = timed[0], timed[-1]
            rate = (last["seconds"] - first["seconds"]) / (last["images"] - first["images"])
            before = first["seconds"] if first["step"] == 0 else 0.0
            found.setdefault(run.arm, []).append(before + rate * _images(plan.arm(run.arm), task))
    means = {arm: sum(values) / len(values) for arm, values in found.items()}
    if not means:
        return {}
    others = [value for arm, value in means.items() if arm != plan.arms[0].name] or list(means.values())
    return {arm.name: means.get(arm.name, sum(others) / len(others)) for arm in plan.arms}


def cost_of(plan: Plan, task: Task, curves: Curves, *, source: Source, done: Sequence[Run] = (), workers: int) -> Cost:
    """The cost of a plan, given curves of some of its arms.

    Args:
        plan: Resolved.
        task: Its task.
        curves: Of arms of the plan; any number of seeds and epochs.
        source: Where they come from.
        done: Runs of the plan that need no training any more.
        workers: Worker processes.

    Raises:
        BadInput: No curve says how long training takes.
    """
    seconds = seconds_by_arm(plan, curves, task)
    if not seconds:
        raise BadInput(f"the {source}", "runs that get through their first steps", "none that does")
    finished = set(done)
    todo = [run for run in plan.runs if run not in finished]
    kept = _kept_bytes(plan, curves)
    members = max((len(cohort.arms) for cohort in cut(plan, todo, workers)), default=0)
    model = build_model(plan.arms[0], plan.spec.model, task, plan.seeds[0])
    checkpoints = min(len(todo), members * workers) * _CHECKPOINTS * _STATE * 4 * count_parameters(model)
    return Cost(
        source=source,
        arms=len(plan.arms),
        seeds=len(plan.seeds),
        runs=len(plan.runs),
        runs_done=len(plan.runs) - len(todo),
        train_examples=len(task.train),
        steps=len(plan.seeds) * sum(_steps(arm, task) for arm in plan.arms),
        images=len(plan.seeds) * sum(_images(arm, task) for arm in plan.arms),
        seconds_per_run=sum(seconds.values()) / len(seconds),
        seconds_per_seed=sum(seconds.values()),
        workers=workers,
        hours=_hours(plan, plan.runs, seconds, workers),
        hours_left=_hours(plan, todo, seconds, workers),
        disk_bytes=kept,
        disk_peak_bytes=kept + checkpoints,
    )


def macs_of(like: Like) -> int:
    """Multiply-adds of one example at another size.

    Raises:
        BadInput: An unknown model, a size it cannot have, counts below 1.
    """
    for name, value in (("--examples", like.examples), ("--devices", like.devices)):
        if value is not None and value < 1:
            raise BadInput(name, "at least 1", value)
    if like.tflops is not None and not 0 < like.tflops < math.inf:
        raise BadInput("--tflops", "a number above 0", like.tflops)
    settings: dict[str, Any] = {} if like.image_size is None else {"img_size": like.image_size}
    if like.model.startswith("text_"):
        settings["num_classes"] = 2  # must be given; the classes cost nothing beside the words
    return count_macs(create_model(like.model, **settings))


def elsewhere(plan: Plan, task: Task, cost: Cost, like: Like, macs: int) -> Elsewhere:
    """The hours of the same arms, seeds and epochs with another model, images or training set.

    Args:
        plan: Resolved.
        task: Its task.
        cost: On this machine.
        like: What differs.
        macs: `macs_of` it.
    """
    if "from" in plan.spec.model:
        raise BadInput("--like", "a study of a model of create_model", "one of a pretrained model")
    here = count_macs(cast("Model", build_model(plan.arms[0], plan.spec.model, task, plan.seeds[0])))
    examples = len(task.train) if like.examples is None else like.examples
    if like.tflops is None:
        per_run = cost.seconds_per_run * macs * examples / (here * len(task.train)) / like.devices
    else:
        epochs = cost.images / (cost.arms * cost.seeds * len(task.train))
        per_run = _PASSES * 2 * macs * examples * epochs / (like.devices * like.tflops * 1e12)
    return Elsewhere(
        model=like.model,
        image_size=like.image_size,
        examples=examples,
        devices=like.devices,
        tflops=like.tflops,
        macs=macs,
        macs_here=here,
        hours_per_run=per_run / 3600,
        hours=per_run * cost.seconds_per_seed / cost.seconds_per_run * cost.seeds / 3600,
    )


def seconds_per_seed(plan: Plan, results: Mapping[Run, Mapping[str, Any] | None]) -> float | None:
    """Seconds that one more seed of every arm takes one worker, from outcomes of complete runs; None without any."""
    found: dict[str, list[float]] = {}
    for run, result in results.items():
        if result is not None and result["status"] == "complete" and isinstance(result.get("seconds"), int | float):
            found.setdefault(run.arm, []).append(result["seconds"])
    means = [sum(values) / len(values) for values in found.values()]
    return len(plan.arms) * sum(means) / len(means) if means else None


def _steps(arm: Arm, task: Task) -> int:
    return steps_per_epoch(task.train, arm.training.batch_size) * arm.training.epochs


def _images(arm: Arm, task: Task) -> int:
    return _steps(arm, task) * arm.training.batch_size


def _hours(plan: Plan, runs: Sequence[Run], seconds: Mapping[str, float], workers: int) -> float:
    """Until the last worker ends, if each takes the next cohort when it is free."""
    free = [0.0] * workers
    for cohort in cut(plan, runs, workers):
        heapq.heapreplace(free, free[0] + sum(seconds[arm] for arm in cohort.arms))
    return max(free) / 3600


def _kept_bytes(plan: Plan, curves: Curves) -> int:
    """Learning curves as long as the plan's, with lines as long as those measured."""
    lines = [len(json.dumps(row)) + 1 for rows in curves.values() for row in rows]
    line = sum(lines) / len(lines)
    per_seed = sum((arm.training.epochs + 1) * line + _RESULT_BYTES for arm in plan.arms)
    return round(len(plan.seeds) * per_seed) + _PAGE_BYTES
