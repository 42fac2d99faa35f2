"""Built-in data sets: generated, part of an installed package, or downloaded by torchvision.

Heavy libraries are imported where they are used.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crossnorm.data.arrays import Arrays
from crossnorm.errors import BadInput

__all__ = ["digits", "mnist1d", "torchvision_dataset", "torchvision_files"]

_TIMEOUT = 30.0  # seconds without data before a download fails


def mnist1d() -> Arrays:
    """MNIST-1D (Greydanus & Kobak, arXiv 2011.14439), generated with the defaults and the seed of its package.

    4000 training and 1000 test sequences of 40 points, ten classes. The package seeds the global generators of
    ``random`` and numpy; their state is restored afterwards.
    """
    with _global_random_state_restored():
        from mnist1d.data import get_dataset_args, make_dataset

        made = make_dataset(get_dataset_args())
    shaped = {name: made[name].astype(np.float32)[:, None, None, :] for name in ("x", "x_test")}
    return Arrays(
        train_inputs=shaped["x"],
        train_targets=made["y"].astype(np.int64),
        test_inputs=shaped["x_test"],
        test_targets=made["y_test"].astype(np.int64),
        classes=tuple(map(str, range(10))),
    )


@contextmanager
def _global_random_state_restored() -> Iterator[None]:
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)


def digits() -> Arrays:
    """The 1797 handwritten digits of scikit-learn, 8 × 8; every fifth example of each class is a test example.

    The split follows the package's order: it is stratified and not random. Gray level l of 0 … 16 becomes
    round(255 / 16 · l).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    targets = bunch.target.astype(np.int64)
    position = np.empty(len(targets), dtype=np.int64)  # of each example within its class
    for label in range(10):
        position[targets == label] = np.arange(np.count_nonzero(targets == label))
    test = position % 5 == 4
    return Arrays(
        train_inputs=images[~test],
        train_targets=targets[~test],
        test_inputs=images[test],
        test_targets=targets[test],
        classes=tuple(map(str, range(10))),
    )


def torchvision_dataset(name: str, dataset: str, scratch: Path) -> Arrays:
    """A torchvision data set, downloaded and checked against its published MD5 by torchvision.

    Args:
        name: Of the task, for errors.
        dataset: The class in ``torchvision.datasets``.
        scratch: Folder for the download.

    Raises:
        BadInput: The download failed, or its checksum is wrong.
    """
    from torchvision import datasets

    make = getattr(datasets, dataset)
    with _downloading(name):
        train, test = (make(str(scratch), train=part, download=True) for part in (True, False))
    return Arrays(
        train_inputs=_channels_first(train.data),
        train_targets=np.asarray(train.targets, dtype=np.int64),
        test_inputs=_channels_first(test.data),
        test_targets=np.asarray(test.targets, dtype=np.int64),
        classes=tuple(train.classes),
    )


def torchvision_files(name: str, dataset: str, root: Path, splits: tuple[str, ...]) -> list[tuple[str, int]]:
    """The image files of a torchvision data set with their classes, downloaded and checked by torchvision.

    Args:
        name: Of the task, for errors.
        dataset: The class in ``torchvision.datasets``; it takes ``split`` and ``loader``.
        root: Folder for the files; existing files are not downloaded again.
        splits: The splits, concatenated.

    Raises:
        BadInput: The download failed, or its checksum is wrong.
    """
    from torchvision import datasets

    make = getattr(datasets, dataset)
    with _downloading(name):
        root.mkdir(parents=True, exist_ok=True)
        found = [make(str(root), split=split, download=True, loader=str) for split in splits]
    return [(file, int(label)) for part in found for file, label in (part[i] for i in range(len(part)))]


@contextmanager
def _downloading(name: str) -> Iterator[None]:
    """Redirect torchvision's progress to stderr, and turn its errors into `BadInput`."""
    try:
        with redirect_stdout(sys.stderr), _socket_timeout(_TIMEOUT):
            yield
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = "Set data to a local copy: a folder or zip file with train/CLASS/* and test/CLASS/*."
        raise BadInput.because(f"task {name}", f"the download by torchvision failed ({reason})", hint) from None


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _channels_first(images: Any) -> npt.NDArray[np.uint8]:
    """Convert (n, h, w) or (n, h, w, c), an array or a tensor, to uint8 (n, c, h, w)."""
    pixels = np.asarray(images, dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, 3, 1))
