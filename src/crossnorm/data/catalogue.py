"""The catalogue of tasks: one row each, plain data.

Knows nothing of arrays, files or torch: listing the tasks must stay instant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from crossnorm.errors import unknown_name

__all__ = ["Kind", "TaskSpec", "default_model", "find_task", "list_tasks"]

Kind = Literal["image", "sequence", "text"]


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """One row of the catalogue.

    Args:
        description: One line for people.
        source: Who provides the arrays: a package (``mnist1d``, ``digits``), ``torchvision``, or ``folder``
            (class folders named by the user).
        kind: What one example is.
        dataset: The class in ``torchvision.datasets``.
        shape: (channels, height, width); ``None``: whatever the files hold.
        n_classes: ``None``: whatever the files hold.
        mean: Per channel, of pixels scaled to [0, 1]; ``None``: measured on the training set.
        std: Like ``mean``.
        augmentation: The policy that suits the task (a mirrored digit is another digit, a mirrored cat a cat).
        model: Keywords of ``create_model`` beyond the name, the sizes and the number of classes.
    """

    description: str
    source: Literal["mnist1d", "digits", "torchvision", "folder"]
    kind: Kind = "image"
    dataset: str = ""
    shape: tuple[int, int, int] | None = None
    n_classes: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    augmentation: Literal["none", "crop-flip"] = "none"
    model: Mapping[str, object] = field(default_factory=dict)


_SMALL = {"n_conv_layers": 1, "embedding_dim": 64}

_TASKS: dict[str, TaskSpec] = {
    "mnist1d": TaskSpec(
        description="10 classes of sequences of 40 points, 4000 + 1000, generated in seconds (no download)",
        source="mnist1d",
        kind="sequence",
        shape=(1, 1, 40),
        n_classes=10,
        model=_SMALL,
    ),
    "digits": TaskSpec(
        description="10 handwritten digits, 8 × 8 grey, 1442 + 355, part of scikit-learn (no download)",
        source="digits",
        shape=(1, 8, 8),
        n_classes=10,
        model=_SMALL,
    ),
    "cifar10": TaskSpec(
        description="10 classes of photographs, 32 × 32 colour, 50000 + 10000",
        source="torchvision",
        dataset="CIFAR10",
        augmentation="crop-flip",
        shape=(3, 32, 32),
        n_classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
    ),
    "cifar100": TaskSpec(
        description="100 classes of photographs, 32 × 32 colour, 50000 + 10000",
        source="torchvision",
        dataset="CIFAR100",
        augmentation="crop-flip",
        shape=(3, 32, 32),
        n_classes=100,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
    "mnist": TaskSpec(
        description="10 handwritten digits, 28 × 28 grey, 60000 + 10000",
        source="torchvision",
        dataset="MNIST",
        shape=(1, 28, 28),
        n_classes=10,
        mean=(0.1307,),
        std=(0.3081,),
    ),
    "fashion-mnist": TaskSpec(
        description="10 kinds of clothing, 28 × 28 grey, 60000 + 10000",
        source="torchvision",
        dataset="FashionMNIST",
        augmentation="crop-flip",
        shape=(1, 28, 28),
        n_classes=10,
        mean=(0.2860,),
        std=(0.3530,),
    ),
    "folder": TaskSpec(
        description="your own images: a folder or zip with train/CLASS/* and test/CLASS/* (--data PATH)",
        source="folder",
        augmentation="crop-flip",
    ),
}


def list_tasks() -> dict[str, str]:
    """Every task's name with its one-line description."""
    return {name: spec.description for name, spec in _TASKS.items()}


def find_task(name: str) -> TaskSpec:
    """The row of the catalogue; an unknown name is ``BadInput`` with the nearest one."""
    if name not in _TASKS:
        raise unknown_name("task", name, _TASKS)
    return _TASKS[name]


def default_model(spec: TaskSpec, shape: tuple[int, int, int], n_classes: int) -> dict[str, object]:
    """The keywords of ``create_model`` (the name included) that suit the task.

    Where the sizes are the user's, the tokenizer halves the image until about 8 × 8 tokens are left:
    ``n_conv_layers = max(1, round(log2(longer side / 8)))``.

    Args:
        spec: The task's row.
        shape: (channels, height, width) of one example.
        n_classes: Number of classes.
    """
    channels, height, width = shape
    extra = dict(spec.model)
    if spec.shape is None:
        extra["n_conv_layers"] = max(1, round(math.log2(max(height, width) / 8)))
    sizes = {"img_size": (height, width), "n_input_channels": channels, "num_classes": n_classes}
    return {"name": "cct_2_3x2_32", **sizes, **extra}
