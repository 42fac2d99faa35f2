"""Decode images of one size in class folders into arrays. Nothing is resized."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from crossnorm.data.arrays import Arrays
from crossnorm.data.images.class_folders import SPLITS, ClassFolders, class_folders
from crossnorm.data.images.decode import decoded
from crossnorm.errors import BadInput

__all__ = ["Progress", "read_class_folders"]

Progress = Callable[[int, int], object]


def read_class_folders(path: Path, progress: Progress | None = None) -> Arrays:
    """Decode every image below ``path``, in several threads.

    Classes and the images of a class are sorted by name. If all images are gray they have one channel, else all become
    RGB; transparency is dropped.

    Args:
        path: A folder or zip file with train/ and test/ at the top or one folder below.
        progress: Called with (images done, images in all) after every 100 images.

    Raises:
        BadInput: Another layout, different classes in train and test, an empty class, a file that is not an image, or
            images of different sizes.
    """
    with class_folders(path) as files:
        images = _decode(files, [name for split in SPLITS for name in files.names[split]], progress)
        count = len(files.names["train"])
        return Arrays(
            train_inputs=images[:count],
            train_targets=files.labels["train"],
            test_inputs=images[count:],
            test_targets=files.labels["test"],
            classes=files.classes,
        )


def _decode(files: ClassFolders, names: list[str], progress: Progress | None) -> npt.NDArray[np.uint8]:
    shape = _pixels(files, names[0]).shape[1:]
    images = np.empty((len(names), 3, *shape), dtype=np.uint8)

    def fill(index: int) -> bool:
        pixels = _pixels(files, names[index])
        if pixels.shape[1:] != shape:
            raise _other_size(files, names[0], shape, names[index], pixels.shape[1:])
        images[index] = pixels  # gray is broadcast over the three channels
        return len(pixels) == 3

    color = False
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, colored in enumerate(pool.map(fill, range(len(names))), start=1):
            color |= colored
            if progress is not None and (done % 100 == 0 or done == len(names)):
                progress(done, len(names))
    return images if color else np.ascontiguousarray(images[:, :1])


def _pixels(files: ClassFolders, name: str) -> npt.NDArray[np.uint8]:
    """One image as uint8 (1 or 3, height, width)."""
    image = decoded(lambda: files.read(name), f"data {files.path}: {name}")
    pixels = np.asarray(image)
    return pixels[None] if image.mode == "L" else np.moveaxis(pixels, 2, 0)


def _other_size(files: ClassFolders, first: str, size: tuple[int, ...], name: str, other: tuple[int, ...]) -> BadInput:
    return BadInput(
        f"data {files.path}: {name}",
        f"{size[1]} × {size[0]} pixels like {first}",
        f"{other[1]} × {other[0]}",
        "Resize all images to one size first.",
    )
