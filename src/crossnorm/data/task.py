"""What a task is once it is loaded, and how its inputs become what a model takes.

Knows nothing of where the arrays came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossnorm.data.catalogue import Kind

__all__ = ["Split", "Task", "prepare"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Inputs and targets, memory-mapped: processes that load the same task share the pages.

    The map is private (copy on write), so nothing done to the tensors reaches the file. Load the task again
    in another process rather than pickling it: a pickle holds a copy.

    Args:
        inputs: uint8 (n, channels, height, width) for images, float32 (n, 1, 1, length) for sequences.
        targets: int64 (n,), the index of the class.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A task in memory.

    Args:
        name: Its name in the catalogue.
        kind: ``"image"``, ``"sequence"`` or ``"text"``.
        train: The training split, in an order whose every prefix is balanced over the classes.
        test: The test split.
        n_classes: Number of classes.
        classes: Their names, by index.
        mean: Per channel, over the whole training set (pixels scaled to [0, 1]).
        std: Like ``mean``.
        image_size: (height, width); (1, length) for sequences.
        n_channels: Channels of one input.
        digest: SHA-256 of the arrays: changes whenever an input or a target does.
        augmentation: The policy that suits the task, for recipes that leave it to the task.
        model: Default keywords of ``create_model``, the name included.
        notes: What a reader of the results should know of the data ("" if nothing).
    """

    name: str
    kind: Kind
    train: Split
    test: Split
    n_classes: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int]
    n_channels: int
    digest: str
    augmentation: str
    model: Mapping[str, object]
    notes: str


def prepare(inputs: Tensor, task: Task) -> Tensor:
    """The float32 batch a model takes: (x / 255 - mean) / std per channel, without the 255 for sequences.

    Args:
        inputs: Rows of a split's inputs, (batch, channels, height, width), augmented or not.
        task: Holds the mean and the standard deviation of the training set.

    Returns:
        A new float32 tensor of the same shape, channels-last in memory, on the inputs' device.
    """
    full = 255.0 if inputs.dtype == torch.uint8 else 1.0
    mean = torch.tensor(task.mean, dtype=torch.float64)
    std = torch.tensor(task.std, dtype=torch.float64)
    # One multiplication and one subtraction: the constants are folded in float64.
    scale, shift = (x.to(inputs.device, torch.float32).view(-1, 1, 1) for x in ((1 / (full * std)), mean / std))
    return inputs.to(torch.float32, memory_format=torch.channels_last).mul(scale).sub_(shift)
