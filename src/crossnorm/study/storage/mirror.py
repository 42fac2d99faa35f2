"""A copy of a study's folder somewhere else, through fsspec: finished runs and checkpoints, to go on from.

What is damaged on the way is noticed as it is in the folder itself: by seals and checksums. Knows nothing of what the
files say.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage import run_folder as store

__all__ = ["Mirror"]

_EVERY = 60.0
"""Seconds between two copies of an unfinished run."""
_STUDY = ("study.yaml", "verdict.json", "table.csv", "curves.png", "trend.png", "report.html")
_RUN = ("checkpoint.safetensors", "metrics.jsonl", "result.json")
"""In this order: a curve may be ahead of its checkpoint, never behind, and an outcome is the last word."""


class Mirror:
    """The copy of one study's folder; a `Tracker` that is told of every evaluation.

    Args:
        url: Any that fsspec opens: ``s3://bucket/study``, ``file:///mnt/disk/study`` …
        folder: The study's.

    Raises:
        BadInput: A URL that cannot be opened, or whose client is not installed.
    """

    def __init__(self, url: str, folder: Path) -> None:
        from fsspec.core import url_to_fs

        try:
            self._files, root = url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise BadInput("--mirror", "a URL that fsspec can open", f"{url} ({error})") from None
        self._url, self._root, self._folder = url, str(root).rstrip("/"), folder
        self._copied: dict[Run, float] = {}

    def fetch(self) -> int:
        """Copy what the folder has not; gives back the number of files.

        Raises:
            BadInput: The mirror cannot be read.
        """
        count = 0
        try:
            for found in self._files.find(self._root):
                place = self._folder / str(found)[len(self._root) :].lstrip("/")
                if not place.exists() and self._folder.resolve() in place.resolve().parents:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    # Under another name until it is whole: what an interruption leaves is no file of the study.
                    partial = place.with_name(f".{place.name}.new")
                    self._files.get_file(found, str(partial))
                    partial.replace(place)
                    count += 1
        except FileNotFoundError:
            return count  # nothing was ever copied there
        except OSError as error:
            raise BadInput("--mirror", "a place that can be read", f"{self._url} ({error})") from None
        return count

    def copy_study(self) -> None:
        """Copy the plan, and the answer as far as there is one."""
        self._copy(self._folder, _STUDY)

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        """Copy the run's resume point, once a minute."""
        if time.monotonic() - self._copied.get(run, -_EVERY) >= _EVERY:
            self._copied[run] = time.monotonic()
            self._copy(store.run_folder(self._folder, run), _RUN[:-1])

    def finished(self, run: Run) -> None:
        """Copy the run's curve and outcome; its resume point is of no use any more."""
        own = store.run_folder(self._folder, run)
        self._copy(own, _RUN)
        if not store.checkpoint_of(own).exists():
            with suppress(FileNotFoundError):
                self._files.rm_file(self._there(store.checkpoint_of(own)))

    def close(self) -> None:
        """Nothing is held open."""

    def _copy(self, folder: Path, names: tuple[str, ...]) -> None:
        try:
            self._files.makedirs(self._there(folder), exist_ok=True)
            for name in names:
                with suppress(FileNotFoundError):  # not written yet, or just being replaced
                    self._files.put_file(str(folder / name), self._there(folder / name))
        except OSError as error:
            hint = "The study's own folder has everything: the same command goes on."
            raise BadInput("--mirror", "a place that can be written", f"{self._url} ({error})", hint) from None

    def _there(self, path: Path) -> str:
        relative = path.relative_to(self._folder).as_posix()
        return self._root if relative == "." else f"{self._root}/{relative}"
