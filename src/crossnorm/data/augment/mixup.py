"""Mixup and CutMix of whole batches: every image is mixed with one other, its target with the other's.

Knows nothing of recipes or models; every draw comes from the generator it is given.
"""

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

    One decision, one λ and one box for the whole batch, as Compact Transformers were trained (arXiv 2104.05704).
    Mixup (arXiv 1710.09412): λ x_i + (1-λ) x_j, λ ~ Beta(a, a). CutMix (arXiv 1905.04899): x_i with a box of x_j
    of about (1-λ) of the area; λ then becomes the share that was left. Targets: λ y_i + (1-λ) y_j. With both
    given, each is taken with probability ½.

    Args:
        inputs: (batch, channels, height, width), of any floating type; not written to.
        targets: int64 (batch,).
        n_classes: Width of the mixed targets.
        mixup: a of Mixup; 0: no Mixup.
        cutmix: a of CutMix; 0: no CutMix. One of the two is above 0.
        draws: Advanced by the same number of draws whatever is decided.

    Returns:
        The mixed inputs, and targets of shape (batch, n_classes) whose rows sum to 1.
    """
    assert mixup > 0 or cutmix > 0
    boxed = bool(draws.random() < 0.5) if mixup > 0 and cutmix > 0 else cutmix > 0
    share = float(draws.beta(cutmix, cutmix) if boxed else draws.beta(mixup, mixup))
    place = draws.random(2)
    others = inputs.flip(0)
    if boxed:
        height, width = inputs.shape[-2:]
        top, bottom, left, right = cutmix_box(height, width, share, place)
        mixed = inputs.clone()
        mixed[..., top:bottom, left:right] = others[..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    else:
        mixed = inputs * share + others * (1 - share)
    soft = F.one_hot(targets, n_classes).to(inputs.dtype)
    return mixed, soft * share + soft.flip(0) * (1 - share)


def cutmix_box(height: int, width: int, share: float, place: np.ndarray) -> tuple[int, int, int, int]:
    """Rows top … bottom - 1 and columns left … right - 1 of the box, cut off at the image's border.

    Args:
        height: Of the image.
        width: Of the image.
        share: λ: about this share of the image is kept; the box's sides are √(1-λ) of the image's.
        place: Two uniform numbers in [0, 1): where the box's centre is, in rows and columns.
    """
    side = math.sqrt(1 - share)
    half_height, half_width = int(height * side) // 2, int(width * side) // 2
    row, column = int(place[0] * height), int(place[1] * width)
    return (
        max(row - half_height, 0),
        min(row + half_height, height),
        max(column - half_width, 0),
        min(column + half_width, width),
    )
