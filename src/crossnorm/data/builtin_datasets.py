"""The built-in sources of arrays: generated, inside a package, or downloaded by torchvision.

Knows nothing of the cache; every heavy library is imported where it is used.
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

_SILENCE = 30.0  # seconds without a byte after which a download is given up


def mnist1d() -> Arrays:
    """MNIST-1D (Greydanus & Kobak, arXiv 2011.14439), generated with the package's own defaults and seed.

    4000 sequences of 40 points for training, 1000 for testing, ten classes. The package seeds the global
    generators of ``random`` and numpy; both stand afterwards as before.
    """
    with _global_random_kept():
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
def _global_random_kept() -> Iterator[None]:
    plain, arrays = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)


def digits() -> Arrays:
    """scikit-learn's 1797 handwritten digits, 8 × 8; every fifth of each class is a test example.

    The fifth, tenth, … of each class in the package's order, so the split is stratified and draws nothing.
    The sixteen grey levels above 0 become round(255 / 16 · level).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    targets = bunch.target.astype(np.int64)
    place = np.empty(len(targets), dtype=np.int64)  # of each example within its class
    for label in range(10):
        place[targets == label] = np.arange(np.count_nonzero(targets == label))
    test = place % 5 == 4
    return Arrays(
        train_inputs=images[~test],
        train_targets=targets[~test],
        test_inputs=images[test],
        test_targets=targets[test],
        classes=tuple(map(str, range(10))),
    )


def torchvision_dataset(name: str, dataset: str, scratch: Path) -> Arrays:
    """A data set of torchvision, downloaded and checked against its published MD5 by torchvision.

    Args:
        name: The task's name, for the error.
        dataset: The class in ``torchvision.datasets``.
        scratch: Where the download goes.

    Raises:
        BadInput: The download failed, or what came is not what was published.
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
    """The image files of a data set of torchvision with their classes, downloaded and checked by torchvision.

    Args:
        name: The task's name, for the error.
        dataset: The class in ``torchvision.datasets``; it takes ``split`` and ``loader``.
        root: Where the files are kept; what is there already is not downloaded again.
        splits: Which splits, one after the other.

    Raises:
        BadInput: The download failed, or what came is not what was published.
    """
    from torchvision import datasets

    make = getattr(datasets, dataset)
    with _downloading(name):
        root.mkdir(parents=True, exist_ok=True)
        found = [make(str(root), split=split, download=True, loader=str) for split in splits]
    return [(file, int(label)) for part in found for file, label in (part[i] for i in range(len(part)))]


@contextmanager
def _downloading(name: str) -> Iterator[None]:
    """What torchvision prints is progress, and results alone go to stdout; what it raises is one clear error."""
    try:
        with redirect_stdout(sys.stderr), _patience(_SILENCE):
            yield
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = "Give your copy as class folders, train/CLASS/* and test/CLASS/*, by --data PATH (a folder or zip)."
        raise BadInput(f"task {name}", "a download by torchvision", f"an error ({reason})", hint) from None


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _channels_first(images: Any) -> npt.NDArray[np.uint8]:
    """(n, h, w) or (n, h, w, c), array or tensor, to uint8 (n, c, h, w)."""
    pixels = np.asarray(images, dtype=np.uint8)
    return np.ascontiguousarray(pixels[:, None] if pixels.ndim == 3 else np.moveaxis(pixels, 3, 1))
