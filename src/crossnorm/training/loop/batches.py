"""The stream of batches of a seed: order and augmentation, each at its own address.

Every member of a cohort, and every run of the seed anywhere, sees this stream. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crossnorm.data import Photographs, Split, Task, prepare
from crossnorm.data.augment.batch import augment
from crossnorm.rng import generator

__all__ = ["steps_per_epoch", "test_batches", "train_batch"]

_TEST_BATCH = 128  # adds 24 MiB to a worker's peak, where 500 added 150
_TEST_TOKENS = 64_000  # words or tokens at a time, which bounds the memory of long texts
_TEST_PIXELS = 6_400_000  # the same for large images


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in one pass; a training set smaller than one batch is one batch."""
    return max(1, len(split) // batch_size)


def train_batch(
    task: Task, step: int, *, seed: int, batch_size: int, augmentation: str, device: torch.device, flip: str = "random"
) -> tuple[Tensor, Tensor]:
    """The batch of a step, a function of (seed, step) alone: inputs as `prepare` makes them, and targets int64.

    Inputs are (b, c, h, w) float32 with targets (b,), word ids (b, n) with targets (b,), or tokens (b, n) with targets
    (b, n).

    Args:
        task: Its training set.
        step: From 0.
        seed: Of the stream.
        batch_size: Examples a step.
        augmentation: A policy of `crossnorm.data.AUGMENTATIONS`.
        device: Where the batch is needed.
        flip: The recipe's: which images the policy mirrors.
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
    """Which rows are mirrored in an epoch: one draw an example at (seed, "flip"), turned over with every epoch."""
    at_first = torch.rand(examples, generator=generator(seed, "flip")) < 0.5
    return at_first[rows] ^ bool(epoch % 2)


def test_batches(task: Task, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The test set in its own order, in large batches."""
    shape = task.test.inputs.shape
    most = _TEST_TOKENS // shape[1] if len(shape) == 2 else _TEST_PIXELS // (shape[2] * shape[3])
    size = max(1, min(_TEST_BATCH, most))
    for first in range(0, len(task.test), size):
        rows = slice(first, first + size)
        yield prepare(task.test.inputs[rows].to(device), task), task.test.targets[rows].to(device, torch.int64)
