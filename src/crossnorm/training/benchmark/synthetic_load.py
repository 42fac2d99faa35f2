"""What a training step is made of, without a data set: a named model, a recipe, and random examples of its size.

Knows how to make a batch, a member and a step of it; knows nothing of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crossnorm.data import Task
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.models.presets import configure
from crossnorm.models.variant_sites import own_sites
from crossnorm.rng import addressed
from crossnorm.training.benchmark.noise_task import noise_task
from crossnorm.training.loop.batches import train_batch
from crossnorm.training.loop.cohort import augmentation_of, check_mixing, mixed
from crossnorm.training.loop.run_state import Member, make_member
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["Workload", "count_operations", "open_workload", "sites_of"]

_BATCHES = 4  # of training and of test examples
_ENDLESS = 10**9  # steps of a training that is always at its first


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """What is computed, on what and where.

    Attributes:
        model: Keywords of `create_model`, the name included.
        recipe: Of the training.
        task: Random examples.
        device: Where it is computed.
    """

    model: Mapping[str, Any]
    recipe: Recipe
    task: Task
    device: torch.device

    def member(self, variant: Variant | None = None) -> Member:
        """A member at its first step."""
        with addressed(0, "init"):
            model = create_model(**self.model, variant=variant)
        return make_member("member", model, self.recipe, self.device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, augmented and mixed as the recipe wants it."""
        inputs, targets = train_batch(
            self.task,
            step,
            seed=0,
            batch_size=self.recipe.batch_size,
            augmentation=augmentation_of(self.task, self.recipe),
            device=self.device,
        )
        return mixed(inputs, targets, self.task, self.recipe, seed=0, step=step, epoch=0)

    def step(self, member: Member, inputs: Tensor, targets: Tensor) -> None:
        """One training step of a member."""
        member.train_step(inputs, targets, seed=0, total_steps=_ENDLESS, steps_per_epoch=_ENDLESS)

    def loss(self, member: Member, inputs: Tensor, targets: Tensor) -> Tensor:
        """A step's forward pass; the gradients of the last step are forgotten."""
        member.model.train()
        member.optimizer.zero_grad(set_to_none=True)
        return member.loss(inputs, targets, seed=0)


def open_workload(model: Mapping[str, Any], recipe: Recipe, device: torch.device) -> Workload:
    """The workload of a model and a recipe.

    Args:
        model: Keywords of `create_model`, the name included; 10 classes for a text model that is told no other number.
        recipe: How a step is made.
        device: Where.

    Raises:
        BadInput: An unknown model or setting, or a recipe that does not suit the model's inputs.
    """
    settings = {key: value for key, value in model.items() if key != "name"}
    if str(model["name"]).startswith("text_"):
        settings = {"num_classes": 10, **settings}
    count = _BATCHES * recipe.batch_size
    task = noise_task(configure(model["name"], settings), train=count, test=count)
    augmentation_of(task, recipe)
    check_mixing(task, recipe)
    return Workload(model={"name": model["name"], **settings}, recipe=recipe, task=task, device=device)


def count_operations(workload: Workload, member: Member) -> int:
    """Floating-point operations of one training step, forward and backward: convolutions and matrix products.

    Counted by ``torch.utils.flop_counter`` while the step is computed; elementwise work is not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode  # brings triton, 90 MiB that nobody else needs

    inputs, targets = workload.batch(0)
    with FlopCounterMode(display=False) as counter:
        workload.loss(member, inputs, targets).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def sites_of(member: Member) -> tuple[str, ...]:
    """The sites that a member's model has: "attention", "pool"."""
    return tuple(dict.fromkeys(site.kind for site in own_sites(member.model)))
