"""The lock of a study's folder: one process writes at a time. What a refused or failed command leaves behind."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from crossnorm.errors import BadInput
from crossnorm.io import read_json, refuse_link, remove_leftovers, storage_fault, write_atomically
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["forgotten_if_refused", "locked", "unwritable"]

_LOCKS = (".lock", ".owner", ".workers")
_WITHOUT_RESULT = ("log.txt", "metrics.jsonl", "result.json")  # files of a run that has not finished
_ABANDONED = 600.0
"""Seconds from which on a temporary file counts as left by a killed process; `report` writes without the lock."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; the system frees the lock when the process ends.

    Raises:
        BadInput: Another process holds the lock, or the folder cannot be written.
    """
    owner, new = folder / ".owner", [each for each in (folder, *folder.parents) if not each.exists()]
    _refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        held = owner.read_text(encoding="utf-8", errors="replace").strip() if owner.exists() else "another process"
        raise BadInput.because(str(folder), f"the folder is locked by {held}", _while_locked(folder)) from None
    except OSError as error:
        raise BadInput(str(folder), "a writable folder", error.strerror or str(error)) from None
    try:
        write_atomically(owner, f"process {os.getpid()} on {socket.gethostname()}\n")
        remove_leftovers(folder, older_than=_ABANDONED)
        yield
    except OSError as error:
        fault = storage_fault(error)
        if fault is None:
            raise
        raise unwritable(folder, fault) from None
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        if new and not (folder / "study.yaml").exists():
            _remove_empty(folder, new)  # before the release: another process may lock the folder then
        lock.release()


def _refuse_links(folder: Path) -> None:
    """Refuse links in place of files that are opened for writing; other files are replaced, link or not."""
    for path in (folder / name for name in (".lock", ".workers", "runs")):
        refuse_link(path)


def _remove_empty(folder: Path, new: Sequence[Path]) -> None:
    """Remove the folders that `locked` made, if they hold nothing but its own files."""
    with suppress(OSError):
        if all(path.name in _LOCKS for path in folder.iterdir()):
            for path in list(folder.iterdir()):
                path.unlink()
            for each in new:
                each.rmdir()


def _while_locked(folder: Path) -> str:
    """What the user can do while another process runs the study."""
    name = shlex.quote(str(folder))
    return (
        f"The study is running. Follow it with: crossnorm watch {name}; draw its results so far with: "
        f"crossnorm report {name}. Or give another output folder."
    )


@contextmanager
def forgotten_if_refused(folder: Path, *, begins: bool) -> Iterator[None]:
    """If bad input ends the block, remove a study that this command began and that has nothing to go on from.

    Otherwise the study of a refused command would block its folder for the correct one. Checkpoints, finished runs, and
    files that a training function wrote are always kept.

    Args:
        folder: The study's folder, locked and opened.
        begins: Whether this command began the study.
    """
    try:
        yield
    except BadInput:
        if begins:
            with suppress(OSError):
                _forget(folder)
        raise


def _forget(folder: Path) -> None:
    runs = folder / "runs"
    files = [path for path in runs.rglob("*") if not path.is_dir()]
    results = [read_json(path) for path in files if path.name == "result.json"]
    crashed = all(isinstance(result, dict) and result.get("status") == RunStatus.CRASHED for result in results)
    if crashed and all(path.name in _WITHOUT_RESULT for path in files):
        shutil.rmtree(runs, ignore_errors=True)
        (folder / "study.yaml").unlink(missing_ok=True)


def unwritable(folder: Path, fault: str) -> BadInput:
    """The error for a storage fault; it ends the study, and no run counts as crashed."""
    hint = "Finished runs are kept. Fix the disk, then run the same command to resume."
    return BadInput.because(str(folder), f"cannot write: {fault}", hint)
