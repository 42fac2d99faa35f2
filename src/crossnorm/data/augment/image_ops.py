"""Image operations on uint8 batches, each image with its own parameter.

The arithmetic is that of Pillow, as ``torchvision.transforms.v2.functional`` applies it to PIL images (nearest
neighbor for the geometric operations). The tensor versions of torchvision differ by at most one gray level on all but
a few pixels. Results depend neither on the number of threads nor on the other images of the batch.

Every operation is f(images, parameter, fill): images uint8 (b, c, h, w), parameter float32 (b,), ignored by operations
without one, fill the gray level of pixels from outside the image. The result is a new tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["OPERATIONS", "Operation"]

Operation = Callable[[Tensor, Tensor, int], Tensor]


def _affine(images: Tensor, inverse: tuple[Tensor, ...], fill: int) -> Tensor:
    """Set output pixel (x, y) to input pixel (a x + b y + c, d x + e y + f); pixel centers are at half-integers.

    Args:
        images: uint8 (b, c, h, w).
        inverse: a, b, c, d, e, f, each (b,).
        fill: Gray level of pixels outside the image.
    """
    channels, height, width = images.shape[1:]
    a, b, c, d, e, f = (entry.view(-1, 1, 1) for entry in inverse)
    x = torch.arange(width, device=images.device) + 0.5
    y = torch.arange(height, device=images.device).view(-1, 1) + 0.5
    column, row = torch.floor(a * x + b * y + c), torch.floor(d * x + e * y + f)
    outside = (column < 0) | (column >= width) | (row < 0) | (row >= height)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
    moved = images.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, channels, -1))
    return moved.view_as(images).masked_fill_(outside[:, None], fill)


def shear_x(images: Tensor, slope: Tensor, fill: int) -> Tensor:
    """Shift each row horizontally by slope × its y coordinate."""
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    return _affine(images, (one, slope, zero, zero, one, zero), fill)


def shear_y(images: Tensor, slope: Tensor, fill: int) -> Tensor:
    """Shift each column vertically by slope × its x coordinate."""
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    return _affine(images, (one, zero, zero, slope, one, zero), fill)


def translate_x(images: Tensor, share: Tensor, fill: int) -> Tensor:
    """Shift to the right by trunc(share × width) pixels."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _affine(images, (one, zero, -torch.trunc(share * images.shape[3]), zero, one, zero), fill)


def translate_y(images: Tensor, share: Tensor, fill: int) -> Tensor:
    """Shift down by trunc(share × height) pixels."""
    one, zero = torch.ones_like(share), torch.zeros_like(share)
    return _affine(images, (one, zero, zero, zero, one, -torch.trunc(share * images.shape[2])), fill)


def rotate(images: Tensor, degrees: Tensor, fill: int) -> Tensor:
    """Rotate counter-clockwise about the center."""
    middle_x, middle_y = images.shape[3] / 2, images.shape[2] / 2
    angle = degrees * (math.pi / 180)
    cos, sin = torch.cos(angle), torch.sin(angle)
    right = middle_x - cos * middle_x + sin * middle_y
    down = middle_y - sin * middle_x - cos * middle_y
    return _affine(images, (cos, -sin, right, sin, cos, down), fill)


def _blend(base: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """Compute base + factor · (images - base), truncated to uint8; base is float32 and broadcast."""
    mixed = (images - base).mul_(factor.view(-1, 1, 1, 1)).add_(base)
    return mixed.clamp_(0, 255).to(torch.uint8)


def _gray(images: Tensor) -> Tensor:
    """ITU-R 601-2 luma in 16-bit fixed point, int32 (b, 1, h, w)."""
    if images.shape[1] == 1:
        return images.int()
    red, green, blue = images.int().unbind(1)
    return (red * 19595 + green * 38470 + blue * 7471 + 32768 >> 16)[:, None]


def brightness(images: Tensor, factor: Tensor, fill: int) -> Tensor:
    """Blend with black: 0 gives black, 1 the image."""
    return _blend(torch.zeros((), device=images.device), images, factor)


def color(images: Tensor, factor: Tensor, fill: int) -> Tensor:
    """Blend with the gray image: 0 gives gray, 1 the image. Gray images do not change."""
    if images.shape[1] == 1:
        return images.clone()
    return _blend(_gray(images).float(), images, factor)


def contrast(images: Tensor, factor: Tensor, fill: int) -> Tensor:
    """Blend with the rounded mean of the gray image: 0 gives uniform gray, 1 the image."""
    pixels = images.shape[2] * images.shape[3]
    total = _gray(images).sum((1, 2, 3), keepdim=True)  # integers: the order of summation does not matter
    mean = (2 * total + pixels) // (2 * pixels)
    return _blend(mean.float(), images, factor)


def sharpness(images: Tensor, factor: Tensor, fill: int) -> Tensor:
    """Blend with the image smoothed by [[1, 1, 1], [1, 5, 1], [1, 1, 1]] / 13.

    The border does not change, nor do images less than three pixels high or wide.
    """
    out = images.clone()
    height, width = images.shape[2:]
    exact = images.float()  # sums of integers below 2^24
    inner = exact[..., 1:-1, 1:-1]
    rows = exact[..., : height - 2, :] + exact[..., 1 : height - 1, :] + exact[..., 2:, :]
    total = rows[..., : width - 2] + rows[..., 1 : width - 1] + rows[..., 2:] + 4 * inner
    out[..., 1:-1, 1:-1] = _blend(total.div_(13).round_(), inner, factor)
    return out


def posterize(images: Tensor, bits: Tensor, fill: int) -> Tensor:
    """Keep the highest ``bits`` bits, 0 to 8."""
    mask = (256 - 2 ** (8 - bits.int())).to(torch.uint8)
    return images & mask.view(-1, 1, 1, 1)


def solarize(images: Tensor, threshold: Tensor, fill: int) -> Tensor:
    """Invert the pixels at or above the threshold, 0 to 256."""
    return torch.where(images >= threshold.view(-1, 1, 1, 1), ~images, images)


def solarize_add(images: Tensor, amount: Tensor, fill: int) -> Tensor:
    """Add trunc(amount), 0 to 127, to the pixels below 128."""
    added = images + amount.to(torch.uint8).view(-1, 1, 1, 1)
    return torch.where(images < 128, added, images)


def autocontrast(images: Tensor, parameter: Tensor, fill: int) -> Tensor:
    """Stretch each channel to 0 … 255; a constant channel does not change."""
    low, high = images.flatten(2).aminmax(dim=2, keepdim=True)
    flat = low == high
    low, span = low.masked_fill(flat, 0).float(), (high - low).masked_fill(flat, 255).float()
    stretched = (images.flatten(2) - low).mul_(255).div_(span)  # exact integers with a single rounding
    return stretched.to(torch.uint8).view_as(images)


def equalize(images: Tensor, parameter: Tensor, fill: int) -> Tensor:
    """Equalize the histogram of each channel, by Pillow's integer rule.

    Let n be the number of pixels below the largest value present, and s = ⌊n / 255⌋. Value v becomes
    ⌊(⌊s / 2⌋ + number of pixels below v) / s⌋. If s = 0, for example with fewer than 256 pixels, the channel does not
    change.
    """
    planes = images.flatten(0, 1).flatten(1)
    offset = 256 * torch.arange(len(planes), device=images.device).view(-1, 1)
    index = planes.long().add_(offset)  # one histogram of 256 bins per channel
    histogram = torch.bincount(index.flatten(), minlength=256 * len(planes)).view(-1, 256)
    highest = planes.amax(1, keepdim=True).long()
    step = (planes.shape[1] - histogram.gather(1, highest)) // 255
    below = histogram.cumsum(1) - histogram
    table = ((step // 2 + below) // step.clamp(min=1)).clamp_(0, 255)
    table = torch.where(step == 0, torch.arange(256, device=images.device), table).to(torch.uint8)
    return table.take(index).view_as(images)


def invert(images: Tensor, parameter: Tensor, fill: int) -> Tensor:
    """255 - value."""
    return ~images


OPERATIONS: dict[str, Operation] = {
    "ShearX": shear_x,
    "ShearY": shear_y,
    "TranslateX": translate_x,
    "TranslateY": translate_y,
    "Rotate": rotate,
    "Brightness": brightness,
    "Color": color,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "SolarizeAdd": solarize_add,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
    "Invert": invert,
}
