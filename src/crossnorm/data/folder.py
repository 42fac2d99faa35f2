"""Images in class folders, train/CLASS/* and test/CLASS/*, plain or in a zip file.

Knows nothing of tasks and caches: a path goes in, arrays or one clear error come out. Nothing is resized or
left out silently; only hidden files are skipped.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from crossnorm.data.arrays import Arrays
from crossnorm.errors import BadInput

__all__ = ["Progress", "identity", "read_class_folders"]

Progress = Callable[[int, int], object]

_SPLITS = ("train", "test")
_LAYOUT = "a folder or zip file that holds train/CLASS/* and test/CLASS/*"
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_DEBRIS = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The entries below train/ and test/: name → where to read it; folders end with a slash."""

    path: Path
    entries: dict[str, str]
    read: Callable[[str], bytes]


def identity(path: Path) -> list[str]:
    """What changes when the images may have: the path with its files' names, sizes and times.

    Args:
        path: The folder or zip file.

    Raises:
        BadInput: There is no such path, or it or something in it cannot be read.
    """
    try:
        return _identity(path)
    except OSError as error:
        raise BadInput(f"data {path}", "files and folders that can be read", str(error)) from None


def _identity(path: Path) -> list[str]:
    if path.is_file():
        about = path.stat()
        return [str(path.resolve()), f"{about.st_size} {about.st_mtime_ns}"]
    digest = sha256()
    for name in sorted(_folder_entries(_split_root(path)).values()):
        about = Path(name).stat()
        digest.update(f"{name}\0{about.st_size} {about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return [str(path.resolve()), digest.hexdigest()]


def read_class_folders(path: Path, progress: Progress | None = None) -> Arrays:
    """Decode every image below ``path``, in a few threads.

    Classes are numbered in the order of their names; within a class images are in the order of theirs.
    Grey images stay one channel if all are grey, else everything becomes RGB (a transparency channel is dropped).

    Args:
        path: A folder or zip file with train/ and test/ at the top or one folder down.
        progress: Called now and then with (images done, images in all).

    Raises:
        BadInput: No such layout, classes that differ between train and test or are empty, a file that is not an
            image, images of different sizes.
    """
    with _opened(path) as files:
        members = {split: _members(files, split) for split in _SPLITS}
        classes = _classes(files, members)
        names = [name for split in _SPLITS for label in classes for name in members[split][label]]
        images = _decode(files, names, progress)
    train, test = (
        np.repeat(np.arange(len(classes)), [len(members[split][label]) for label in classes]) for split in _SPLITS
    )
    return Arrays(
        train_inputs=images[: len(train)],
        train_targets=train.astype(np.int64),
        test_inputs=images[len(train) :],
        test_targets=test.astype(np.int64),
        classes=tuple(classes),
    )


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        root = _split_root(path)
        yield _Files(path=path, entries=_folder_entries(root), read=lambda name: Path(name).read_bytes())
        return
    if not path.exists():
        raise BadInput(f"data {path}", _LAYOUT, "no such file or folder")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        found = f"a file that is no zip file ({type(error).__name__})"
        raise BadInput(f"data {path}", _LAYOUT, found) from None
    with archive:
        yield _Files(path=path, entries=_zip_entries(path, archive.namelist()), read=archive.read)


def _split_root(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"data {path}", _LAYOUT, "no such file or folder")
    inner = sorted(child for child in path.iterdir() if child.is_dir())
    for root in (path, *inner):
        if all((root / split).is_dir() for split in _SPLITS):
            return root
    raise _no_splits(path, [child.name + "/" for child in inner])


def _folder_entries(root: Path) -> dict[str, str]:
    def stop(error: OSError) -> None:  # os.walk would pass over it in silence
        raise error

    entries = {}
    for split in _SPLITS:
        for folder, folders, files in os.walk(root / split, onerror=stop, followlinks=True):
            below = PurePosixPath(Path(folder).relative_to(root).as_posix())
            entries.update({f"{below / name}/": os.path.join(folder, name) for name in folders})  # noqa: PTH118
            entries.update({str(below / name): os.path.join(folder, name) for name in files})  # noqa: PTH118
    return _visible(entries)


def _zip_entries(path: Path, names: list[str]) -> dict[str, str]:
    entries = _visible({name.replace("\\", "/"): name for name in names})
    tops = {name.split("/")[0] for name in entries}
    for top in ("", *(f"{top}/" for top in sorted(tops))):
        prefixes = tuple(f"{top}{split}/" for split in _SPLITS)
        if all(any(name.startswith(prefix) for name in entries) for prefix in prefixes):
            inside = {name: raw for name, raw in entries.items() if name.startswith(prefixes)}
            return {name[len(top) :]: raw for name, raw in inside.items()}
    raise _no_splits(path, sorted(tops))


def _visible(entries: dict[str, str]) -> dict[str, str]:
    def hidden(name: str) -> bool:
        return any(part.startswith(".") or part in _DEBRIS for part in name.split("/"))

    return {name: raw for name, raw in entries.items() if not hidden(name)}


def _no_splits(path: Path, found: list[str]) -> BadInput:
    shown = ", ".join(found[:5]) + (" …" if len(found) > 5 else "") if found else "nothing of the kind"
    return BadInput(f"data {path}", _LAYOUT, shown)


def _members(files: _Files, split: str) -> dict[str, list[str]]:
    """Class → its files, in the order of their names."""
    members: dict[str, list[str]] = {}
    for name in sorted(files.entries):
        parts = PurePosixPath(name).parts
        if parts[0] != split or len(parts) < 2:
            continue
        if len(parts) == 2 and not name.endswith("/"):
            raise BadInput(f"data {files.path}", f"only class folders in {split}/", f"the file {name}")
        inside = members.setdefault(parts[1], [])
        if not name.endswith("/"):
            inside.append(name)
    return members


def _classes(files: _Files, members: dict[str, dict[str, list[str]]]) -> list[str]:
    where = f"data {files.path}"
    train, test = (members[split] for split in _SPLITS)
    for split, other in ((train, test), (test, train)):
        lost = sorted(split.keys() - other.keys())
        if lost:
            names = "train/ and not in test/" if split is train else "test/ and not in train/"
            raise BadInput(where, "the same classes in train/ and test/", f"{lost[0]!r} only in {names}")
    for name in _SPLITS:
        empty = [label for label, inside in members[name].items() if not inside]
        if empty:
            raise BadInput(where, "at least one image in every class", f"nothing in {name}/{empty[0]}/")
    if len(train) < 2:
        raise BadInput(where, "at least two class folders in train/", f"{len(train)}")
    return sorted(train)


def _decode(files: _Files, names: list[str], progress: Progress | None) -> npt.NDArray[np.uint8]:
    shape = _pixels(files, names[0]).shape[1:]
    images = np.empty((len(names), 3, *shape), dtype=np.uint8)

    def fill(index: int) -> bool:
        pixels = _pixels(files, names[index])
        if pixels.shape[1:] != shape:
            raise _other_size(files, names[0], shape, names[index], pixels.shape[1:])
        images[index] = pixels  # grey spreads over the three channels
        return len(pixels) == 3

    colour = False
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for done, coloured in enumerate(pool.map(fill, range(len(names))), start=1):
            colour |= coloured
            if progress is not None and (done % 100 == 0 or done == len(names)):
                progress(done, len(names))
    return images if colour else np.ascontiguousarray(images[:, :1])


def _pixels(files: _Files, name: str) -> npt.NDArray[np.uint8]:
    """One image as uint8 (1 or 3, height, width)."""
    from PIL import Image

    where = f"data {files.path}: {name}"
    try:
        image: Any = Image.open(BytesIO(files.read(files.entries[name])))
        image.load()
    except Exception as error:  # decoders raise anything on damaged files
        found = f"a file that Pillow cannot read ({type(error).__name__})"
        raise BadInput(where, "an image", found) from None
    if image.mode not in (*_GREY, *_COLOUR):
        raise BadInput(where, "8 bits per channel, grey or colour", f"an image of mode {image.mode}")
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # first: a palette may carry transparency
    grey = image.mode in _GREY
    pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[None] if grey else np.moveaxis(pixels, 2, 0)


def _other_size(files: _Files, first: str, size: tuple[int, ...], name: str, other: tuple[int, ...]) -> BadInput:
    return BadInput(
        f"data {files.path}: {name}",
        f"{size[1]} × {size[0]} pixels, as {first} has",
        f"{other[1]} × {other[0]}",
        "Bring all images to one size first; crossnorm does not resize, since how to is part of the experiment.",
    )
