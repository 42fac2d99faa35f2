"""Build the optimizer of a recipe: AdamW, or Muon combined with AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from crossnorm.errors import BadInput
from crossnorm.training.optim.muon import Muon
from crossnorm.training.recipe.recipes import ALPHA_LR, Recipe

__all__ = ["Joint", "make_optimizer"]

# Without weight decay, like biases and norms.
_NOT_DECAYED = ("positional_emb", "class_emb")


class Joint:
    """Several optimizers of one model, with the part of the interface of `torch.optim.Optimizer` that training uses.

    Args:
        optimizers: Over disjoint parameters, in a fixed order.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers, as references."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset every gradient."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        """One step of every optimizer."""
        for optimizer in self.optimizers:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """As in torch, with parameters numbered across the optimizers."""
        states: dict[int, Any] = {}
        groups: list[dict[str, Any]] = []
        first = 0
        for optimizer in self.optimizers:
            own = optimizer.state_dict()
            states |= {first + number: state for number, state in own["state"].items()}
            groups += [{**group, "params": [first + n for n in group["params"]]} for group in own["param_groups"]]
            first += sum(len(group["params"]) for group in own["param_groups"])
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every optimizer."""
        groups = iter(state_dict["param_groups"])
        for optimizer in self.optimizers:
            own = [next(groups) for _ in optimizer.param_groups]
            numbers = {number for group in own for number in group["params"]}
            states = {number: state for number, state in state_dict["state"].items() if number in numbers}
            optimizer.load_state_dict({"state": states, "param_groups": own})


def make_optimizer(
    model: nn.Module,
    recipe: Recipe,
    device: torch.device,
    *,
    doses: Sequence[nn.Parameter] = (),
    alpha_lr: float | None = None,
) -> Optimizer | Joint:
    """The optimizer of a recipe over the trainable parameters of a model.

    Args:
        model: On its device.
        recipe: Supplies `optimizer`, `lr`, `weight_decay` and `beta2`.
        device: Of the model.
        doses: Learned doses, which have no weight decay and their own learning rate.
        alpha_lr: Peak learning rate of the doses; None: `ALPHA_LR`.

    Raises:
        BadInput: Muon for a model without linear layers in a list of blocks.
    """
    matrices = [] if recipe.optimizer == "adamw" else _matrices(model, recipe)
    if recipe.optimizer == "muon-filters":
        matrices += _inner_filters(model)
    excluded = {id(p) for p in (*doses, *matrices)}
    named = [(key, p) for key, p in model.named_parameters() if p.requires_grad and id(p) not in excluded]
    plain = [p for key, p in named if p.ndim < 2 or key.endswith(_NOT_DECAYED)]
    decayed = [p for key, p in named if not (p.ndim < 2 or key.endswith(_NOT_DECAYED))]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    if doses:
        groups.append({"params": list(doses), "weight_decay": 0.0, "scale": (alpha_lr or ALPHA_LR) / recipe.lr})
    adamw = torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, recipe.beta2), fused=device.type != "mps")
    if not matrices:
        return adamw
    return Joint(Muon(matrices, lr=recipe.lr, weight_decay=recipe.weight_decay), adamw)


def _matrices(model: nn.Module, recipe: Recipe) -> list[Tensor]:
    """The weights of the linear layers in the model's lists of blocks: no embeddings, filters, pooling or head.

    Raises:
        BadInput: There are none.
    """
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    linear = {id(m): m for blocks in lists for m in blocks.modules() if isinstance(m, nn.Linear)}  # lists may nest
    found = [layer.weight for layer in linear.values() if layer.weight.requires_grad]
    if not found:
        expected = "adamw, because the model has no linear layers in a list of blocks"
        raise BadInput("recipe.optimizer", expected, recipe.optimizer)
    return found


def _inner_filters(model: nn.Module) -> list[Tensor]:
    """The filters of every convolution but the first."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [layer.weight for layer in convolutions[1:] if layer.weight.requires_grad]
