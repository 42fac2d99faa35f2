"""AutoAugment and RandAugment as tables.

A policy draws (operation, level, sign) for every image and slot; its table of ranges maps levels to the parameters of
the operations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossnorm.data.augment.image_ops import OPERATIONS

__all__ = ["POLICIES", "Draw", "Policy", "Range"]

_NAMES = list(OPERATIONS)
_NONE = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """Random operations for n images in consecutive slots.

    Args:
        operation: int64 (slots, n), index into ``OPERATIONS``; -1: none.
        level: float32 (slots, n), 0 … 1.
        negative: bool (slots, n).
    """

    operation: Tensor
    level: Tensor
    negative: Tensor


@dataclass(frozen=True)
class Range:
    """Map a level to a parameter: around ± (low + (high - low) · level), then rounded.

    Args:
        low: At level 0.
        high: At level 1.
        signed: Apply the drawn sign.
        around: Added after the sign.
        rounded: ``torch.round`` or ``torch.ceil``; ``None``: not rounded.
    """

    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    around: float = 0.0
    rounded: Callable[[Tensor], Tensor] | None = None

    def __call__(self, level: Tensor, negative: Tensor) -> Tensor:
        """Parameters, of the same shape as the levels (0 … 1) and the signs."""
        value = self.low + (self.high - self.low) * level
        if self.signed:
            value = torch.where(negative, -value, value)
        value = self.around + value
        return value if self.rounded is None else self.rounded(value)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """An augmentation policy.

    Args:
        draw: (number of images, generator) → ``Draw``.
        ranges: Name of the operation → range of its parameter.
        fill: Gray level of pixels from outside the image.
    """

    draw: Callable[[int, torch.Generator], Draw]
    ranges: Mapping[str, Range]
    fill: int


# AutoAugment, Cubuk et al., arXiv 1805.09501, table 7 (CIFAR-10): twice (operation, probability, level 0 … 9).
_CIFAR10 = (
    ("Invert", 0.1, 7, "Contrast", 0.2, 6),
    ("Rotate", 0.7, 2, "TranslateX", 0.3, 9),
    ("Sharpness", 0.8, 1, "Sharpness", 0.9, 3),
    ("ShearY", 0.5, 8, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.5, 8, "Equalize", 0.9, 2),
    ("ShearY", 0.2, 7, "Posterize", 0.3, 7),
    ("Color", 0.4, 3, "Brightness", 0.6, 7),
    ("Sharpness", 0.3, 9, "Brightness", 0.7, 9),
    ("Equalize", 0.6, 5, "Equalize", 0.5, 1),
    ("Contrast", 0.6, 7, "Sharpness", 0.6, 5),
    ("Color", 0.7, 7, "TranslateX", 0.5, 8),
    ("Equalize", 0.3, 7, "AutoContrast", 0.4, 8),
    ("TranslateY", 0.4, 3, "Sharpness", 0.2, 6),
    ("Brightness", 0.9, 6, "Color", 0.2, 8),
    ("Solarize", 0.5, 2, "Invert", 0.0, 3),
    ("Equalize", 0.2, 0, "AutoContrast", 0.6, 0),
    ("Equalize", 0.2, 8, "Equalize", 0.6, 4),
    ("Color", 0.9, 9, "Equalize", 0.6, 6),
    ("AutoContrast", 0.8, 4, "Solarize", 0.2, 8),
    ("Brightness", 0.1, 3, "Color", 0.7, 0),
    ("Solarize", 0.4, 5, "AutoContrast", 0.9, 3),
    ("TranslateY", 0.9, 9, "TranslateY", 0.7, 9),
    ("AutoContrast", 0.9, 2, "Solarize", 0.8, 3),
    ("Equalize", 0.8, 8, "Invert", 0.1, 3),
    ("TranslateY", 0.7, 9, "AutoContrast", 0.9, 1),
)

# Ranges of torchvision's AutoAugment, ten levels from low to high.
_AUTOAUGMENT_RANGES = {
    "ShearX": Range(0, 0.3, signed=True),
    "ShearY": Range(0, 0.3, signed=True),
    "TranslateX": Range(0, 150 / 331, signed=True),
    "TranslateY": Range(0, 150 / 331, signed=True),
    "Rotate": Range(0, 30, signed=True),
    "Brightness": Range(0, 0.9, signed=True, around=1),
    "Color": Range(0, 0.9, signed=True, around=1),
    "Contrast": Range(0, 0.9, signed=True, around=1),
    "Sharpness": Range(0, 0.9, signed=True, around=1),
    "Posterize": Range(8, 4, rounded=torch.round),
    "Solarize": Range(255, 0),
    "AutoContrast": Range(),
    "Equalize": Range(),
    "Invert": Range(),
}

# The "increasing" ranges of timm: a higher level is a stronger change for every operation.
_RANDAUGMENT_RANGES = {
    **_AUTOAUGMENT_RANGES,
    "TranslateX": Range(0, 0.45, signed=True),
    "TranslateY": Range(0, 0.45, signed=True),
    "Posterize": Range(4, 0, rounded=torch.ceil),
    "Solarize": Range(256, 0),
    "SolarizeAdd": Range(0, 110),
}


def _draw_autoaugment(n: int, generator: torch.Generator) -> Draw:
    """Draw one of the 25 sub-policies per image, and apply each of its two operations with its probability."""
    rows = torch.randint(len(_CIFAR10), (n,), generator=generator, device=generator.device)
    uniform, negative = _uniform(n, generator), _uniform(n, generator) < 0.5
    first, second = [row[:3] for row in _CIFAR10], [row[3:] for row in _CIFAR10]
    operation = _table([[_NAMES.index(name) for name, _, _ in slot] for slot in (first, second)], generator)
    probability = _table([[p for _, p, _ in slot] for slot in (first, second)], generator)
    level = _table([[level / 9 for _, _, level in slot] for slot in (first, second)], generator)
    applied = uniform < probability[:, rows]
    return Draw(operation=operation[:, rows].where(applied, _NONE), level=level[:, rows], negative=negative)


def _draw_randaugment(n: int, generator: torch.Generator) -> Draw:
    """Draw two of the 15 operations with replacement, each applied with probability ½ at level N(9, ½²) / 10."""
    device = generator.device
    known = _table([_NAMES.index(name) for name in _RANDAUGMENT_RANGES], generator)
    operation = known[torch.randint(len(known), (2, n), generator=generator, device=device)]
    level = (9 + 0.5 * torch.randn((2, n), generator=generator, device=device)) / 10
    applied, negative = _uniform(n, generator) < 0.5, _uniform(n, generator) < 0.5
    return Draw(operation=operation.where(applied, _NONE), level=level.clamp(0, 1), negative=negative)


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    return torch.rand((2, n), generator=generator, device=generator.device)


def _table(rows: object, generator: torch.Generator) -> Tensor:
    return torch.tensor(rows, device=generator.device)


POLICIES = {
    "autoaugment": Policy(draw=_draw_autoaugment, ranges=_AUTOAUGMENT_RANGES, fill=0),
    "randaugment": Policy(draw=_draw_randaugment, ranges=_RANDAUGMENT_RANGES, fill=128),
}
