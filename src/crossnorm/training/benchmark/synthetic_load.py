"""Training steps without a data set: a named model, a recipe, and random examples of the model's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crossnorm.data import Task
from crossnorm.data.batches import train_batch
from crossnorm.functional import Variant
from crossnorm.models import create_model
from crossnorm.models.presets import configure
from crossnorm.rng import addressed
from crossnorm.training.benchmark.noise_task import noise_task
from crossnorm.training.loop.cohort import augmentation_of, check_mixing, mixed
from crossnorm.training.loop.run_state import Member, make_member
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["Workload", "open_workload"]

_BATCHES = 4  # in the training set and in the test set
_ENDLESS = 10**9  # steps of the training: the learning rate stays that of the first step


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """A model, a recipe and random examples.

    Attributes:
        model: Keywords of `create_model`, the name included.
        recipe: Of the training steps.
        task: The random examples.
        device: Where the model trains.
    """

    model: Mapping[str, Any]
    recipe: Recipe
    task: Task
    device: torch.device

    def member(self, variant: Variant | None = None) -> Member:
        """A new member at step 0."""
        with addressed(0, "init"):
            model = create_model(**self.model, variant=variant)
        return make_member("member", model, self.recipe, self.device)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a step, after the recipe's augmentation and mixing."""
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


def open_workload(model: Mapping[str, Any], recipe: Recipe, device: torch.device) -> Workload:
    """Check that a model and a recipe fit together, and draw random examples for them.

    Args:
        model: Keywords of `create_model`, the name included; text models have 10 classes by default.
        recipe: Of the training steps.
        device: Where the model trains.

    Raises:
        BadInput: Unknown model or setting, or a recipe that does not support the model's inputs.
    """
    settings = {key: value for key, value in model.items() if key != "name"}
    if str(model["name"]).startswith("text_"):
        settings = {"num_classes": 10, **settings}
    examples = _BATCHES * recipe.batch_size
    task = noise_task(configure(model["name"], settings), train=examples, test=examples)
    augmentation_of(task, recipe)
    check_mixing(task, recipe)
    return Workload(model={"name": model["name"], **settings}, recipe=recipe, task=task, device=device)
