"""A task's arrays before they are stored, their digests and their moments.

Knows nothing of files and of torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Arrays", "array_digest", "joint_digest", "moments"]

_CHUNK = 512  # examples turned into float64 at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """What a source provides.

    Args:
        train_inputs: uint8 (n, channels, height, width), float32 (n, 1, 1, length), word ids int64 (n, words), or
            a stream of tokens (tokens,).
        train_targets: int64 (n,); a stream has none.
        test_inputs: Like ``train_inputs``.
        test_targets: Like ``train_targets``.
        classes: Names by index.
        vocabulary: Words or characters by id; empty where inputs are numbers.
    """

    train_inputs: npt.NDArray[Any]
    train_targets: npt.NDArray[np.int64]
    test_inputs: npt.NDArray[Any]
    test_targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    vocabulary: tuple[str, ...] = ()


def array_digest(array: npt.NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and bytes."""
    header = f"{array.dtype.str} {array.shape}\n".encode()
    digest = hashlib.sha256(header)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def joint_digest(digests: list[str]) -> str:
    """SHA-256 of several digests in order."""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


def moments(inputs: npt.NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel (uint8 scaled to [0, 1]); a constant channel has std 1.

    Args:
        inputs: (n, channels, height, width); ids of words or tokens have no moments, and give none.
    """
    if inputs.ndim != 4:
        return (), ()
    full = 255.0 if inputs.dtype == np.uint8 else 1.0
    axes, count = (0, 2, 3), inputs.size / inputs.shape[1]
    chunks = [inputs[i : i + _CHUNK] for i in range(0, len(inputs), _CHUNK)]
    mean = sum(chunk.sum(axes, dtype=np.float64) for chunk in chunks) / count
    # Two passes: the shortcut E x² - (E x)² would cancel where the spread is small.
    centre = mean[:, None, None]
    std = np.sqrt(sum(((chunk - centre) ** 2).sum(axes) for chunk in chunks) / count)
    std = np.where(std == 0, full, std)
    return tuple((mean / full).tolist()), tuple((std / full).tolist())
