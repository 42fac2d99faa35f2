"""List the files of class folders, train/CLASS/* and test/CLASS/*, in a folder or a zip file.

Hidden files are skipped; any other file that does not fit is an error.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from crossnorm.errors import BadInput
from crossnorm.io import regular_file

__all__ = ["SPLITS", "ClassFolders", "class_folders", "identity"]

SPLITS = ("train", "test")

_LAYOUT = "a folder or zip file that holds train/CLASS/* and test/CLASS/*"
_TEST_NAMES = ("test", "val")  # of the test split; the first that exists is used
_SYSTEM_FILES = ("Thumbs.db", "desktop.ini", "__MACOSX")


@dataclass(frozen=True, kw_only=True)
class ClassFolders:
    """The open class folders of both splits.

    Args:
        path: The folder or zip file.
        classes: Class names, in order.
        names: Split → image names, sorted by class and name.
        labels: Split → class index of each image.
        read: Returns the bytes of a name.
        location: Returns the path of a name on disk or in the zip file.
        version: Returns the size of a file, in a zip file also its checksum: changes when the bytes change.
    """

    path: Path
    classes: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, npt.NDArray[np.int64]]
    read: Callable[[str], bytes]
    location: Callable[[str], str]
    version: Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The entries below train/ and test/: name → location. Names of folders end with a slash."""

    path: Path
    entries: dict[str, str]
    read: Callable[[str], bytes]
    version: Callable[[str], str]


@contextmanager
def class_folders(path: Path) -> Iterator[ClassFolders]:
    """Open the class folders in ``path`` or one folder below it; test/ may be called val/.

    Raises:
        BadInput: Another layout, different classes in train and test, or an empty class.
    """
    with _opened(path) as files:
        members = {split: _members(files, split) for split in SPLITS}
        classes = _classes(files, members)
        yield ClassFolders(
            path=path,
            classes=tuple(classes),
            names={split: tuple(name for label in classes for name in members[split][label]) for split in SPLITS},
            labels={
                split: np.repeat(np.arange(len(classes)), [len(members[split][label]) for label in classes])
                for split in SPLITS
            },
            read=lambda name: files.read(files.entries[name]),
            location=lambda name: files.entries[name],
            version=lambda name: files.version(files.entries[name]),
        )


def identity(path: Path) -> list[str]:
    """The path, and a digest of the names, sizes and modification times of its files.

    Args:
        path: The folder or zip file.

    Raises:
        BadInput: The path does not exist, or cannot be read.
    """
    try:
        return _identity(path)
    except OSError as error:
        raise BadInput(f"data {path}", "readable files and folders", str(error)) from None


def _identity(path: Path) -> list[str]:
    if path.exists() and not path.is_dir():
        about = regular_file(path, name=f"data {path}").stat()
        return [str(path.resolve()), f"{about.st_size} {about.st_mtime_ns}"]
    digest = sha256()
    for name in sorted(_folder_entries(path).values()):
        about = Path(name).stat()
        digest.update(f"{name}\0{about.st_size} {about.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return [str(path.resolve()), digest.hexdigest()]


@contextmanager
def _opened(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _Files(
            path=path,
            entries=_folder_entries(path),
            read=lambda name: regular_file(Path(name)).read_bytes(),
            version=lambda name: f"{Path(name).stat().st_size}",
        )
        return
    if not path.exists():
        raise BadInput(f"data {path}", _LAYOUT, "no such file or folder")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        found = f"a file that is not a zip file ({type(error).__name__})"
        raise BadInput(f"data {path}", _LAYOUT, found) from None

    def version(name: str) -> str:
        member = archive.getinfo(name)
        return f"{member.file_size} {member.CRC:08x}"

    with archive:
        yield _Files(path=path, entries=_zip_entries(path, archive.namelist()), read=archive.read, version=version)


def _test_name(tops: Collection[str]) -> str | None:
    """The name of the test split among these folders; None if either split is missing."""
    return next((name for name in _TEST_NAMES if name in tops), None) if SPLITS[0] in tops else None


def _split_root(path: Path) -> tuple[Path, str]:
    """The folder that holds the splits, and the name of the test split."""
    if not path.exists():
        raise BadInput(f"data {path}", _LAYOUT, "no such file or folder")
    inner = sorted(child for child in path.iterdir() if child.is_dir())
    for root in (path, *inner):
        second = _test_name([child.name for child in root.iterdir() if child.is_dir()])
        if second is not None:
            return root, second
    raise _no_splits(path, [child.name + "/" for child in inner])


def _folder_entries(path: Path) -> dict[str, str]:
    def fail(error: OSError) -> None:  # by default os.walk ignores errors
        raise error

    root, second = _split_root(path)
    entries = {}
    for split, top in zip(SPLITS, (SPLITS[0], second), strict=True):
        for folder, folders, files in os.walk(root / top, onerror=fail, followlinks=True):
            below = PurePosixPath(split, Path(folder).relative_to(root / top).as_posix())
            entries.update({f"{below / name}/": os.path.join(folder, name) for name in folders})  # noqa: PTH118
            entries.update({str(below / name): os.path.join(folder, name) for name in files})  # noqa: PTH118
    return _visible(entries)


def _zip_entries(path: Path, names: list[str]) -> dict[str, str]:
    entries = _visible({name.replace("\\", "/"): name for name in names})
    tops = {name.split("/")[0] for name in entries}
    for top in ("", *(f"{top}/" for top in sorted(tops))):
        below = {name[len(top) :]: raw for name, raw in entries.items() if name.startswith(top)}
        second = _test_name({name.split("/")[0] for name in below if "/" in name})
        if second is not None:
            splits = {SPLITS[0]: SPLITS[0], second: SPLITS[1]}
            found = ((name.partition("/"), raw) for name, raw in below.items())
            return {f"{splits[first]}/{rest}": raw for (first, _, rest), raw in found if first in splits and rest}
    raise _no_splits(path, sorted(tops))


def _visible(entries: dict[str, str]) -> dict[str, str]:
    def hidden(name: str) -> bool:
        return any(part.startswith(".") or part in _SYSTEM_FILES for part in name.split("/"))

    return {name: raw for name, raw in entries.items() if not hidden(name)}


def _no_splits(path: Path, found: list[str]) -> BadInput:
    shown = ", ".join(found[:5]) + (" …" if len(found) > 5 else "") if found else "none of them"
    return BadInput(f"data {path}", _LAYOUT, shown)


def _members(files: _Files, split: str) -> dict[str, list[str]]:
    """Class → names of its files, sorted."""
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
    train, test = (members[split] for split in SPLITS)
    for split, other in ((train, test), (test, train)):
        missing = sorted(split.keys() - other.keys())
        if missing:
            names = "train/ and not in test/" if split is train else "test/ and not in train/"
            raise BadInput(where, "the same classes in train/ and test/", f"{missing[0]!r} only in {names}")
    for name in SPLITS:
        empty = [label for label, inside in members[name].items() if not inside]
        if empty:
            raise BadInput(where, "at least one image in every class", f"nothing in {name}/{empty[0]}/")
    if len(train) < 2:
        raise BadInput(where, "at least two class folders in train/", f"{len(train)}")
    return sorted(train)
