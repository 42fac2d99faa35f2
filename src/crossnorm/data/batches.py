"""Training and test batches, as inputs of a model. Every run of a seed trains on the same stream of batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossnorm.data.augment.batch import augment
from crossnorm.data.images.lazy_images import Photographs
from crossnorm.rng import generator

if TYPE_CHECKING:
    from crossnorm.data.task import Split, Task

__all__ = ["prepare", "steps_per_epoch", "test_batches", "train_batch"]

# Limits of a test batch.
_TEST_EXAMPLES = 128  # adds 24 MiB to the peak memory of a worker; 500 add 150 MiB
_TEST_TOKENS = 64_000
_TEST_PIXELS = 6_400_000


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Number of full batches in an epoch; a training set smaller than a batch is one batch."""
    return max(1, len(split) // batch_size)


def train_batch(
    task: Task, step: int, *, seed: int, batch_size: int, augmentation: str, device: torch.device, flip: str = "random"
) -> tuple[Tensor, Tensor]:
    """Inputs (see `prepare`) and int64 targets of a step; they depend on (seed, step) only.

    Inputs are (b, c, h, w) float32 with targets (b,), word ids (b, n) with targets (b,), or tokens (b, n) with targets
    (b, n).

    Args:
        task: Supplies the training set.
        step: From 0.
        seed: Of the run.
        batch_size: Examples per step.
        augmentation: A policy of `crossnorm.data.augment.batch.AUGMENTATIONS`.
        device: Of the returned tensors.
        flip: "random" or "alternating", see `Recipe`.
    """
    epoch, position = divmod(step, steps_per_epoch(task.train, batch_size))
    order = torch.randperm(len(task.train), generator=generator(seed, "order", epoch))
    rows = order[position * batch_size : (position + 1) * batch_size]
    draws = generator(seed, "augment", step)
    images = task.train.inputs
    cropped = isinstance(images, Photographs) and augmentation != "none"
    inputs = images.crops(rows, draws) if isinstance(images, Photographs) and cropped else images[rows]
    if augmentation != "none":
        mirrored = _alternating(rows, len(task.train), seed, epoch) if flip == "alternating" else None
        inputs = augment(inputs, augmentation, draws, cropped=cropped, mirrored=mirrored)
    return prepare(inputs.to(device), task), task.train.targets[rows].to(device, torch.int64)


def _alternating(rows: Tensor, examples: int, seed: int, epoch: int) -> Tensor:
    """The rows to mirror in an epoch: drawn once per example at (seed, "flip"), inverted in every second epoch."""
    first = torch.rand(examples, generator=generator(seed, "flip")) < 0.5
    return first[rows] ^ bool(epoch % 2)


def test_batches(task: Task, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The test set in batches, in its own order."""
    shape = task.test.inputs.shape
    most = _TEST_TOKENS // shape[1] if len(shape) == 2 else _TEST_PIXELS // (shape[2] * shape[3])
    size = max(1, min(_TEST_EXAMPLES, most))
    for first in range(0, len(task.test), size):
        rows = slice(first, first + size)
        yield prepare(task.test.inputs[rows].to(device), task), task.test.targets[rows].to(device, torch.int64)


def prepare(inputs: Tensor, task: Task) -> Tensor:
    """Convert rows of a split to model inputs.

    Images and sequences: (x / 255 - mean) / std per channel, without the 255 for sequences. Texts and language: the
    ids; columns of a text batch that are padding in every row are dropped.

    Args:
        inputs: (batch, channels, height, width), augmented or not, or ids (batch, words).
        task: Supplies the mean and the standard deviation of the training set.

    Returns:
        A new tensor of the same shape, float32 and channels-last in memory, or int64 ids, on the inputs' device.
    """
    if task.kind == "language":
        return inputs.to(torch.int64)
    if task.kind == "text":
        longest = int((inputs != task.padding).sum(1).max())
        return inputs[:, :longest]
    full = 255.0 if inputs.dtype == torch.uint8 else 1.0
    mean = torch.tensor(task.mean, dtype=torch.float64)
    std = torch.tensor(task.std, dtype=torch.float64)
    # One multiplication and one subtraction, with constants computed in float64.
    scale, shift = (x.to(inputs.device, torch.float32).view(-1, 1, 1) for x in ((1 / (full * std)), mean / std))
    return inputs.to(torch.float32, memory_format=torch.channels_last).mul(scale).sub_(shift)
