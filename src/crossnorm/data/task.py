"""A loaded task, and the conversion of its inputs to a model's inputs."""

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
    """Inputs and targets, memory-mapped: processes that load the same task share the memory.

    The map is copy on write: changes to the tensors do not reach the file. Load the task in each process instead of
    pickling it, since a pickle holds a copy.

    Args:
        inputs: uint8 (n, channels, height, width) for images, float32 (n, 1, 1, length) for sequences, word ids
            int64 (n, words) for text, padded on the right, or token ids (n, tokens) of any integer type for language.
            ``Photographs`` are decoded on indexing, to uint8 (rows, 3, size, size).
        targets: int64 (n,), class indices; for language the next tokens, like ``inputs``.
    """

    inputs: Tensor | Photographs
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def head(self, count: int) -> Split:
        """The first ``count`` examples."""
        inputs = self.inputs.head(count) if isinstance(self.inputs, Photographs) else self.inputs[:count]
        return Split(inputs=inputs, targets=self.targets[:count])


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A loaded task.

    Args:
        name: See `list_tasks`.
        kind: ``"image"``, ``"sequence"``, ``"text"`` (labeled) or ``"language"`` (the next token is the target).
        train: The training split. Every prefix is balanced over the classes; language keeps the order of the file.
        test: The test split.
        n_classes: Number of classes; for language, of tokens.
        classes: Names by index.
        mean: Per channel, over the whole training set (pixels scaled to [0, 1]); empty for words and tokens.
        std: Like ``mean``.
        image_size: (height, width); (1, length) for sequences, words and tokens.
        n_channels: Channels of one input; 1 for words and tokens.
        digest: SHA-256 of the arrays.
        augmentation: The default policy, for recipes with ``augmentation: task``.
        model: Default keywords of ``create_model``, the name included.
        notes: Remarks about the data for readers of the results; may be empty.
        vocabulary: Words (0 unknown, 1 padding), characters (0 unknown) or bytes, by id; empty for numeric inputs and
            for the ids of a pretrained tokenizer.
        padding: The id of padding.
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
