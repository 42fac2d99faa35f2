"""Mixup and CutMix of batches: each image is mixed with another, and its target with the other's target."""

from __future__ import annotations

import math

import numpy as np
import torch.nn.functional as F
from torch import Tensor

__all__ = ["cutmix_box", "mix_batch"]


def mix_batch(
    inputs: Tensor, targets: Tensor, n_classes: int, *, mixup: float, cutmix: float, draws: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mix a batch with itself in reverse order: x_i with x_(b-1-i), by Mixup or by CutMix.

    The whole batch has one λ and one box, as in the training of Compact Transformers (arXiv 2104.05704).
    Mixup (arXiv 1710.09412): λ x_i + (1-λ) x_j, λ ~ Beta(a, a). CutMix (arXiv 1905.04899): x_i with a box of x_j
    that covers about (1-λ) of the area; λ is then set to the area of x_i that remains. Targets: λ y_i + (1-λ) y_j.
    If both are on, each is chosen with probability ½.

    Args:
        inputs: (batch, channels, height, width), any floating type.
        targets: int64 (batch,).
        n_classes: Number of classes.
        mixup: Parameter a of Mixup; 0: off.
        cutmix: Parameter a of CutMix; 0: off. At least one of the two is on.
        draws: Source of all random numbers.

    Returns:
        The mixed inputs, and targets of shape (batch, n_classes) whose rows sum to 1.
    """
    assert mixup > 0 or cutmix > 0
    boxed = bool(draws.random() < 0.5) if mixup > 0 and cutmix > 0 else cutmix > 0
    share = float(draws.beta(cutmix, cutmix) if boxed else draws.beta(mixup, mixup))
    center = draws.random(2)
    others = inputs.flip(0)
    if boxed:
        height, width = inputs.shape[-2:]
        top, bottom, left, right = cutmix_box(height, width, share, center)
        mixed = inputs.clone()
        mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        mixed = inputs * share + others * (1 - share)
    soft = F.one_hot(targets, n_classes).to(inputs.dtype)
    return mixed, soft * share + soft.flip(0) * (1 - share)


def cutmix_box(height: int, width: int, share: float, center: np.ndarray) -> tuple[int, int, int, int]:
    """The box (top, bottom, left, right) of CutMix, clipped to the image; bottom and right are exclusive.

    Args:
        height: Of the image.
        width: Of the image.
        share: λ, the area of the image that is kept; the sides of the box are √(1-λ) times those of the image.
        center: Center of the box (row, column), relative to the image, in [0, 1).
    """
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(center[0] * height), int(center[1] * width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )
