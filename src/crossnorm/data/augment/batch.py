"""Augment uint8 batches: every image with its own random parameters, all from one generator."""

from __future__ import annotations

import torch
from torch import Tensor

from crossnorm.data.augment.image_ops import OPERATIONS
from crossnorm.data.augment.policies import POLICIES, Draw, Policy
from crossnorm.errors import BadInput, unknown_name

__all__ = ["AUGMENTATIONS", "augment"]

AUGMENTATIONS = ("none", "crop-flip", "autoaugment", "randaugment")

_PADDING = 4


def augment(
    images: Tensor, policy: str, generator: torch.Generator, *, cropped: bool = False, mirrored: Tensor | None = None
) -> Tensor:
    """Return a randomly augmented copy of a batch of images.

    - ``none``: returns the images themselves.
    - ``crop-flip``: pads by 4 black pixels, crops at a random position, mirrors with probability ½.
    - ``autoaugment``: the CIFAR-10 policy of AutoAugment (arXiv 1805.09501; ranges, black fill and nearest neighbor as
      in torchvision), then ``crop-flip``.
    - ``randaugment``: RandAugment (arXiv 1909.13719), ``rand-m9-mstd0.5-inc1`` of timm: two of 15 operations, each
      applied with probability ½ at level N(9, ½²) of 10, fill 128; then ``crop-flip``. Uses nearest neighbor and
      shifts by whole pixels, where timm interpolates.

    Images may be gray and need not be square. ``Color`` does not change gray images; ``Equalize`` does not change
    images with fewer than 256 pixels, nor ``Sharpness`` those with fewer than three rows or columns. The result
    depends on the state of the generator, not on the number of threads.

    Args:
        images: uint8 (batch, channels, height, width); 1 or 3 channels for the last two policies.
        policy: One of ``AUGMENTATIONS``.
        generator: Source of all random numbers.
        cropped: The images are random crops already: only mirror them.
        mirrored: bool (batch,), the images to mirror; None: drawn.

    Returns:
        uint8 (batch, channels, height, width) on the images' device.

    Raises:
        BadInput: Unknown policy, or inputs that are not uint8 images.
    """
    if policy not in AUGMENTATIONS:
        raise unknown_name("augmentation", policy, AUGMENTATIONS)
    if policy == "none":
        return images
    if images.dtype != torch.uint8 or images.ndim != 4:
        found = f"{images.dtype} of shape {tuple(images.shape)}"
        raise BadInput(f"augmentation {policy}", "uint8 (batch, channels, height, width)", found)
    if policy in POLICIES:
        images = _apply(images, POLICIES[policy], generator)
    return _flip(images, generator, mirrored) if cropped else _crop_flip(images, generator, mirrored)


def _apply(images: Tensor, policy: Policy, generator: torch.Generator) -> Tensor:
    if images.shape[1] not in (1, 3):
        raise BadInput("augmentation", "images of 1 or 3 channels", f"{images.shape[1]}")
    draw = policy.draw(len(images), generator)
    out = images.clone()
    for slot in range(len(draw.operation)):
        _apply_slot(out, policy, draw, slot)
    return out


def _apply_slot(images: Tensor, policy: Policy, draw: Draw, slot: int) -> None:
    """Apply each operation to the images that drew it, in place."""
    operation, level, negative = (
        drawn[slot].to(images.device) for drawn in (draw.operation, draw.level, draw.negative)
    )
    # Sorted by operation: -1 (none) first, then the rows of each operation.
    order = operation.argsort(stable=True)
    counts = torch.bincount(operation + 1, minlength=len(OPERATIONS) + 1).tolist()
    for (name, function), rows in zip(OPERATIONS.items(), torch.split(order, counts)[1:], strict=True):
        if len(rows) > 0:
            parameter = policy.ranges[name](level[rows], negative[rows])
            images.index_copy_(0, rows, function(images.index_select(0, rows), parameter, policy.fill))


def _half(count: int, generator: torch.Generator) -> Tensor:
    """Draw bool (count,), each True with probability ½."""
    return torch.rand(count, generator=generator, device=generator.device) < 0.5


def _flip(images: Tensor, generator: torch.Generator, mirrored: Tensor | None) -> Tensor:
    chosen = _half(len(images), generator) if mirrored is None else mirrored
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(3), images)


def _crop_flip(images: Tensor, generator: torch.Generator, mirrored: Tensor | None) -> Tensor:
    batch, channels, height, width = images.shape
    device = generator.device
    offsets = torch.randint(2 * _PADDING + 1, (2, batch, 1), generator=generator, device=device)
    chosen = _half(batch, generator) if mirrored is None else mirrored.to(device)
    row = offsets[0] + torch.arange(height, device=device)
    column = offsets[1] + torch.arange(width, device=device)
    column = torch.where(chosen[:, None], column.flip(1), column)
    # One gather crops and mirrors: indices (batch, height · width) into the padded plane.
    index = row[:, :, None] * (width + 2 * _PADDING) + column[:, None, :]
    padded = torch.nn.functional.pad(images, [_PADDING] * 4).flatten(2)
    index = index.flatten(1)[:, None].expand(-1, channels, -1).to(images.device)
    return padded.gather(2, index).view(batch, channels, height, width)
