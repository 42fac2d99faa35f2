"""Copy a study's folder to another file system through fsspec, and resume from the copy.

The seals and checksums of the files detect a damaged copy. The mirror of another study is refused, and left as it is.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput, is_plain
from crossnorm.io import atomic_path, refuse_link
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import RESULTS_SEEN, TELLTALE, note_results_seen, refuse_changed_code
from crossnorm.study.storage.study_record import Record, read_folder, same_study

__all__ = ["Mirror", "mirrored"]

_INTERVAL = 60.0
"""Seconds between two copies of an unfinished run."""
_HOSTED = re.compile(r"(file|local)://(?!/|[A-Za-z]:)")
"""A file URL with a host, which fsspec takes for a folder in the working directory."""
_STUDY = "study.yaml"
_SEEN = (RESULTS_SEEN, "verdict.json")
_RESULTS = (*_SEEN, "table.csv", "curves.png", "trend.png", "report.html")
_MODEL = "model"
"""The folder of a kept Transformer."""
_RUN_FILES = ("log.txt", "model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "result.json")
"""In this order: a copied curve may be newer than its checkpoint, never older; the outcome comes last."""


class Mirror:
    """The copy of a study's folder; a `Tracker` of the study's runs.

    Args:
        url: Any URL that fsspec opens: ``s3://bucket/study``, ``file:///mnt/disk/study`` …
        folder: The study's folder.

    Raises:
        BadInput: The URL cannot be opened, its client is not installed, it is chained (``::``) or names a host's files,
            or it names a whole file system, the study's own folder, or one that contains it or lies in it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        from fsspec.core import url_to_fs

        if not url.split("://")[-1].strip("/ ") or not is_plain(url):
            raise BadInput("mirror", "the URL of a folder, such as s3://bucket/study", url or "an empty text")
        if "::" in url or _HOSTED.match(url):  # the place of its files would not be the one that is checked
            raise BadInput("mirror", "the URL of one folder, as s3://bucket/study or file:///mnt/disk/study", url)
        try:
            self._files, root = url_to_fs(url)
        except (ImportError, ValueError, OSError) as error:
            raise BadInput("mirror", "a URL that fsspec can open", f"{url} ({error})") from None
        self._url, self._root, self._folder = url, str(root).rstrip("/"), folder
        self._copied_at: dict[Run, float] = {}
        self._unsealed = False
        self._local = "file" in self._files.protocol
        if self._local:
            _refuse_overlap(Path(self._root).resolve(), folder.resolve())

    def fetch_study(self) -> list[Path]:
        """Copy study.yaml if the folder has none, else check that the mirror holds the same study.

        What tells whether its results have been seen is copied too, since an extension depends on it.

        Returns:
            The copied files.

        Raises:
            BadInput: The mirror cannot be read, or holds another study, other extensions or other files.
        """
        with tempfile.TemporaryDirectory() as scratch, self._reading():
            there = Path(scratch) / _STUDY
            if not self._get(_STUDY, there):
                if self._files.exists(self._root) and self._files.find(self._root):
                    hint = "Give the URL of an empty folder, or of the mirror of this study."
                    raise BadInput.because("mirror", f"{self._url} holds files but no {_STUDY}", hint)
                return []
            try:
                theirs = read_folder(Path(scratch))
            except BadInput:
                raise BadInput.because("mirror", f"the {_STUDY} in {self._url} is damaged or was edited") from None
            ours = read_folder(self._folder)
            assert theirs is not None
            self._unsealed = theirs[1].id is None
            if ours is None:
                self._folder.mkdir(parents=True, exist_ok=True)
            elif not same_study(ours, theirs):
                hint = "Give another URL, or continue that study in an empty output folder."
                raise BadInput.because("mirror", f"{self._url} holds another study than {self._folder}", hint)
            seen = self._seen(len(theirs[0].runs))
            if ours is not None:
                self._refuse_other_extensions(ours[1], theirs[1], seen)
            copied = [self._folder / name for name in (_STUDY, *_SEEN) if self._get(name, self._folder / name)]
            if seen:
                note_results_seen(self._folder)
                copied.append(self._folder / RESULTS_SEEN)
            return copied

    def _refuse_other_extensions(self, ours: Record, theirs: Record, seen: bool) -> None:
        """Check that the folder continues what the mirror holds: the same extensions, perhaps with later ones.

        Results of the mirror may have been seen when the folder was extended elsewhere, which it does not know.
        """
        later = ours.extensions[len(theirs.extensions) :]
        if theirs.extensions != ours.extensions[: len(theirs.extensions)]:
            how = "another state of the study: it was extended there and not here, or otherwise"
        elif seen and not all(extension["results_seen"] for extension in later):
            how = f"results that have been seen, and {self._folder} was extended without them"
        else:
            return
        hint = "Continue from the mirror, in an empty output folder."
        raise BadInput.because("mirror", f"{self._url} holds {how}", hint)

    def _seen(self, runs: int) -> bool:
        """Whether the results of the mirrored study, of so many runs, have been seen; see `open_folder`."""
        names = [str(path)[len(self._root) :].lstrip("/") for path in self._find()]
        return any(name in TELLTALE for name in names) or sum(name.endswith("/result.json") for name in names) >= runs

    def refuse_changed_code(self, plan: Plan, digest: str, code: Mapping[str, str]) -> None:
        """Check that no run in the mirror has finished with other data or code; call it before the study is opened.

        Args:
            plan: The compiled study.
            digest: As in `open_folder`.
            code: As in `open_folder`.

        Raises:
            BadInput: One has: it would be trained again, and replaced.
        """
        with tempfile.TemporaryDirectory() as scratch, self._reading():
            copy = Path(scratch)
            self._get(_STUDY, copy / _STUDY)
            theirs = read_folder(copy)
            changed = {} if theirs is None else theirs[1].changed(plan, digest, code)
            if theirs is None or not changed:
                return
            for own in (RunFolder(copy, run) for run in theirs[0].runs):
                for path in (own.curve, own.path / "result.json"):
                    self._get(path.relative_to(copy).as_posix(), path)
            refuse_changed_code(copy, theirs[0], changed, f"mirror: {self._url}")

    def fetch_runs(self, plan: Plan) -> int:
        """Copy the results and the files of the plan's runs that the folder lacks; returns their number.

        Other files of the mirror are left alone.

        Args:
            plan: The study's plan, with its number.

        Raises:
            BadInput: The mirror cannot be read, or a symbolic link stands in place of a run's folder.
        """
        with self._reading():
            there: defaultdict[str, list[str]] = defaultdict(list)
            for path in self._find():
                folder, _, name = str(path)[len(self._root) :].lstrip("/").rpartition("/")
                there[folder].append(name)
            count = sum(self._get(name, self._folder / name) for name in _RESULTS if name in there[""])
            for run in plan.runs:
                fetched = self._fetch_run(RunFolder(self._folder, run, plan), there)
                count += fetched
                if self._unsealed and fetched:
                    RunFolder(self._folder, run, plan).adopt(RunFolder(self._folder, run), lambda text: None)
            return count

    def _fetch_run(self, own: RunFolder, there: Mapping[str, list[str]]) -> int:
        own.refuse_links()
        refuse_link(own.path / _MODEL)
        name = own.path.relative_to(self._folder).as_posix()
        files = [each for each in _RUN_FILES if each in there.get(name, ())]
        model = [f"{_MODEL}/{each}" for each in there.get(f"{name}/{_MODEL}", ()) if each not in ("", ".", "..")]
        return sum(self._get(f"{name}/{each}", own.path / each) for each in [*model, *files])

    def copy_study(self) -> None:
        """Copy study.yaml and the stored results."""
        self._copy(self._folder, (_STUDY, *_RESULTS))

    def evaluated(self, run: Run, row: Mapping[str, Any]) -> None:
        """Copy the run's checkpoint and curve, at most once a minute."""
        if time.monotonic() - self._copied_at.get(run, -_INTERVAL) >= _INTERVAL:
            self._copied_at[run] = time.monotonic()
            self._copy(RunFolder(self._folder, run).path, _RUN_FILES[:-1])
            self._copy(self._folder, (RESULTS_SEEN,))

    def finished(self, run: Run) -> None:
        """Copy the run's curve and outcome, and remove its copied checkpoint unless the run keeps it."""
        own = RunFolder(self._folder, run)
        if (own.path / _MODEL).is_dir() and not (own.path / _MODEL).is_symlink():
            self._copy(own.path / _MODEL, tuple(path.name for path in (own.path / _MODEL).iterdir()))
        self._copy(own.path, _RUN_FILES)
        self._copy(self._folder, (RESULTS_SEEN,))
        if not own.checkpoint.exists():
            with suppress(FileNotFoundError):
                self._files.rm_file(self._remote(own.checkpoint))

    def forget_study(self) -> None:
        """Remove study.yaml from a mirror whose study never began."""
        with suppress(OSError):
            self._files.rm_file(self._remote(self._folder / _STUDY))

    def close(self) -> None:
        """Nothing to close."""

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BadInput.because("mirror", f"cannot read {self._url}: {error}") from None

    def _find(self) -> list[Any]:
        try:
            return list(self._files.find(self._root))
        except FileNotFoundError:
            return []  # the mirror is still empty

    def _get(self, name: str, target: Path) -> bool:
        """Copy a file of the mirror unless it exists here; renamed when complete, so no partial file is left."""
        if target.exists() or target.is_symlink():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._local:
            self._refuse_links(Path(self._root) / name)
        try:
            with atomic_path(target) as partial:
                self._files.get_file(f"{self._root}/{name}", str(partial))
        except FileNotFoundError:
            return False
        return True

    def _copy(self, folder: Path, names: tuple[str, ...]) -> None:
        try:
            self._files.makedirs(self._remote(folder), exist_ok=True)
            for name in names:
                with suppress(FileNotFoundError):  # not written yet, or being replaced
                    if not (folder / name).is_symlink():  # it may point to a file that is none of the study's
                        self._put(folder / name)
        except OSError as error:
            hint = "The study's own folder is complete; run the same command to resume."
            raise BadInput.because("mirror", f"cannot write {self._url}: {error}", hint) from None

    def _put(self, path: Path) -> None:
        target = self._remote(path)
        if not self._local:
            self._files.put_file(str(path), target)
            return
        self._refuse_links(Path(target).parent)
        with atomic_path(Path(target)) as partial:  # a link in its place is replaced
            shutil.copyfile(path, partial)

    def _refuse_links(self, path: Path) -> None:
        """Check that no part of a path inside a mirror on this machine is a symbolic link."""
        root = Path(self._root)
        for part in (path, *path.parents):
            if part == root:
                return
            if part.is_symlink():
                raise BadInput.because("mirror", f"{part} is a symbolic link", "Remove it, or give another folder.")

    def _remote(self, path: Path) -> str:
        relative = path.relative_to(self._folder).as_posix()
        return self._root if relative == "." else f"{self._root}/{relative}"


def _refuse_overlap(mirror: Path, folder: Path) -> None:
    if mirror == folder or mirror in folder.parents or folder in mirror.parents:
        raise BadInput.because("mirror", f"{mirror} and the study's folder {folder} overlap", "Give another folder.")


@contextmanager
def mirrored(url: str | None, folder: Path) -> Iterator[list[Mirror]]:
    """The study's mirror, if there is a URL: fetches study.yaml if the folder lacks it, and copies the results last.

    If bad input ends the block, the study.yaml of a study that could not begin is removed from where it was copied to.

    Args:
        url: See `Mirror`; None: no mirror.
        folder: The study's folder, locked.

    Raises:
        BadInput: See `Mirror` and `Mirror.fetch_study`.
    """
    if url is None:
        yield []
        return
    mirror, begins = Mirror(url, folder), not (folder / _STUDY).exists()
    fetched = mirror.fetch_study()
    try:
        yield [mirror]
    except BadInput:
        if folder / _STUDY in fetched and not (folder / "runs").exists():
            for path in fetched:
                path.unlink(missing_ok=True)
        elif begins and not fetched and not (folder / _STUDY).exists():
            mirror.forget_study()
        raise
    mirror.copy_study()
