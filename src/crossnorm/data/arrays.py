"""The arrays of a task, their digests, and their means and standard deviations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Arrays", "array_digest", "joint_digest", "moments"]

_CHUNK = 512  # examples converted to float64 at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """Training and test arrays of a data set.

    Args:
        train_inputs: uint8 (n, channels, height, width), float32 (n, 1, 1, length), word ids int64 (n, words), or
            one stream of tokens (tokens,).
        train_targets: int64 (n,); empty for a stream.
        test_inputs: Like ``train_inputs``.
        test_targets: Like ``train_targets``.
        classes: Names by index.
        vocabulary: Words or characters by id; empty for numeric inputs.
    """

    train_inputs: npt.NDArray[Any]
    train_targets: npt.NDArray[np.int64]
    test_inputs: npt.NDArray[Any]
    test_targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of the dtype, shape and bytes of an array."""
    header = f"{array.dtype.str} {array.shape}\n".encode()
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def joint_digest(digests: list[str]) -> str:
    """SHA-256 of several digests, in order."""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def moments(inputs: npt.NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel (uint8 scaled to [0, 1]); 1 replaces a standard deviation of 0.

    Args:
        inputs: (n, channels, height, width). For word or token ids both results are empty.
    """
    if inputs.ndim != 4:
        return (), ()
    full = 255.0 if inputs.dtype == np.uint8 else 1.0
    axes, count = (0, 2, 3), inputs.size / inputs.shape[1]
    chunks = [inputs[i : i + _CHUNK] for i in range(0, len(inputs), _CHUNK)]
    mean = sum(chunk.sum(axes, dtype=np.float64) for chunk in chunks) / count
    # Two passes: E x² - (E x)² loses precision when the spread is small.
    center = mean[:, None, None]
    std = np.sqrt(sum(((chunk - center) ** 2).sum(axes) for chunk in chunks) / count)
    std = np.where(std == 0, full, std)
    return tuple((mean / full).tolist()), tuple((std / full).tolist())
