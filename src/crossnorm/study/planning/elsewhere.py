"""The same study at another size: hours that follow from counted multiply-adds, measured nowhere.

Knows what a study costs here; knows nothing of how that was found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.models import count_macs, create_model
from crossnorm.models.compact_transformers import Model
from crossnorm.study.planning.cost import Cost
from crossnorm.study.spec.plan import Plan
from crossnorm.study.workload.cohort_run import build_model

__all__ = ["Elsewhere", "Like", "elsewhere", "macs_of"]

_PASSES = 3  # forward, and backward for inputs and for weights, each as much


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
        cost: Of the task on this machine.
        like: What differs.
        macs: `macs_of` it.
    """
    if "from" in plan.spec.model:
        raise BadInput("--like", "a study of a model of create_model", "one of a pretrained model")
    here = count_macs(cast("Model", build_model(plan.arms[0], plan.spec.model, task, plan.seeds[0])))
    assert cost.images is not None
    assert cost.seconds_per_run is not None
    assert cost.seconds_per_seed is not None
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
