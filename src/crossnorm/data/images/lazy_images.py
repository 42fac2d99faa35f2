"""Photographs of any size, decoded when a batch is read: random crops for training, center crops for testing.

For data sets that do not fit into memory; nothing is kept between batches.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from crossnorm.data.images.decode import decoded
from crossnorm.data.images.resized_crops import center, draw_crops, resized
from crossnorm.data.task_registry import CropSpec
from crossnorm.io import regular_file

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Photographs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """Image files that are read as batches uint8 (rows, 3, size, size); gray images get three channels.

    Args:
        files: Paths on disk, or names in the archive.
        archive: The zip file; None: plain files.
        spec: Of the crops.
    """

    files: Sequence[str]
    archive: Path | None
    spec: CropSpec

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(images, channels, height, width)."""
        return len(self), 3, self.spec.size, self.spec.size

    def head(self, count: int) -> Photographs:
        """The first ``count`` photographs."""
        return replace(self, files=self.files[:count])

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """The center crop of each image, for testing."""
        images = self._images(rows)
        return _batch(_map(lambda image: center(image, self.spec), images))

    def crops(self, rows: Tensor | slice, generator: torch.Generator) -> Tensor:
        """A random crop of each image, for training."""
        images = self._images(rows)
        sizes = torch.tensor([(image.height, image.width) for image in images])
        crops = draw_crops(sizes, self.spec.scale, generator).tolist()
        pairs = [(image, tuple(crop)) for image, crop in zip(images, crops, strict=True)]
        return _batch(_map(lambda pair: resized(pair[0], pair[1], self.spec.size), pairs))

    def _images(self, rows: Tensor | slice) -> list[Image]:
        indices = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        return _map(self._image, [self.files[i] for i in indices])

    def _image(self, file: str) -> Image:
        if self._open is None:
            return decoded(lambda: regular_file(Path(file)).read_bytes(), f"data {file}")
        archive = self._open
        return decoded(lambda: archive.read(file), f"data {self.archive}: {file}")

    @cached_property
    def _open(self) -> zipfile.ZipFile | None:
        return None if self.archive is None else zipfile.ZipFile(self.archive)


def _map(function: Callable[..., Image], items: Iterable[object]) -> list[Image]:
    """Map in as many threads as torch uses; Pillow releases the GIL."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, items))


def _batch(images: list[Image]) -> Tensor:
    pixels = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
