"""The log of a run, ``log.txt`` in its folder: all output of the process that trains it, and the traceback of a crash.

Every try is appended. The runs of a cohort share a process: its output is in the log of the cohort's first run.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.io import open_to_append, regular_file

__all__ = ["append_to_log", "last_lines", "output_in"]

_HEADING = "=== "
_MOST_TAIL = 20_000  # bytes


@contextmanager
def output_in(log: Path, runs: Sequence[str]) -> Iterator[None]:
    """Append the output and errors of this process, and of those it starts, to a log inside a ``with`` block.

    Args:
        log: The file, in an existing folder.
        runs: The runs that start, in words, for the heading.
    """
    with open_to_append(log) as file:
        file.write(f"{_heading('; '.join(runs) + ', started')}\n".encode())
        file.flush()
        _flush()
        kept = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in kept:
                os.dup2(file.fileno(), number)
            yield
        finally:
            _flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def append_to_log(log: Path, text: str, heading: str = "") -> None:
    """Append a text to a log, below a line that says when and, if given, what."""
    with open_to_append(log) as file:
        file.write((f"{_heading(heading)}\n{text.rstrip()}\n" if heading else f"{text.rstrip()}\n").encode())


def last_lines(log: Path) -> list[str]:
    """The last lines of what the newest try wrote; none without a log."""
    try:
        with regular_file(log).open("rb") as file:
            file.seek(max(0, log.stat().st_size - _MOST_TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except (OSError, BadInput):
        return []
    begun = [i for i, line in enumerate(lines) if line.startswith(_HEADING)]
    return [line for line in lines[begun[-1] + 1 if begun else 0 :] if line.strip()]


def _heading(text: str) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{_HEADING}{when}, process {os.getpid()} on {socket.gethostname()}: {text}"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
