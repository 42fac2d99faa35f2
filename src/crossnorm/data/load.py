"""Loading a task: catalogue row → source → cache → ``Task``.

The one place that joins the parts of this package; knows nothing of how each of them works.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from crossnorm.data import sources
from crossnorm.data.arrays import Arrays, array_digest, joint_digest
from crossnorm.data.cache import Stored, cache_folder, cache_key, stored
from crossnorm.data.catalogue import TaskSpec, default_model, find_task
from crossnorm.data.folder import Progress, identity, read_class_folders
from crossnorm.data.subset import balanced_order
from crossnorm.data.task import Split, Task
from crossnorm.errors import BadInput

__all__ = ["load_task"]


def load_task(
    name: str,
    *,
    data: Path | str | None = None,
    train_examples: int | None = None,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> Task:
    """Load a task of the catalogue; the first time it is generated, downloaded or decoded, later mapped.

    The training set is stored in a fixed order that deals the classes in turn, and ``train_examples=N`` is its
    first N: as balanced over the classes as they allow, the same for every run and seed, and a smaller N is
    contained in a larger one (``crossnorm.data.subset``). Mean and standard deviation are those of the whole
    training set, whatever N.

    Args:
        name: See ``list_tasks``.
        data: A folder or zip file with train/CLASS/* and test/CLASS/*, to take in place of a download; required
            by the task ``folder``.
        train_examples: Number of training examples, 1 to all; default all.
        cache: Cache folder; default ``$CROSSNORM_CACHE``, else the platform's.
        progress: Called with (images done, images in all) while images are decoded.

    Raises:
        BadInput: An unknown task, a path that does not hold what it should, a failed download,
            ``train_examples`` out of range.
    """
    spec = find_task(name)
    path = _data_path(name, spec, data)
    key, build = _source(name, spec, path, progress)
    entry = stored(key, lambda scratch: _ordered(build(scratch)), None if cache is None else Path(cache))
    _check_shape(name, spec, path, entry)
    task = _task(name, spec, path, entry, _check_count(train_examples, len(entry.arrays.train_targets)))
    wanted = cache_folder(None if cache is None else Path(cache))
    if entry.root != wanted:
        task = replace(task, notes=f"{task.notes} {wanted} cannot be written; arrays in {entry.root}.".strip())
    return task


def _data_path(name: str, spec: TaskSpec, data: Path | str | None) -> Path | None:
    if spec.source in ("mnist1d", "digits") and data is not None:
        hint = "Leave it out, or take the task 'folder' for images of your own."
        raise BadInput("data", f"no path: the task {name} brings its own data", str(data), hint)
    if spec.source == "folder" and data is None:
        hint = "Give it by --data PATH."
        raise BadInput("data", "a folder or zip file with train/CLASS/* and test/CLASS/*", "none", hint)
    return None if data is None else Path(data).expanduser()


def _source(
    name: str, spec: TaskSpec, path: Path | None, progress: Progress | None
) -> tuple[str, Callable[[Path], Arrays]]:
    """The key of the task's cache entry and the function that builds its arrays in a scratch folder."""
    if path is not None:
        key = cache_key(name, {"data": identity(path)})
        return key, lambda scratch: read_class_folders(path, progress)
    if spec.source == "mnist1d":
        return cache_key(name, {"mnist1d": version("mnist1d")}), lambda scratch: sources.mnist1d()
    if spec.source == "digits":
        return cache_key(name, {"scikit-learn": version("scikit-learn")}), lambda scratch: sources.digits()
    dataset = spec.dataset
    key = cache_key(name, {"torchvision": dataset})
    return key, lambda scratch: sources.torchvision_dataset(name, dataset, scratch)


def _ordered(arrays: Arrays) -> Arrays:
    order = balanced_order(arrays.train_targets)
    inputs, targets = arrays.train_inputs[order], arrays.train_targets[order]
    return replace(arrays, train_inputs=inputs, train_targets=targets)


def _check_shape(name: str, spec: TaskSpec, path: Path | None, entry: Stored) -> None:
    """Files given in place of a known data set must look like it."""
    if path is None or spec.shape is None:
        return
    found = (len(entry.arrays.classes), *entry.arrays.train_inputs.shape[1:])
    expected = (spec.n_classes, *spec.shape)
    if found != expected:
        text = "{} classes of images with (channels, height, width) = ({}, {}, {})"
        hint = "The task 'folder' takes images of any size and any number of classes."
        raise BadInput(f"data {path}", f"{text.format(*expected)} for {name}", text.format(*found), hint)


def _check_count(train_examples: int | None, available: int) -> int:
    if train_examples is None:
        return available
    whole = isinstance(train_examples, int) and not isinstance(train_examples, bool)
    if not whole or not 1 <= train_examples <= available:
        raise BadInput("train_examples", f"a whole number from 1 to {available}", train_examples)
    return train_examples


def _task(name: str, spec: TaskSpec, path: Path | None, entry: Stored, count: int) -> Task:
    arrays = entry.arrays
    shape: tuple[int, int, int] = arrays.train_inputs.shape[1:]
    return Task(
        name=name,
        kind=spec.kind,
        train=_split(arrays.train_inputs[:count], arrays.train_targets[:count]),
        test=_split(arrays.test_inputs, arrays.test_targets),
        n_classes=len(arrays.classes),
        classes=arrays.classes,
        mean=spec.mean or entry.mean,
        std=spec.std or entry.std,
        image_size=shape[1:],
        n_channels=shape[0],
        digest=_digest(entry, count),
        augmentation=spec.augmentation,
        model=default_model(spec, shape, len(arrays.classes)),
        notes="" if path is None else f"Images decoded from {path.name}.",
    )


def _split(inputs: np.ndarray, targets: np.ndarray) -> Split:
    return Split(inputs=torch.from_numpy(inputs), targets=torch.from_numpy(targets))


def _digest(entry: Stored, count: int) -> str:
    """Of the arrays as used; those of whole arrays are stored, so that loading need not read them."""
    digests = dict(entry.digests)
    if count < len(entry.arrays.train_targets):
        for field in ("train_inputs", "train_targets"):
            digests[field] = array_digest(getattr(entry.arrays, field)[:count])
    return joint_digest([digests[field] for field in sorted(digests)])
