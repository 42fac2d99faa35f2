"""A batch in parts: shares of several processes, micro-batches of one, and the average of their gradients.

Started by torch's own launcher (``torchrun``), every process holds the whole run, makes the same batch and computes
its share of it. Knows nothing of what a loss is or of where batches come from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.models.site_alpha import site_alphas
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["ALONE", "World", "average_gradients", "check_parts", "joined", "parts", "stream_of"]


@dataclass(frozen=True)
class World:
    """The processes that share one run: this one's rank, and how many there are."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """The world that ``torchrun`` started this process in, and this process's device; without it, `ALONE`.

    Processes talk over gloo on the CPU and NCCL on CUDA, one GPU each.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    if device.type not in ("cpu", "cuda"):
        raise BadInput("--device", "cpu or cuda with several processes", device.type)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()


def check_parts(model: nn.Module, recipe: Recipe, world: World = ALONE, examples: int | None = None) -> None:
    """Refuse what would not be the same computation once a batch is cut into parts.

    Args:
        model: With its variant.
        recipe: Supplies `accumulate` and `batch_size`.
        world: The processes.
        examples: Size of the training set, if smaller than a batch.

    Raises:
        BadInput: The variant `batch`, or fewer examples in a batch than parts.
    """
    count = world.size * recipe.accumulate
    if count == 1:
        return
    split = f"{world.size} processes × {recipe.accumulate} micro-batches"
    if any(alpha.mixing.name == "batch" for alpha in site_alphas(model).values()):
        hint = "The variant batch normalises over the whole batch, which no part of it sees."
        raise BadInput("variant batch", "one process and recipe.accumulate 1", split, hint)
    size = recipe.batch_size if examples is None else min(recipe.batch_size, examples)
    if size < count:
        raise BadInput("recipe.accumulate", f"at most one part per example of a batch of {size}", split)


def parts(batch: Tensor, accumulate: int, world: World) -> list[tuple[int, Tensor]]:
    """This process's micro-batches with their numbers: the batch is cut into ``world.size * accumulate`` parts.

    A part's number does not depend on which process has it, so that 2 processes compute what 1 process computes
    with twice the micro-batches, dropout included.
    """
    cut = torch.tensor_split(batch, world.size * accumulate)
    first = world.rank * accumulate
    return list(enumerate(cut))[first : first + accumulate]


def stream_of(stream: str, part: int) -> str:
    """The stream of random numbers of a part; the first part has the plain one."""
    return f"{stream}/part{part}" if part else stream


def average_gradients(parameters: Iterable[nn.Parameter], loss: Tensor, world: World) -> Tensor:
    """Add up gradients and loss over the processes, each already weighted by its share of the batch.

    Args:
        parameters: Their gradients are replaced; the same ones have a gradient in every process.
        loss: This process's weighted loss, a scalar.
        world: The processes; alone, nothing is done.

    Returns:
        The loss of the whole batch.
    """
    if world.size == 1:
        return loss
    gradients = [p.grad for p in parameters if p.grad is not None]
    pieces = [*(g.flatten() for g in gradients), loss.reshape(1)]
    flat = torch.cat(pieces)
    dist.all_reduce(flat)
    *summed, total = torch.split(flat, [len(piece) for piece in pieces])
    for gradient, value in zip(gradients, summed, strict=True):
        gradient.copy_(value.view_as(gradient))
    return total.squeeze(0)
