"""A member of a cohort: one run in training, with its model, optimizer and dose."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from crossnorm.adapters import Handle, find_handle
from crossnorm.models.site_alpha import site_alphas
from crossnorm.rng import addressed
from crossnorm.training.loop.losses import logits_of, loss_of
from crossnorm.training.loop.outcome import Outcome
from crossnorm.training.loop.site_diagnostics import site_names
from crossnorm.training.optim.build_optimizer import Joint, make_optimizer
from crossnorm.training.recipe.recipes import Recipe
from crossnorm.training.recipe.schedules import AlphaSchedule, learning_rate
from crossnorm.training.runtime.devices import autocast
from crossnorm.training.runtime.distributed import ALONE, World, average_gradients, parts, stream_of

__all__ = ["Member", "make_member"]


@dataclass(kw_only=True, eq=False)
class Member:
    """One run in training.

    Attributes:
        name: For observers.
        model: On its device.
        optimizer: Of the model's parameters.
        recipe: `batch_size`, `epochs` and `augmentation` are equal within a cohort.
        average: The model with the moving average of the weights; None without `recipe.ema`.
        schedule: α over training; None: α stays as it is in the model.
        nuisance: 0, or the number of a separate dropout stream; everything else stays paired.
        handle: Reads and sets α of the model; None: no variant.
        average_handle: Like `handle`, of `average`.
        step: Number of steps done.
        seconds: Time of its steps and evaluations.
        failure: Why it left the cohort, diverged or crashed; None while it trains.
        traceback: The traceback of its crash.
        loss_sum: Sum of the training losses since the last evaluation, on the device.
        loss_steps: Number of those losses.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer | Joint
    recipe: Recipe
    average: nn.Module | None = None
    schedule: AlphaSchedule | None = None
    nuisance: int = 0
    handle: Handle | None = None
    average_handle: Handle | None = None
    step: int = 0
    seconds: float = 0.0
    failure: Outcome | None = None
    traceback: str | None = None
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    loss_steps: int = 0

    @property
    def evaluated_model(self) -> nn.Module:
        """The average if there is one, else the model: it is evaluated and saved."""
        return self.model if self.average is None else self.average

    def alpha_columns(self) -> dict[str, float]:
        """The current α, as columns of the learning curve.

        ``alpha``; for a learned α its mean over sites and heads, also its minimum and maximum, and its mean over the
        heads of each site.
        """
        if self.handle is None:
            return {"alpha": 0.0}
        model = self.evaluated_model
        names, read = site_names(model), {path: site.read() for path, site in site_alphas(model).items()}
        heads = {names[path]: alpha if isinstance(alpha, tuple) else (alpha,) for path, alpha in read.items()}
        every = [alpha for found in heads.values() for alpha in found]
        if not self.handle.parameters():
            return {"alpha": every[0]}
        mean = sum(every) / len(every)
        sites = {f"alpha_{name}": sum(found) / len(found) for name, found in heads.items()}
        return {"alpha": mean, "alpha_mean": mean, "alpha_least": min(every), "alpha_largest": max(every), **sites}

    def set_alpha(self, total_steps: int) -> None:
        """Set α of the present step, if there is a schedule."""
        if self.schedule is not None:
            for handle in (self.handle, self.average_handle):
                if handle is not None:
                    handle.alpha = self.schedule.at(self.step / total_steps)

    def train_step(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        seed: int,
        total_steps: int,
        steps_per_epoch: int,
        world: World = ALONE,
    ) -> None:
        """One training step on a batch that is already on the device.

        The loss is summed on the device and not read, to avoid a synchronization.

        Args:
            inputs: The whole batch, also if several processes share it.
            targets: Classes (b,), or their probabilities (b, classes).
            seed: Of the run, for dropout.
            total_steps: Of the whole training.
            steps_per_epoch: Of one epoch.
            world: The processes that share the step.
        """
        started = time.perf_counter()
        self.set_alpha(total_steps)
        rate = learning_rate(self.step, total_steps, steps_per_epoch, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(inputs, targets, seed, world)
        self.update()
        self.loss_sum = self.loss_sum.to(loss.device) + loss
        self.loss_steps += 1
        self.step += 1
        self.seconds += time.perf_counter() - started

    def loss(self, inputs: Tensor, targets: Tensor, *, seed: int, part: int = 0) -> Tensor:
        """The mean training loss of a batch, or of a part of it; dropout is drawn at (seed, stream, step).

        Args:
            inputs: See `train_step`.
            targets: See `train_step`.
            seed: See `train_step`.
            part: Number of the part, which has its own dropout stream.
        """
        stream = f"dropout/{self.nuisance}" if self.nuisance else "dropout"
        with addressed(seed, stream_of(stream, part), self.step), autocast(self.recipe, inputs.device):
            logits = logits_of(self.model, inputs)
        return loss_of(logits, targets, self.recipe.label_smoothing)

    def update(self) -> None:
        """Clip the gradients, make a step of the optimizer, and update the moving average."""
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self._update_average()

    def _backward(self, inputs: Tensor, targets: Tensor, seed: int, world: World) -> Tensor:
        """Compute the gradients of the mean loss of the batch, part by part; returns that loss."""
        total = torch.zeros((), device=inputs.device)
        accumulate = self.recipe.accumulate
        for (number, part), (_, part_targets) in zip(
            parts(inputs, accumulate, world), parts(targets, accumulate, world), strict=True
        ):
            weighted = self.loss(part, part_targets, seed=seed, part=number) * (len(part) / len(inputs))
            weighted.backward()  # type: ignore[no-untyped-call]
            total += weighted.detach()
        return average_gradients(self.model.parameters(), total, world)

    def _update_average(self) -> None:
        """Average ← decay · average + (1 - decay) · weights, for the trained parameters."""
        if self.average is None:
            return
        assert self.recipe.ema is not None
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        trained = [(kept, new) for kept, new in pairs if new.requires_grad]
        update = get_ema_multi_avg_fn(self.recipe.ema)  # type: ignore[no-untyped-call]
        update([kept.data for kept, _ in trained], [new.data for _, new in trained], self.step)

    def take_train_loss(self) -> float | None:
        """Mean training loss since the last call; None if there was no step."""
        if not self.loss_steps:
            return None
        mean = float(self.loss_sum) / self.loss_steps
        self.loss_sum, self.loss_steps = torch.zeros(()), 0
        return mean


def make_member(
    name: str,
    model: nn.Module,
    recipe: Recipe,
    device: torch.device,
    *,
    schedule: AlphaSchedule | None = None,
    nuisance: int = 0,
    alpha_lr: float | None = None,
) -> Member:
    """A member at step 0, with its model on the device and the optimizer of its recipe.

    The memory format is channels-last, which makes a step of CCT-2/3x2 on a CPU a third faster.

    Args:
        name: For observers.
        model: With its variant.
        recipe: Of the run.
        device: To train on.
        schedule: See `Member`.
        nuisance: See `Member`.
        alpha_lr: Peak learning rate of a learned α; None: `ALPHA_LR`.

    Raises:
        BadInput: The optimizer does not support this model.
    """
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    handle = find_handle(model)
    learned = [] if handle is None else handle.parameters()
    average = None if recipe.ema is None else copy.deepcopy(model)
    return Member(
        name=name,
        model=model,
        optimizer=make_optimizer(model, recipe, device, doses=learned, alpha_lr=alpha_lr),
        recipe=recipe,
        average=average,
        schedule=schedule,
        nuisance=nuisance,
        handle=handle,
        average_handle=None if average is None else find_handle(average),
    )
