"""Files: atomic writes, checks before reading, digests, JSON, names. Nothing is written through a symbolic link."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO
from urllib.parse import quote

from crossnorm.errors import BadInput

__all__ = [
    "StorageError",
    "atomic_path",
    "bounded_lines",
    "encoded_name",
    "file_sha256",
    "make_folder",
    "open_to_append",
    "read_json",
    "refuse_link",
    "regular_file",
    "remove_leftovers",
    "storage_fault",
    "storing",
    "write_atomically",
    "write_json",
]


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Context manager for a temporary file that replaces ``path`` when the block ends, or is removed if it fails.

    Readers never see a partial file, and the content is flushed to disk before the rename. The temporary file is a new
    ``.NAME.….tmp`` in the same folder, of a name that cannot be foreseen; `remove_leftovers` removes those of killed
    writers. If ``path`` is a symbolic link, the link is replaced.
    """
    if path.is_dir() and not path.is_symlink():
        raise IsADirectoryError(errno.EISDIR, "a folder is in the way", str(path))
    temporary = _unique(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the content of a file atomically; text is encoded as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def open_to_append(path: Path) -> IO[bytes]:
    """A file opened to append bytes, created if missing.

    Raises:
        OSError: The file is a symbolic link (``ELOOP``), not a regular file, or cannot be written.
    """
    file = open(path, "ab", opener=_not_through_links)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def _not_through_links(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe waits for a reader.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)


def refuse_link(path: Path) -> None:
    """Check that a path is no symbolic link, before something is written at or below it.

    Raises:
        BadInput: It is one.
    """
    if path.is_symlink():
        hint = "crossnorm writes only inside the study's folder: remove the link, or replace it by what it points to."
        raise BadInput.because(str(path), "a symbolic link", hint)


def remove_leftovers(folder: Path, older_than: float = 0.0) -> None:
    """Remove the temporary files that killed writers left in a folder.

    Args:
        folder: May be missing.
        older_than: Seconds; younger files may belong to a writer that is alive.
    """
    for temporary in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - temporary.lstat().st_mtime >= older_than:
                temporary.unlink()


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_LONGEST_LINE = 1_000_000


def regular_file(path: Path, *, most: int | None = None, name: str = "", hint: str = "") -> Path:
    """The path of a file that can be read: call it before a file of the user's is opened.

    To open a named pipe may block for ever, and a device may have no end.

    Args:
        path: The file.
        most: The largest size in bytes; None: any.
        name: What to call it in errors; default: the path.
        hint: What to do if there is no such file.

    Raises:
        BadInput: No such file, something else than a regular file, one that is too large, or one that cannot be read.
    """
    name = name or str(path)
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise BadInput(name, "a file", _KINDS.get(stat.S_IFMT(about.st_mode), "something else"))
        if most is not None and about.st_size > most:
            raise BadInput(name, f"a file of at most {most / 1e6:g} MB", f"{about.st_size / 1e6:.1f} MB")
        with path.open("rb"):
            return path
    except FileNotFoundError:
        raise BadInput.because(name, "no such file", hint) from None
    except OSError as error:
        raise BadInput.because(name, f"cannot be read: {error.strerror or error}") from None
    except BadInput:
        raise
    except ValueError:  # a null character
        raise BadInput.because(name, "not a file name") from None


def bounded_lines(file: TextIO, name: str) -> Iterator[str]:
    """The lines of an open text file.

    Raises:
        BadInput: A line is too long to be held in memory safely.
    """
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise BadInput(name, f"lines of at most {_LONGEST_LINE} characters", "a longer one")
        yield line


def file_sha256(*paths: Path) -> str:
    """SHA-256 of the concatenated content of files, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def make_folder(path: Path) -> None:
    """Create a folder if it does not exist, and check that it is writable.

    Raises:
        BadInput: The folder cannot be created or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise BadInput(str(path), "a folder that can be written", error.strerror or str(error)) from None


def _unique(path: Path) -> Path:
    """A new empty file beside ``path``, with the permissions of any new file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    mask = os.umask(0)
    os.umask(mask)
    Path(name).chmod(0o666 & ~mask)
    return Path(name)


def _sync(folder: Path) -> None:
    """Flush the entries of a folder to disk, where the system supports it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """`write_atomically` of JSON with sorted keys."""
    write_atomically(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


_STORAGE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "I/O error",
    errno.EFBIG: "the file size limit is reached",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
}


class StorageError(OSError):
    """A file of a study cannot be written; `strerror` is the reason."""


@contextmanager
def storing(folder: Path) -> Iterator[None]:
    """Turn every `OSError` of a ``with`` block that writes into a study's folder into a `StorageError`."""
    try:
        yield
    except OSError as error:
        reason = _STORAGE.get(error.errno or 0)
        if reason is None:
            name = Path(str(error.filename)).name if error.filename else "a file"
            reason = f"{name}: {error.strerror}" if folder.is_dir() else "the folder was moved or removed"
        raise StorageError(error.errno, reason, error.filename) from error


def storage_fault(error: BaseException) -> str | None:
    """The reason of an error of the disk, which a retry would not fix; None for any other error."""
    if isinstance(error, StorageError):
        return error.strerror
    return _STORAGE.get(error.errno or 0) if isinstance(error, OSError) else None


def read_json(path: Path) -> Any:
    """The value of a JSON file; None if the file is missing or invalid."""
    try:
        return json.loads(regular_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def encoded_name(name: str) -> str:
    """Encode a name as a path component: percent-encoded, at most 200 characters."""
    encoded = quote(name, safe="@+=,~", errors="surrogateescape")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > 200:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
        encoded = encoded[:160].rstrip("%") + "~" + digest[:16]
    return encoded
