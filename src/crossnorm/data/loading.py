"""Load a task: look up its row, read or build its arrays in the cache, and make a `Task` of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from crossnorm.adapters.hf_text_classifier import NO_TOKEN
from crossnorm.data import builtin_datasets as sources
from crossnorm.data.arrays import Arrays, array_digest, joint_digest
from crossnorm.data.balanced_order import balanced_order
from crossnorm.data.cache import Stored, cache_folder, cache_key, stored
from crossnorm.data.images.class_folders import identity
from crossnorm.data.images.image_folder import Progress, read_class_folders
from crossnorm.data.images.lazy_image_tasks import check_count, photograph_task
from crossnorm.data.task import Split, Task
from crossnorm.data.task_registry import TaskSpec, default_model, find_task
from crossnorm.data.text.text_tasks import Encoder, stream_source, text_model, text_source
from crossnorm.data.text.token_streams import windows
from crossnorm.data.text.vocabulary import PADDING
from crossnorm.errors import BadInput

__all__ = ["load_task"]


def load_task(
    name: str,
    data: Path | str | None = None,
    *,
    train_examples: int | None = None,
    encoder: Encoder | None = None,
    cache: Path | str | None = None,
    progress: Progress | None = None,
) -> Task:
    """Load a task. The first call generates, downloads or decodes its data; later calls map them from the cache.

    The training set is stored in a fixed order that cycles through the classes (``crossnorm.data.balanced_order``).
    ``train_examples=N`` takes the first N: balanced over the classes, the same for every run and seed, and a subset
    of every larger N. Mean, standard deviation and vocabulary are always those of the whole training set. A file for
    language modeling keeps its order: the first nine tenths are for training, the rest for testing, both cut into
    windows.

    Args:
        name: See ``list_tasks``.
        data: Local data instead of a download: a folder or zip file with train/CLASS/* and test/CLASS/* (images;
            test/ may be called val/), a folder in the usual format of the data set (labeled texts), or a file
            (language). Required for language and for the task ``folder``.
        train_examples: Number of training examples (windows, for language); default: all.
        encoder: Tokenizer of a pretrained model, which encodes the texts; default: words.
        cache: Cache folder; default ``$CROSSNORM_CACHE``, else the user's cache folder.
        progress: Called with (images done, images in all) while images are decoded.

    Raises:
        BadInput: Unknown task, ``data`` without the expected files, a failed download, or ``train_examples`` out of
            range.

    Example:
        >>> import crossnorm
        >>> task = crossnorm.load_task("digits")
        >>> task.train.inputs.shape, task.train.inputs.dtype, task.n_classes
        (torch.Size([1442, 1, 8, 8]), torch.uint8, 10)
        >>> model = crossnorm.create_model(**task.model)
        >>> inputs, targets = next(task.train_batches(0, seed=0, batch_size=32))
        >>> model(inputs).shape, targets.shape
        (torch.Size([32, 10]), torch.Size([32]))
        >>> sum(len(targets) for _, targets in task.test_batches())
        355
    """
    spec = find_task(name)
    path = _data_path(name, spec, data)
    if encoder is not None and spec.text is None:
        raise BadInput("model.from", f"a crossnorm checkpoint for {name}, which has no texts", "a text model")
    if spec.crop is not None:
        return photograph_task(name, spec, path, train_examples, None if cache is None else Path(cache))
    key, build = _source(name, spec, path, encoder, progress)
    entry = stored(key, lambda scratch: _ordered(build(scratch)), None if cache is None else Path(cache))
    _check_shape(name, spec, path, entry)
    task = _task(name, spec, path, entry, train_examples)
    wanted = cache_folder(None if cache is None else Path(cache))
    if entry.root != wanted:
        task = replace(task, notes=f"{task.notes} {wanted} is not writable; arrays in {entry.root}.".strip())
    return task


def _data_path(name: str, spec: TaskSpec, data: Path | str | None) -> Path | None:
    if spec.source in ("mnist1d", "digits") and data is not None:
        hint = "Leave it out, or use the task 'folder' for your own images."
        raise BadInput.because("data", f"not supported for task {name}, whose data are built in", hint)
    if spec.source == "folder" and data is None:
        raise BadInput("data", "a folder or zip file with train/CLASS/* and test/CLASS/*", "none")
    if spec.kind == "language" and data is None:
        raise BadInput.because("data", f"required: a file whose {spec.source} the task {name} predicts")
    return None if data is None else Path(data).expanduser()


def _source(
    name: str, spec: TaskSpec, path: Path | None, encoder: Encoder | None, progress: Progress | None
) -> tuple[str, Callable[[Path], Arrays]]:
    """The key of the cache entry, and the function that builds the arrays in a scratch folder."""
    if spec.text is not None:
        key, read = text_source(name, spec.text, path, encoder)
        return key, lambda scratch: read()
    if spec.kind == "language":
        assert path is not None
        key, read = stream_source(name, spec, path)
        return key, lambda scratch: read()
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
    if arrays.train_inputs.ndim == 1:
        return arrays  # a stream of tokens
    order = balanced_order(arrays.train_targets)
    inputs, targets = arrays.train_inputs[order], arrays.train_targets[order]
    return replace(arrays, train_inputs=inputs, train_targets=targets)


def _check_shape(name: str, spec: TaskSpec, path: Path | None, entry: Stored) -> None:
    """Check the classes and the image size of local data against those of the task."""
    if path is None or spec.shape is None:
        return
    found = (len(entry.arrays.classes), *entry.arrays.train_inputs.shape[1:])
    expected = (spec.n_classes, *spec.shape)
    if found != expected:
        text = "{} classes of images with (channels, height, width) = ({}, {}, {})"
        hint = "Use the task 'folder' for other sizes and other classes."
        raise BadInput(f"data {path}", f"{text.format(*expected)} for {name}", text.format(*found), hint)


def _splits(spec: TaskSpec, arrays: Arrays) -> tuple[Split, Split]:
    if spec.kind == "language":
        return windows(arrays.train_inputs, spec.seq_len), windows(arrays.test_inputs, spec.seq_len)
    return _split(arrays.train_inputs, arrays.train_targets), _split(arrays.test_inputs, arrays.test_targets)


def _split(inputs: np.ndarray, targets: np.ndarray) -> Split:
    return Split(inputs=torch.from_numpy(inputs), targets=torch.from_numpy(targets))


def _task(name: str, spec: TaskSpec, path: Path | None, entry: Stored, train_examples: int | None) -> Task:
    arrays, words = entry.arrays, spec.kind in ("text", "language")
    train, test = _splits(spec, arrays)
    count = check_count(train_examples, len(train))
    used = count * spec.seq_len + 1 if spec.kind == "language" else count
    shape: tuple[int, int, int] = (1, 1, train.inputs.shape[1]) if words else arrays.train_inputs.shape[1:]
    origin = "Read" if words else "Images decoded"
    return Task(
        name=name,
        kind=spec.kind,
        train=Split(inputs=train.inputs[:count], targets=train.targets[:count]),
        test=test,
        n_classes=len(arrays.classes),
        classes=arrays.classes,
        mean=spec.mean or entry.mean,
        std=spec.std or entry.std,
        image_size=shape[1:],
        n_channels=shape[0],
        digest=_digest(entry, None if count == len(train) else used),
        augmentation=spec.augmentation,
        model=text_model(spec, arrays) if words else default_model(spec, shape, len(arrays.classes)),
        notes="" if path is None else f"{origin} from {path.name}.",
        vocabulary=arrays.vocabulary,
        padding=PADDING if arrays.vocabulary else NO_TOKEN,
    )


def _digest(entry: Stored, used: int | None) -> str:
    """Digest of the arrays as used. Digests of whole arrays are stored with them.

    Args:
        entry: The whole arrays.
        used: Number of training examples, or tokens of the training stream; None: all.
    """
    digests = dict(entry.digests)
    if used is not None:
        for field in ("train_inputs", "train_targets"):
            digests[field] = array_digest(getattr(entry.arrays, field)[:used])
    return joint_digest([digests[field] for field in sorted(digests)])
