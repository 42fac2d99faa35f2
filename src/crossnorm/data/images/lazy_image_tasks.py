"""Tasks of photographs that are decoded when a batch is read: their files, order and digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from crossnorm.data.balanced_order import balanced_order
from crossnorm.data.builtin_datasets import torchvision_files
from crossnorm.data.cache import cache_folder
from crossnorm.data.images.class_folders import SPLITS, class_folders
from crossnorm.data.images.lazy_images import Photographs
from crossnorm.data.task import Split, Task
from crossnorm.data.task_registry import TaskSpec, default_model
from crossnorm.errors import BadInput

__all__ = ["check_count", "photograph_task"]


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """Files and labels of both splits; ``versions`` has the name and the size (in a zip also the checksum) of each."""

    files: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, npt.NDArray[np.int64]]
    versions: Mapping[str, tuple[str, ...]]
    classes: tuple[str, ...]
    archive: Path | None = None


def photograph_task(
    name: str, spec: TaskSpec, path: Path | None, train_examples: int | None, cache: Path | None
) -> Task:
    """The task of the photographs below ``path``, or of a torchvision download.

    The digest covers names, sizes and labels, and in a zip file checksums. It does not read the photographs.

    Args:
        name: Of the task.
        spec: Its row, with ``crop``.
        path: A folder or zip file of class folders; None: a download, kept in the cache folder.
        train_examples: Number of training examples, balanced over the classes; None: all.
        cache: See ``cache_folder``.

    Raises:
        BadInput: Another layout, a failed download, a wrong number of classes, or ``train_examples`` out of range.
    """
    assert spec.crop is not None
    assert spec.shape is not None
    found = _downloaded(name, spec, cache) if path is None else _listed(path)
    if spec.n_classes is not None and len(found.classes) != spec.n_classes:
        hint = "Use the task 'folder' for images of one size and any number of classes."
        raise BadInput(f"data {path}", f"{spec.n_classes} classes for {name}", f"{len(found.classes)}", hint)
    count = check_count(train_examples, len(found.files["train"]))
    order = {"train": balanced_order(found.labels["train"])[:count], "test": np.arange(len(found.files["test"]))}
    splits = {
        part: Split(
            inputs=Photographs(
                files=tuple(found.files[part][i] for i in order[part]), archive=found.archive, spec=spec.crop
            ),
            targets=torch.from_numpy(found.labels[part][order[part]]),
        )
        for part in SPLITS
    }
    return Task(
        name=name,
        kind="image",
        train=splits["train"],
        test=splits["test"],
        n_classes=len(found.classes),
        classes=found.classes,
        mean=spec.mean or (),
        std=spec.std or (),
        image_size=spec.shape[1:],
        n_channels=spec.shape[0],
        digest=_digest(found, order),
        augmentation=spec.augmentation,
        model=default_model(spec, spec.shape, len(found.classes)),
        notes="" if path is None else f"Images decoded from {path.name}.",
    )


def _listed(path: Path) -> _Listing:
    with class_folders(path) as folders:
        names = folders.names
        return _Listing(
            files={part: tuple(map(folders.location, names[part])) for part in SPLITS},
            labels=folders.labels,
            versions={part: tuple(f"{name} {folders.version(name)}" for name in names[part]) for part in SPLITS},
            classes=folders.classes,
            archive=None if path.is_dir() else path,
        )


def _downloaded(name: str, spec: TaskSpec, cache: Path | None) -> _Listing:
    folder = cache_folder(cache) / name.partition("-")[0]  # all sizes share one download
    parts = {"train": ("train", "val"), "test": ("test",)}
    pairs = {part: torchvision_files(name, spec.dataset, folder, parts[part]) for part in SPLITS}
    files = {part: tuple(file for file, _ in pairs[part]) for part in SPLITS}
    return _Listing(
        files=files,
        labels={part: np.array([label for _, label in pairs[part]], dtype=np.int64) for part in SPLITS},
        versions={
            part: tuple(f"{Path(file).name} {Path(file).stat().st_size}" for file in files[part]) for part in SPLITS
        },
        classes=tuple(str(label) for label in sorted({label for _, label in pairs["train"]})),
    )


def _digest(found: _Listing, order: Mapping[str, npt.NDArray[np.int64]]) -> str:
    digest = sha256()
    for part in SPLITS:
        for i in order[part]:
            digest.update(
                f"{part}\0{found.versions[part][i]}\0{found.labels[part][i]}\n".encode("utf-8", "surrogateescape")
            )
    return digest.hexdigest()


def check_count(train_examples: int | None, available: int) -> int:
    """The number of training examples to use.

    Raises:
        BadInput: Not a whole number from 1 to the number of available examples.
    """
    if train_examples is None:
        return available
    whole = isinstance(train_examples, int) and not isinstance(train_examples, bool)
    if not whole or not 1 <= train_examples <= available:
        raise BadInput("train_examples", f"a whole number from 1 to {available}", train_examples)
    return train_examples
