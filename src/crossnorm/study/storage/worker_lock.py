"""A lock that the workers of a study inherit, so that those of a killed call and of the next never write at once.

The system frees the lock when the last process that inherited it is gone.
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

__all__ = ["hold_worker_lock"]

_TIMEOUT = 10.0
"""Seconds to wait; orphaned workers exit within five."""


@contextmanager
def hold_worker_lock(folder: Path) -> Iterator[tuple[int, ...]]:
    """Hold the workers' lock of a folder; gives the file descriptors that every worker must inherit.

    Gives none on systems without such locks.

    Raises:
        BadInput: A worker of an earlier call is still active after ten seconds.
    """
    if fcntl is None:
        yield ()
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".workers", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        deadline = time.monotonic() + _TIMEOUT
        while not _acquired(handle):
            if time.monotonic() > deadline:
                hint = "Wait until it has ended, then repeat the command."
                raise BadInput.because(str(folder), "a worker from a previous run is still active", hint)
            time.sleep(0.05)
        yield (handle,)
    finally:
        os.close(handle)


def _acquired(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
