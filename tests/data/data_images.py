"""Images and arrays that several tests build, and what a second process runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossnorm.data.arrays import Arrays, array_digest
from crossnorm.data.cache import stored

if TYPE_CHECKING:
    from torch import Tensor


def pixels(split: str, label: str, index: int, size: tuple[int, int], channels: int) -> np.ndarray:
    """The image that `class_folders` writes: noise, from its place alone."""
    shape = (*size, channels) if channels > 1 else size
    seed = [ord(letter) for letter in split + label] + [index]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photos(n: int = 11, channels: int = 3, size: tuple[int, int] = (37, 29)) -> Tensor:
    """Smooth random images with noise, of different brightness and range."""
    import torch

    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((n, channels, 5, 5), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    noisy = smooth * 255 * torch.linspace(0.3, 1, n).view(-1, 1, 1, 1)
    noisy += 8 * torch.randn(noisy.shape, generator=generator)
    return noisy.clamp(0, 255).to(torch.uint8)


def arrays(seed: int = 0) -> Arrays:
    draw = np.random.default_rng(seed)
    return Arrays(
        train_inputs=draw.integers(0, 256, (1031, 3, 5, 7), dtype=np.uint8),
        train_targets=draw.integers(0, 2, 1031),
        test_inputs=draw.integers(0, 256, (11, 3, 5, 7), dtype=np.uint8),
        test_targets=draw.integers(0, 2, 11),
        classes=("ape", "cat"),
    )


def race(folder: str, gate: Any, results: Any) -> None:
    """Wait for the others, then store the same entry."""
    gate.wait()
    entry = stored("a", lambda scratch: arrays(), Path(folder))
    results.put(array_digest(entry.arrays.train_inputs))
