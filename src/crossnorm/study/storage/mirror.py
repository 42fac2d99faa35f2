"""Copy a study's folder to another file system through fsspec, and resume from the copy.

The seals and checksums of the files detect a damaged copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder

__all__ = ["Mirror", "mirrored"]

_INTERVAL = 60.0
"""Seconds between two copies of an unfinished run."""
_STUDY_FILES = ("study.yaml", "verdict.json", "table.csv", "curves.png", "trend.png", "report.html")
_RUN_FILES = ("log.txt", "checkpoint.safetensors", "metrics.jsonl", "result.json")
"""In this order: a copied curve may be newer than its checkpoint, never older; the outcome comes last."""


class Mirror:
    """The copy of a study's folder; a `Tracker` of the study's runs.

    Args:
        url: Any URL that fsspec opens: ``s3://bucket/study``, ``file:///mnt/disk/study`` …
        folder: The study's folder.

    Raises:
        BadInput: The URL cannot be opened, or its client is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        from fsspec.core import url_to_fs

        try:
            self._files, root = url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise BadInput("mirror", "a URL that fsspec can open", f"{url} ({error})") from None
        self._url, self._root, self._folder = url, str(root).rstrip("/"), folder
        self._copied_at: dict[Run, float] = {}

    def fetch(self) -> int:
        """Copy the files that the folder lacks; returns their number.

        Raises:
            BadInput: The mirror cannot be read.
        """
        count = 0
        try:
            for source in self._files.find(self._root):
                target = self._folder / str(source)[len(self._root) :].lstrip("/")
                if not target.exists() and self._folder.resolve() in target.resolve().parents:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    # Renamed when complete: an interruption leaves no partial file of the study.
                    partial = target.with_name(f".{target.name}.new")
                    self._files.get_file(source, str(partial))
                    partial.replace(target)
                    count += 1
        except FileNotFoundError:
            return count  # the mirror is still empty
        except OSError as error:
            raise BadInput.because("mirror", f"cannot read {self._url}: {error}") from None
        return count

    def copy_study(self) -> None:
        """Copy study.yaml and the stored results."""
        self._copy(self._folder, _STUDY_FILES)

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        """Copy the run's checkpoint and curve, at most once a minute."""
        if time.monotonic() - self._copied_at.get(run, -_INTERVAL) >= _INTERVAL:
            self._copied_at[run] = time.monotonic()
            self._copy(RunFolder.of(self._folder, run).path, _RUN_FILES[:-1])

    def finished(self, run: Run) -> None:
        """Copy the run's curve and outcome, and remove its copied checkpoint unless the run keeps it."""
        own = RunFolder.of(self._folder, run)
        self._copy(own.path, _RUN_FILES)
        if not own.checkpoint.exists():
            with suppress(FileNotFoundError):
                self._files.rm_file(self._remote(own.checkpoint))

    def close(self) -> None:
        """Nothing to close."""

    def _copy(self, folder: Path, names: tuple[str, ...]) -> None:
        try:
            self._files.makedirs(self._remote(folder), exist_ok=True)
            for name in names:
                with suppress(FileNotFoundError):  # not written yet, or being replaced
                    self._files.put_file(str(folder / name), self._remote(folder / name))
        except OSError as error:
            hint = "The study's own folder is complete; run the same command to resume."
            raise BadInput.because("mirror", f"cannot write {self._url}: {error}", hint) from None

    def _remote(self, path: Path) -> str:
        relative = path.relative_to(self._folder).as_posix()
        return self._root if relative == "." else f"{self._root}/{relative}"


@contextmanager
def mirrored(url: str | None, folder: Path, note: Callable[[str], None]) -> Iterator[list[Mirror]]:
    """The study's mirror, if there is a URL: fetches missing files first, copies the results last.

    Args:
        url: See `Mirror`; None: no mirror.
        folder: The study's folder.
        note: Called with a message if files were fetched.
    """
    if url is None:
        yield []
        return
    mirror = Mirror(url, folder)
    if mirror.fetch():
        note(f"Copied the files missing in {folder} from {url}.")
    yield [mirror]
    mirror.copy_study()
