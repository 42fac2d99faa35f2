"""Crop and resize photographs: random crops for training, center crops for testing.

Crops and resizing are Pillow's, as torchvision applies them to Pillow images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from crossnorm.data.task_registry import CropSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["center", "draw_crops", "resized"]

_ATTEMPTS = 10
_LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))


def draw_crops(sizes: Tensor, scale: tuple[float, float], generator: torch.Generator) -> Tensor:
    """Draw a crop for each image, distributed as in torchvision's RandomResizedCrop.

    The relative area is uniform in ``scale``, log(width / height) is uniform in ± log(4/3). The first of ten attempts
    that fits into the image is placed uniformly; if none fits, the largest central crop of an allowed ratio is used.

    Args:
        sizes: int64 (images, 2), heights and widths.
        scale: Smallest and largest relative area.
        generator: Source of all random numbers; the number of draws does not depend on the sizes.

    Returns:
        int64 (images, 4): top, left, height, width.
    """
    draws = torch.rand((4, _ATTEMPTS, len(sizes)), generator=generator, dtype=torch.float64)
    full_height, full_width = sizes.unbind(1)
    area = full_height * full_width * (scale[0] + (scale[1] - scale[0]) * draws[0])
    ratio = torch.exp(_LOG_RATIO[0] + (_LOG_RATIO[1] - _LOG_RATIO[0]) * draws[1])
    height, width = (torch.round(torch.sqrt(side)).long() for side in (area / ratio, area * ratio))
    fits = (height > 0) & (height <= full_height) & (width > 0) & (width <= full_width)
    first = fits.int().argmax(0, keepdim=True)
    height, width = height.gather(0, first)[0], width.gather(0, first)[0]
    top = (draws[2].gather(0, first)[0] * (full_height - height + 1)).long()
    left = (draws[3].gather(0, first)[0] * (full_width - width + 1)).long()
    crops = torch.stack([top, left, height, width], 1)
    return torch.where(fits.any(0)[:, None], crops, _central(sizes))


def _central(sizes: Tensor) -> Tensor:
    """The largest central crops (images, 4) whose width / height is between 3/4 and 4/3."""
    full_height, full_width = sizes.unbind(1)
    height = torch.minimum(full_height, torch.round(full_width / (3 / 4)).long())
    width = torch.minimum(full_width, torch.round(full_height * (4 / 3)).long())
    return torch.stack([(full_height - height) // 2, (full_width - width) // 2, height, width], 1)


def resized(image: Image, crop: tuple[int, int, int, int], size: int) -> Image:
    """Crop (top, left, height, width), resized to ``size`` × ``size`` pixels (bicubic)."""
    from PIL import Image

    top, left, height, width = crop
    part = image.crop((left, top, left + width, top + height))
    return part.resize((size, size), Image.Resampling.BICUBIC)


def center(image: Image, spec: CropSpec) -> Image:
    """Center crop: resize the shorter side to size / keep (bicubic), then crop ``size`` × ``size`` pixels."""
    from PIL import Image

    short = math.floor(spec.size / spec.keep)
    width, height = image.size
    if width <= height:
        target = (short, int(short * height / width))
    else:
        target = (int(short * width / height), short)
    scaled = image.resize(target, Image.Resampling.BICUBIC)
    left, top = (round((side - spec.size) / 2) for side in target)
    return scaled.crop((left, top, left + spec.size, top + spec.size))
