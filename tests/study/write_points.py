"""A process that ends itself at the k-th write into a folder: before it takes place, or in the middle of a line.

The interpreter's own audit events count the writes (files opened for writing, renamed, removed, folders made), so that
no write of the code under test can be forgotten.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

DIED = 77
_WRITES = os.O_WRONLY | os.O_RDWR


class Counter:
    """Counts the writes into a folder; ends the process at one of them."""

    def __init__(self, folder: Path, fatal: int | None = None) -> None:
        self.folder, self.fatal, self.count, self.on = str(folder), fatal, 0, True
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.on or event not in ("open", "os.rename", "os.remove", "os.mkdir"):
            return
        path = arguments[0]
        if not isinstance(path, str | os.PathLike) or not os.fspath(path).startswith(self.folder):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITES):
            return
        self.count += 1
        if self.count == self.fatal:
            self.on = False
            if event == "open" and arguments[2] & os.O_APPEND:
                handle = os.open(path, os.O_WRONLY | os.O_APPEND)
                os.write(handle, b'{"step": 1, "los')
            os._exit(DIED)


def in_child(action) -> int:
    """Do it in a forked process; gives its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
