"""Batches in parts: micro-batches, and data parallelism over several processes.

Started by ``torchrun``, every process has the whole model, makes the same batch and computes its part of it; gradients
are averaged.
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
    """The rank of this process, and the number of processes that share the run."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()


ALONE = World()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """The world of this process and its device, as set by ``torchrun``; without it, `ALONE`.

    Uses gloo on the CPU, and NCCL on CUDA with one GPU per process.

    Raises:
        BadInput: Several processes on a device other than the CPU or CUDA.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE, device
        return
    if device.type not in ("cpu", "cuda"):
        raise BadInput("device", "cpu or cuda with several processes", device.type)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()


def check_parts(model: nn.Module, recipe: Recipe, world: World = ALONE, examples: int | None = None) -> None:
    """Check that a batch in parts gives the same computation.

    Args:
        model: With its variant.
        recipe: Supplies `accumulate` and `batch_size`.
        world: The processes.
        examples: Size of the training set.

    Raises:
        BadInput: The variant `batch`, or fewer examples than parts in a batch.
    """
    count = world.size * recipe.accumulate
    if count == 1:
        return
    split = f"{world.size} processes × {recipe.accumulate} micro-batches"
    if any(alpha.mixing.name == "batch" for alpha in site_alphas(model).values()):
        hint = "It normalizes over the whole batch."
        raise BadInput("variant batch", "one process and recipe.accumulate 1", split, hint)
    size = recipe.batch_size if examples is None else min(recipe.batch_size, examples)
    if size < count:
        raise BadInput("recipe.accumulate", f"at most {size} parts, the examples of a batch", split)


def parts(batch: Tensor, accumulate: int, world: World) -> list[tuple[int, Tensor]]:
    """The micro-batches of this process with their numbers, of ``world.size * accumulate`` parts of the batch.

    The number of a part does not depend on the process: two processes compute the same as one process with twice as
    many micro-batches, dropout included.
    """
    pieces = torch.tensor_split(batch, world.size * accumulate)
    first = world.rank * accumulate
    return list(enumerate(pieces))[first : first + accumulate]


def stream_of(stream: str, part: int) -> str:
    """The random stream of a part; the first part has the plain name."""
    return f"{stream}/part{part}" if part else stream


def average_gradients(parameters: Iterable[nn.Parameter], loss: Tensor, world: World) -> Tensor:
    """Sum gradients and loss over the processes; both are already weighted by the size of the part.

    Args:
        parameters: Their gradients are replaced. The same parameters must have gradients in every process.
        loss: Weighted loss of this process, a scalar.
        world: The processes.

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
