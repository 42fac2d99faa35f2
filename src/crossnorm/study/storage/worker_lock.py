"""A fence between the workers of a study that was killed and those of the call that goes on with it.

A lock that workers inherit from who starts them, so that the system frees it when the last of them is gone, whatever
becomes of the first. Knows nothing of what workers do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossnorm.errors import BadInput

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["fence"]

_PATIENCE = 10.0
"""Seconds; an orphaned worker ends within five."""


@contextmanager
def fence(folder: Path) -> Iterator[tuple[int, ...]]:
    """Hold the workers' lock of a folder; gives the file descriptors that every worker has to inherit.

    None where the system has no such locks.

    Raises:
        BadInput: Workers of an earlier call are still there after ten seconds.
    """
    if fcntl is None:
        yield ()
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".workers", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        until = time.monotonic() + _PATIENCE
        while not _taken(handle):
            if time.monotonic() > until:
                raise BadInput(str(folder), "no worker of an earlier call", "one that is still at work", "Wait for it.")
            time.sleep(0.05)
        yield (handle,)
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
