"""A loaded task: its arrays, and its batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossnorm.data.batches import steps_per_epoch, test_batches, train_batch
from crossnorm.data.images.lazy_images import Photographs
from crossnorm.data.task_registry import Kind
from crossnorm.data.text.vocabulary import PADDING

__all__ = ["Split", "Task"]


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

    def train_batches(
        self,
        epoch: int,
        *,
        seed: int,
        batch_size: int,
        augmentation: str = "none",
        flip: str = "random",
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches of an epoch, as a recipe trains on them: shuffled, augmented and prepared.

        Order and augmentation depend on (seed, epoch) only. So arms of a seed get the same batches, whatever else
        they draw, and a resumed run gets those it would have got. An incomplete last batch is left out.

        Args:
            epoch: From 0.
            seed: Of the run: ``run.seed`` in a training function.
            batch_size: Examples per batch.
            augmentation: "none", "crop-flip", "autoaugment" or "randaugment"; ``task.augmentation`` is the task's.
            flip: "random" or "alternating", see `Recipe`.
            device: Of the batches.

        Yields:
            Inputs for a model of the task (see `crossnorm.data.prepare`), and int64 targets.

        Raises:
            BadInput: An unknown augmentation, or one for images on a task without images.
        """
        steps, place = steps_per_epoch(self.train, batch_size), torch.device(device)
        settings = {"seed": seed, "batch_size": batch_size, "augmentation": augmentation, "flip": flip}
        for step in range(epoch * steps, (epoch + 1) * steps):
            yield train_batch(self, step, device=place, **settings)  # type: ignore[arg-type]

    def test_batches(self, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
        """The test set in batches, prepared as by `train_batches` and in its own order."""
        return test_batches(self, torch.device(device))
