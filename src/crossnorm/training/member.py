"""A member of a cohort: one model with its optimiser and its dose, and one step of it.

Knows nothing of the other members or of where batches come from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from crossnorm.models import set_alpha
from crossnorm.seeds import addressed
from crossnorm.training.devices import autocast
from crossnorm.training.objective import logits_of, loss_of
from crossnorm.training.recipes import Recipe
from crossnorm.training.schedules import AlphaSchedule, learning_rate

__all__ = ["Member", "make_member"]

# Positions and class tokens are tables, not matrices: like biases and norms they are not decayed.
_NOT_DECAYED = ("positional_emb", "class_emb")


@dataclass(kw_only=True, eq=False)
class Member:
    """One run in training.

    Attributes:
        name: Names the run to whoever listens.
        model: On the device it trains on.
        optimizer: Over the model's parameters.
        recipe: Its own; `batch_size`, `epochs` and `augmentation` are the same for the whole cohort.
        schedule: The dose over training; None: the variant's own dose throughout.
        nuisance: 0, or a number that gives dropout a stream of its own while all else stays paired.
        step: Steps done.
        seconds: Time spent on its own steps and evaluations.
        alpha: The dose in force.
        failure: Why it left the cohort: "diverged: …" or "crashed: …"; None while it trains.
        loss_sum: Sum of the training losses since the last evaluation, kept on the device.
        loss_steps: Number of those steps.
    """

    name: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    schedule: AlphaSchedule | None = None
    nuisance: int = 0
    step: int = 0
    seconds: float = 0.0
    alpha: float = 0.0
    failure: str | None = None
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    loss_steps: int = 0

    def set_dose(self, total_steps: int) -> None:
        """Put the dose of the present step in force."""
        if self.schedule is not None:
            self.alpha = self.schedule.at(self.step / total_steps)
            set_alpha(self.model, self.alpha)

    def train_step(self, inputs: Tensor, targets: Tensor, *, seed: int, total_steps: int, steps_per_epoch: int) -> None:
        """One optimisation step on a batch that is already on the device.

        The loss is added up without being read, so that nothing waits for the device.
        """
        started = time.perf_counter()
        self.set_dose(total_steps)
        rate = learning_rate(self.step, total_steps, steps_per_epoch, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        stream = f"dropout/{self.nuisance}" if self.nuisance else "dropout"
        self.model.train()
        with addressed(seed, stream, self.step), autocast(self.recipe, inputs.device):
            logits = logits_of(self.model, inputs)
        loss = loss_of(logits, targets, self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.loss_sum = self.loss_sum.to(loss.device) + loss.detach()
        self.loss_steps += 1
        self.step += 1
        self.seconds += time.perf_counter() - started

    def take_train_loss(self) -> float | None:
        """Mean training loss since the last call; None if no step was made."""
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
    alpha: float = 0.0,
    schedule: AlphaSchedule | None = None,
    nuisance: int = 0,
) -> Member:
    """A member at step 0, its model moved to the device, with AdamW as the recipe wants it."""
    model = model.to(device)
    named = [(key, p) for key, p in model.named_parameters() if p.requires_grad]
    kept = [p for key, p in named if p.ndim < 2 or key.endswith(_NOT_DECAYED)]
    decayed = [p for key, p in named if not (p.ndim < 2 or key.endswith(_NOT_DECAYED))]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), fused=device.type != "mps")
    return Member(
        name=name,
        model=model,
        optimizer=optimizer,
        recipe=recipe,
        schedule=schedule,
        nuisance=nuisance,
        alpha=alpha,
    )
