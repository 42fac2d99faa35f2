"""`watch`: the live page of a study's folder."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crossnorm.api._result import Result
from crossnorm.api._stored_result import load
from crossnorm.errors import BadInput
from crossnorm.report.html.http_server import bind_server, is_private
from crossnorm.report.html.live_page import LiveProgress, LiveWorker, live_page, progress_html, waiting_page
from crossnorm.study.monitoring.status_file import SILENT_AFTER, read_status

__all__ = ["Watched", "watch"]

_PATIENCE = 4.0  # wait at least this many times the time that the last reading took


def watch(
    folder: Path | str,
    *,
    wait: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str, bool], None] = lambda address, private: None,
) -> None:
    """Serve the live page of a study's folder until interrupted.

    Args:
        folder: The study's folder.
        wait: Serve a waiting page while the folder holds no study yet.
        host: The address to listen on; with another than 127.0.0.1 other machines can read the page.
        port: The port to listen on; 0: any free one.
        ready: Called with the page's address once it is served, and whether only this machine reaches it.

    Raises:
        BadInput: The folder holds no study, or the address is empty or cannot be listened on.
    """
    if not wait and not (Path(folder) / "study.yaml").exists():
        hint = "Start the study with crossnorm plot, or let the page wait for it with --wait."
        raise BadInput.because(str(folder), "no study is here: the folder has no study.yaml", hint)
    with bind_server(Watched(Path(folder)), host, port) as server:
        name, port = str(server.server_address[0]), server.server_address[1]
        ready(f"http://{f'[{name}]' if ':' in name else name}:{port}/", is_private(server))
        server.serve_forever()


@dataclass(frozen=True, kw_only=True)
class _Contents:
    """The folder's contents at the last reading: the result, or a headline and message why there is none."""

    version: str
    result: Result | None = None
    headline: str = ""
    message: str = ""


class Watched:
    """The page of one folder. The folder is read again when its files change, but not too often if that takes long."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._contents: _Contents | None = None
        self._page: tuple[str, str] | None = None
        self._not_before = 0.0

    def progress(self) -> Mapping[str, str]:
        """The page's version and the progress as it is now."""
        with self._lock:
            seen = self._read()
        return {"version": seen.version, "html": progress_html(progress_of(self.folder, seen.result))}

    def page(self) -> str:
        """The whole page; drawn once for each version."""
        with self._lock:
            seen = self._read()
            if self._page is None or self._page[0] != seen.version:
                self._page = seen.version, self._draw(seen)
            return self._page[1]

    def _read(self) -> _Contents:
        """The folder's contents, read again if any file has changed."""
        started = time.monotonic()
        if self._contents is not None and started < self._not_before:
            return self._contents
        version = _fingerprint(self.folder)
        if self._contents is None or self._contents.version != version:
            self._contents = _read_folder(self.folder, version)
            self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - started)
        return self._contents

    def _draw(self, seen: _Contents) -> str:
        started = time.monotonic()
        progress = progress_of(self.folder, seen.result)
        page = None
        if seen.result is not None:
            try:
                page = live_page(
                    table=seen.result.table, verdict=seen.result.verdict, facts=seen.result.facts, progress=progress
                )
            except Exception as error:
                seen = _broken(error, seen.version)
        self._not_before = time.monotonic() + _PATIENCE * (time.monotonic() - started)
        return page or waiting_page(self.folder.name or str(self.folder), seen.headline, seen.message, progress)


def _read_folder(folder: Path, version: str) -> _Contents:
    if not (folder / "study.yaml").exists():
        if folder.exists() and not folder.is_dir():
            return _Contents(version=version, headline="This cannot be shown.", message=f"{folder} is not a folder.")
        message = f"There is no study in {folder} yet. This page updates when one starts."
        return _Contents(version=version, headline="No study yet.", message=message)
    try:
        result = load(folder)
    except Exception as error:  # the page shows a message whatever is wrong
        return _broken(error, version)
    return _Contents(version=version, result=result)


def _broken(error: Exception, version: str) -> _Contents:
    message = (
        str(error)
        if isinstance(error, BadInput)
        else f"The files of the study are inconsistent ({type(error).__name__}: {error})."
    )
    return _Contents(version=version, headline="The folder cannot be read.", message=message)


def _fingerprint(folder: Path) -> str:
    """Changes whenever a learning curve, an outcome or the plan does."""
    paths = [folder, folder / "study.yaml", folder / "verdict.json"]
    paths += sorted([*folder.glob("runs/*/*/metrics.jsonl"), *folder.glob("runs/*/*/result.json")])
    digest = hashlib.sha256()
    for path in paths:
        with suppress(OSError):
            found = path.stat()
            size = (found.st_mtime_ns, found.st_size) if path.is_file() else ()
            digest.update(repr((str(path), path.is_dir(), *size)).encode())
    return digest.hexdigest()[:16]


def progress_of(folder: Path, result: Result | None) -> LiveProgress:
    """Progress of the study: outcomes from the folder, running runs from its status file."""
    status = read_status(folder)
    alive = status is not None and status["age"] <= SILENT_AFTER
    if result is None:
        return LiveProgress(state="running" if alive else "waiting")
    outcomes = result.table.status
    called = outcomes != "settled"
    runs, done = int(called.sum()), int((called & (outcomes != "missing")).sum())
    failed = int(np.isin(outcomes, ("diverged", "crashed")).sum())
    if status is None or not alive:
        stopped = "stopped" if status is None else "silent"
        state = "done" if done == runs else stopped
        return LiveProgress(state=state, runs=runs, done=done, failed=failed, share=done / max(1, runs))  # type: ignore[arg-type]
    workers = tuple(w for w in (_worker(number, known) for number, known in status["workers"].items()) if w is not None)
    index = {seed: k for k, seed in enumerate(result.table.seeds)}
    known_arms = {arm.name: k for k, arm in enumerate(result.table.arms)}  # the folder may have grown since
    training = [
        (arm, worker)
        for worker in workers
        for arm in worker.arms
        if worker.seed in index and arm in known_arms and outcomes[known_arms[arm], index[worker.seed]] == "missing"
    ]
    part = sum(worker.share for _, worker in training)
    return LiveProgress(
        state="running",
        runs=runs,
        done=done,
        failed=failed,
        running=len(training),
        share=min(1.0, (done + part) / max(1, runs)),
        seconds_left=status.get("seconds_left"),
        workers=tuple(worker for worker in workers if any(worker is other for _, other in training)),
    )


def _worker(number: str, known: Any) -> LiveWorker | None:
    """A worker of the status file; None if the entry is damaged."""
    try:
        return LiveWorker(
            number=int(number),
            seed=known["seed"],
            arms=tuple(known["arms"]),
            share=min(1.0, known["done"] / max(1, known["total"])),
            speed=known["examples_per_second"],
            memory=known["memory"],
        )
    except (KeyError, TypeError, ValueError):
        return None
