"""A cache of decoded arrays on disk: written once and atomically, then memory-mapped by every process."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import platformdirs

from crossnorm.data.arrays import Arrays, array_digest, moments
from crossnorm.errors import BadInput

__all__ = ["Stored", "cache_folder", "cache_key", "stored"]

_FORMAT = 1  # of the entries, part of every key
_FIELDS = ("train_inputs", "train_targets", "test_inputs", "test_targets")


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """An entry of the cache.

    Args:
        arrays: Memory-mapped, copy on write: the files never change.
        digests: SHA-256 of each array, by name.
        mean: Per channel, of the training inputs; empty for ids.
        std: Like ``mean``.
        root: The cache folder that holds the entry.
    """

    arrays: Arrays
    digests: Mapping[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    root: Path


def cache_folder(given: Path | None = None) -> Path:
    """The cache folder: the argument, else ``$CROSSNORM_CACHE``, else the user's cache folder on this platform."""
    chosen = given or os.environ.get("CROSSNORM_CACHE") or platformdirs.user_cache_dir("crossnorm", appauthor=False)
    return Path(chosen).expanduser()


def cache_key(name: str, identity: Mapping[str, object]) -> str:
    """The folder name of an entry: the task and a hash of everything its arrays depend on."""
    text = json.dumps({**identity, "format": _FORMAT}, sort_keys=True)
    return f"{name}-{sha256(text.encode()).hexdigest()[:16]}"


def stored(key: str, build: Callable[[Path], Arrays], cache: Path | None = None) -> Stored:
    """Read the entry ``key``; build and write it first if it does not exist.

    If the cache folder is not writable, a folder below the system's temporary folder is used. Concurrent processes
    build separately; the first to rename its result wins, and all read the same entry.

    Args:
        key: From ``cache_key``.
        build: Called with an empty scratch folder, returns the arrays.
        cache: See ``cache_folder``.

    Raises:
        BadInput: Neither folder is writable, or the disk is full.
    """
    roots = [cache_folder(cache), *_temporary_root()]
    for root in roots:
        entry = _read(root, key)
        if entry is not None:
            return entry
    return _write(_first_writable(roots), key, build)


def _temporary_root() -> list[Path]:
    """A folder of this user below the system's temporary folder; none if another user has made it."""
    if not hasattr(os, "getuid"):
        return [Path(tempfile.gettempdir()) / "crossnorm-user"]
    root = Path(tempfile.gettempdir()) / f"crossnorm-{os.getuid()}"
    try:
        found = root.lstat()
    except OSError:
        return [root]
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return [root] if own else []


def _first_writable(roots: list[Path]) -> Path:
    reason: OSError | None = None
    for root in roots:
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryDirectory(dir=root):
                return root
        except OSError as error:
            reason = reason or error
    hint = "Set CROSSNORM_CACHE to a writable folder."
    raise BadInput.because(f"cache folder {roots[0]}", f"not writable ({reason})", hint)


def _write(root: Path, key: str, build: Callable[[Path], Arrays]) -> Stored:
    with tempfile.TemporaryDirectory(prefix=".part-", dir=root, ignore_cleanup_errors=True) as part:
        scratch, entry = Path(part, "scratch"), Path(part, "entry")
        scratch.mkdir()
        arrays = build(scratch)
        try:
            entry.mkdir()
            _save(entry, arrays)
        except OSError as error:
            hint = "Set CROSSNORM_CACHE to a folder with more space."
            raise BadInput.because(f"cache folder {root}", f"cannot write the arrays ({error})", hint) from None
        _publish(entry, root, key, aside=Path(part, "broken"))
    found = _read(root, key)
    assert found is not None, f"{root / key} was written and cannot be read"
    return found


def _save(entry: Path, arrays: Arrays) -> None:
    digests = {}
    for field in _FIELDS:
        array = getattr(arrays, field)
        np.save(entry / f"{field}.npy", array)
        digests[field] = array_digest(array)
    mean, std = moments(arrays.train_inputs)
    meta = {"classes": arrays.classes, "digests": digests, "mean": mean, "std": std}
    meta |= {"vocabulary": arrays.vocabulary} if arrays.vocabulary else {}
    (entry / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def _publish(entry: Path, root: Path, key: str, aside: Path) -> None:
    target = root / key
    if target.exists() and _read(root, key) is None:  # damaged
        with suppress(FileNotFoundError):  # another process was first
            target.replace(aside)
    try:
        entry.replace(target)
    except OSError:
        if _read(root, key) is None:  # else another process was first
            raise


def _read(root: Path, key: str) -> Stored | None:
    folder = root / key
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        # "c" (copy on write): torch warns about read-only arrays.
        mapped = {field: np.load(folder / f"{field}.npy", mmap_mode="c") for field in _FIELDS}
        classes, vocabulary = tuple(meta["classes"]), tuple(meta.get("vocabulary", ()))
        return Stored(
            arrays=Arrays(**mapped, classes=classes, vocabulary=vocabulary),
            digests=meta["digests"],
            mean=tuple(meta["mean"]),
            std=tuple(meta["std"]),
            root=root,
        )
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError):
        return None
