"""The training loop: the members of a cohort train in lock step on one stream of batches.

Each member has the same bits as when it trains alone: batches are drawn at (seed, step), dropout at
(seed, stream, step), and members share no arithmetic. A member that fails is dropped; the others continue.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from crossnorm.data import Task
from crossnorm.data.augment.mixup import mix_batch
from crossnorm.data.batches import steps_per_epoch, test_batches, train_batch
from crossnorm.errors import BadInput
from crossnorm.rng import address
from crossnorm.training.loop.evaluation import evaluate
from crossnorm.training.loop.losses import logits_of
from crossnorm.training.loop.outcome import Outcome, RunStatus, cause_of
from crossnorm.training.loop.run_state import Member
from crossnorm.training.loop.site_diagnostics import site_diagnostics
from crossnorm.training.recipe.recipes import Recipe
from crossnorm.training.runtime.devices import autocast
from crossnorm.training.runtime.distributed import ALONE, World, check_parts

__all__ = ["Observer", "SilentObserver", "augmentation_of", "check_mixing", "mixed", "train_cohort"]

_PROBE = 64  # test examples for the site diagnostics

Row = dict[str, float | int | None]


class Observer(Protocol):
    """Callbacks of a cohort."""

    def evaluated(self, member: Member, row: Row) -> None:
        """A member was evaluated; `row` is the new row of its learning curve. The member may be saved now."""

    def failed(self, member: Member) -> None:
        """A member failed and is dropped; the reason is `member.failure`."""

    def stepped(self, members: int) -> None:
        """This many members made one step."""


class SilentObserver:
    """An observer that does nothing: for processes that do not write, and for curves that are not kept."""

    def evaluated(self, member: Member, row: Row) -> None:
        """Do nothing."""

    def failed(self, member: Member) -> None:
        """Do nothing."""

    def stepped(self, members: int) -> None:
        """Do nothing."""


def augmentation_of(task: Task, recipe: Recipe) -> str:
    """The augmentation policy of a recipe on a task.

    Raises:
        BadInput: An image policy for a task without images, or `flip` without augmentation.
    """
    policy = task.augmentation if recipe.augmentation == "task" else recipe.augmentation
    if policy != "none" and task.kind != "image":
        hint = "Set it to none."
        raise BadInput("recipe.augmentation", f"'task' or 'none' for {task.name}, which has no images", policy, hint)
    if policy == "none" and recipe.flip != "random":
        raise BadInput("recipe.flip", "random, because augmentation is none", recipe.flip)
    return policy


def check_mixing(task: Task, recipe: Recipe) -> None:
    """Check that the task supports the recipe's Mixup and CutMix.

    Raises:
        BadInput: CutMix without images, or Mixup for texts or language.
    """
    hint = "Set it to 0."
    if recipe.mixup and task.kind in ("text", "language"):
        raise BadInput("recipe.mixup", f"0 for {task.name}, whose inputs are words", recipe.mixup, hint)
    if recipe.cutmix and task.kind != "image":
        raise BadInput("recipe.cutmix", f"0 for {task.name}, which has no images", recipe.cutmix, hint)


def mixed(
    inputs: Tensor, targets: Tensor, task: Task, recipe: Recipe, *, seed: int, step: int, epoch: int
) -> tuple[Tensor, Tensor]:
    """The batch after the recipe's Mixup or CutMix, drawn at (seed, "mix", step)."""
    if not (recipe.mixup or recipe.cutmix) or (recipe.mix_epochs is not None and epoch >= recipe.mix_epochs):
        return inputs, targets
    draws = np.random.default_rng(address(seed, "mix", step))
    return mix_batch(inputs, targets, task.n_classes, mixup=recipe.mixup, cutmix=recipe.cutmix, draws=draws)


def train_cohort(
    members: Sequence[Member],
    task: Task,
    *,
    seed: int,
    device: torch.device,
    observer: Observer,
    world: World = ALONE,
) -> None:
    """Train every member to the last step, with an evaluation before training and after every epoch.

    After a resume members may be at different steps; each joins when the stream reaches its step.

    Args:
        members: Of one seed, with equal `batch_size`, `epochs`, `augmentation`, `flip`, `mixup`, `cutmix` and
            `mix_epochs`.
        task: To train on.
        seed: Of the members.
        device: Of the members' models.
        observer: Called after every evaluation, failure and step.
        world: The processes that share every step; each makes the same calls and evaluates separately.

    Raises:
        BadInput: The task does not support the recipe's augmentation or mixing, or the variant `batch` with a batch
            in parts.
    """
    recipe = members[0].recipe
    per_epoch = steps_per_epoch(task.train, recipe.batch_size)
    total = per_epoch * recipe.epochs
    augmentation = augmentation_of(task, recipe)
    check_mixing(task, recipe)
    for member in members:
        check_parts(member.model, member.recipe, world, len(task.train))
    _evaluate_all([m for m in members if m.step == 0], task, per_epoch, total, device, observer)
    for step in range(min(m.step for m in members), total):
        present = [m for m in members if m.failure is None and m.step == step]
        if not present:
            continue
        started = time.perf_counter()
        inputs, targets = train_batch(
            task,
            step,
            seed=seed,
            batch_size=recipe.batch_size,
            augmentation=augmentation,
            device=device,
            flip=recipe.flip,
        )
        inputs, targets = mixed(inputs, targets, task, recipe, seed=seed, step=step, epoch=step // per_epoch)
        share = (time.perf_counter() - started) / len(present)
        for member in present:
            member.seconds += share
            try:
                member.train_step(inputs, targets, seed=seed, total_steps=total, steps_per_epoch=per_epoch, world=world)
            except Exception as error:
                _crash(member, error, observer)
        observer.stepped(len(present))
        if (step + 1) % per_epoch == 0:
            _evaluate_all([m for m in present if m.failure is None], task, per_epoch, total, device, observer)


def _evaluate_all(
    members: Sequence[Member], task: Task, per_epoch: int, total: int, device: torch.device, observer: Observer
) -> None:
    for member in members:
        member.set_alpha(total)
    try:
        results = evaluate(members, task, device)
        sites = [_diagnose(member, task, device) for member in members]
    except Exception as error:
        if len(members) == 1:
            _crash(members[0], error, observer)
        else:  # one has failed: evaluate them one by one
            for member in members:
                _evaluate_all([member], task, per_epoch, total, device, observer)
        return
    for member, metrics, diagnostics in zip(members, results, sites, strict=True):
        alpha = member.alpha_columns()
        row: Row = {
            "step": member.step,
            "epoch": member.step // per_epoch,
            "images": member.step * member.recipe.batch_size,
            "seconds": round(member.seconds, 3),
            "alpha": alpha.pop("alpha"),
            "train_loss": member.take_train_loss(),
            **metrics,
            **alpha,
            **diagnostics,
        }
        if member.average is not None:
            row["averaged"] = True
        bad = [key for key in ("train_loss", *metrics) if not math.isfinite(row[key] or 0.0)]
        observer.evaluated(member, {key: _finite_or_none(value) for key, value in row.items()})
        if bad:
            reason = f"{', '.join(bad)} not finite at step {member.step}"
            member.failure = Outcome(RunStatus.DIVERGED, reason)
            observer.failed(member)


def _diagnose(member: Member, task: Task, device: torch.device) -> dict[str, float]:
    """The site diagnostics of a member on the first test examples."""
    started = time.perf_counter()
    inputs = next(test_batches(task, device))[0][:_PROBE]
    with autocast(member.recipe, device):
        model = member.evaluated_model
        found = site_diagnostics(model, lambda: logits_of(model, inputs))
    member.seconds += time.perf_counter() - started
    return found


def _finite_or_none(value: float | int | None) -> float | int | None:
    return value if value is None or math.isfinite(value) else None


def _crash(member: Member, error: Exception, observer: Observer) -> None:
    where = traceback.extract_tb(error.__traceback__)[-1]
    reason = f"{type(error).__name__}: {str(error) or 'no message'} ({where.name}, line {where.lineno})"
    member.failure = Outcome(RunStatus.CRASHED, reason, cause_of(error))
    member.traceback = "".join(traceback.format_exception(error))
    observer.failed(member)
