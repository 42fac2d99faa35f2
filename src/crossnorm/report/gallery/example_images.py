"""Grayscale images as matrices: generated ones, and the user's own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossnorm.data.images.decode import decoded
from crossnorm.io import regular_file

__all__ = ["generated", "read_picture"]

Floats = NDArray[np.float64]


def generated(size: int) -> dict[str, tuple[Floats, Floats]]:
    """Pairs of (size, size) images with values 0 to 1, by title."""
    y, x = np.mgrid[0:size, 0:size] / (size - 1)
    rings = 0.5 + 0.5 * np.cos(42 * np.hypot(x - 0.42, y - 0.55))
    waves = 0.5 + 0.5 * np.sin(2 * np.pi * (4 * x + 7 * y**1.5))
    disc = 1 / (1 + np.exp((np.hypot(x - 0.5, y - 0.5) - 0.3) * 60))
    moons = np.clip(disc - 1 / (1 + np.exp((np.hypot(x - 0.62, y - 0.42) - 0.26) * 60)), 0, 1)
    weave = (0.5 + 0.5 * np.sin(2 * np.pi * 5 * x)) * (0.5 + 0.5 * np.sin(2 * np.pi * 6 * y))
    return {
        "rings and waves": (rings, waves),
        "crescent and clouds": (moons, _clouds(size, 11)),
        "clouds and weave": (_clouds(size, 5), weave),
    }


def _clouds(size: int, seed: int) -> Floats:
    """Smooth noise with a 1/f² spectrum, scaled to [0, 1]."""
    noise = np.random.default_rng(seed).standard_normal((size, size))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(noise) / frequency**2).real
    low, high = np.quantile(field, [0.01, 0.99])
    return np.asarray(np.clip((field - low) / (high - low), 0, 1))


def read_picture(path: Path, size: int) -> Floats:
    """The central square of an image file in grayscale, (size, size), values 0 to 1.

    Raises:
        BadInput: See `decoded`.
    """
    from PIL import ImageOps

    square = ImageOps.fit(decoded(regular_file(path).read_bytes, str(path)).convert("L"), (size, size))
    return np.asarray(square, dtype=np.float64) / 255
