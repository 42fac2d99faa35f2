"""What a task is once it is loaded, and how its inputs become what a model takes.

Knows nothing of where the arrays came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossnorm.data.images.lazy_images import Photographs
from crossnorm.data.task_registry import Kind
from crossnorm.data.text.vocabulary import PADDING

__all__ = ["Split", "Task", "prepare"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Inputs and targets, memory-mapped: processes that load the same task share the pages.

    The map is private (copy on write), so nothing done to the tensors reaches the file. Load the task again
    in another process rather than pickling it: a pickle holds a copy.

    Args:
        inputs: uint8 (n, channels, height, width) for images, float32 (n, 1, 1, length) for sequences, word ids
            int64 (n, words) for text, padded on the right, token ids (n, tokens) of any integer type
            for language. Photographs give uint8 (rows, 3, size, size) when rows are asked for.
        targets: int64 (n,), the index of the class; for language the next tokens, like ``inputs``.
    """

    inputs: Tensor | Photographs
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def head(self, count: int) -> Split:
        """Its first ``count`` examples."""
        inputs = self.inputs.head(count) if isinstance(self.inputs, Photographs) else self.inputs[:count]
        return Split(inputs=inputs, targets=self.targets[:count])


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A task in memory.

    Args:
        name: Its name in the catalogue.
        kind: ``"image"``, ``"sequence"``, ``"text"`` (labelled) or ``"language"`` (the next token is the target).
        train: The training split, in an order whose every prefix is balanced over the classes
            (windows of language stay in the order of the file).
        test: The test split.
        n_classes: Number of classes; of tokens for language.
        classes: Their names, by index.
        mean: Per channel, over the whole training set (pixels scaled to [0, 1]); empty for words and tokens.
        std: Like ``mean``.
        image_size: (height, width); (1, length) for sequences, words and tokens.
        n_channels: Channels of one input; 1 for words and tokens.
        digest: SHA-256 of the arrays: changes whenever an input or a target does.
        augmentation: The policy that suits the task, for recipes that leave it to the task.
        model: Default keywords of ``create_model``, the name included.
        notes: What a reader of the results should know of the data ("" if nothing).
        vocabulary: Words (0 unknown, 1 padding), characters (0 unknown) or bytes, by id; empty for numbers and for
            the ids of a tokenizer of its own.
        padding: The id that stands for no word.
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
    vocabulary: tuple[str, ...] = ()
    padding: int = PADDING


def prepare(inputs: Tensor, task: Task) -> Tensor:
    """The batch a model takes.

    Images and sequences: (x / 255 - mean) / std per channel, without the 255 for sequences. Words and tokens: their
    ids, for text without the columns that are padding in every row, which change nothing beyond rounding.

    Args:
        inputs: Rows of a split's inputs, (batch, channels, height, width), augmented or not, or ids (batch, words).
        task: Holds the mean and the standard deviation of the training set.

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
    # One multiplication and one subtraction: the constants are folded in float64.
    scale, shift = (x.to(inputs.device, torch.float32).view(-1, 1, 1) for x in ((1 / (full * std)), mean / std))
    return inputs.to(torch.float32, memory_format=torch.channels_last).mul(scale).sub_(shift)
