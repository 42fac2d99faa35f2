"""Writing files so that a reader, or a kill at any instant, never meets a half-written one.

Knows nothing of what is written.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crossnorm.errors import BadInput

__all__ = ["encoded_name", "make_folder", "read_json", "storage_fault", "write_atomically", "write_json"]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file by a whole new one, durable before it takes the name; text becomes UTF-8."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder if there is none, and see that files can be put there: before the work whose outcome they hold.

    Raises:
        BadInput: It is a file, or cannot be made or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise BadInput(str(path), "a folder that can be written", error.strerror or str(error)) from None


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
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
    errno.EIO: "the disk does not answer",
}


def storage_fault(error: BaseException) -> str | None:
    """What is wrong with the disk, if that is what the error is about: trying again would not help."""
    return _STORAGE.get(error.errno or 0) if isinstance(error, OSError) else None


def read_json(path: Path) -> Any:
    """The value of a JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def encoded_name(name: str) -> str:
    """A name as one path component: percent-encoded where it is not plain, short enough for any file system."""
    encoded = quote(name, safe="@+=,~")
    if encoded.startswith("."):
        encoded = "%2E" + encoded[1:]
    if len(encoded) > 200:
        import hashlib

        encoded = encoded[:160].rstrip("%") + "~" + hashlib.sha256(name.encode()).hexdigest()[:16]
    return encoded
