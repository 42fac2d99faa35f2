"""The local executor: worker processes on this machine, one thread each, which get cohort after cohort.

If a worker dies, its unfinished runs are retried (`Retries`).
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import crossnorm
from crossnorm.errors import StudyStopped
from crossnorm.study.events import (
    CohortStarted,
    DiskFailed,
    Event,
    Finished,
    Idle,
    Listener,
    Note,
    decode_event,
    encode,
)
from crossnorm.study.executors.retries import Retries
from crossnorm.study.spec.plan import Cohort
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import last_lines
from crossnorm.study.storage.study_lock import unwritable
from crossnorm.study.storage.worker_lock import hold_worker_lock
from crossnorm.study.workload.job import Job
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["default_workers", "run_local"]

_STILLBORN = 4
"""Workers that may end before their first cohort; more will not help."""
_START = """import sys
sys.path[:] = [entry for entry in sys.path if entry] + sys.argv[1:]
from crossnorm.study.executors.worker import main
main()"""
"""Starts a worker without the working directory, where any file would replace a library, on its path."""

_Events = queue.Queue[tuple["_Worker", Event | None]]
"""Events by worker; None: the worker has died."""


def default_workers() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_local(job: Job, cohorts: Sequence[Cohort], *, workers: int, listen: Listener) -> None:
    """Train cohorts in worker processes; return when every run has an outcome.

    Args:
        job: What the workers train.
        cohorts: The cohorts, in this order.
        workers: Maximum number of processes.
        listen: Receives the events, in this thread.

    Raises:
        BadInput: Workers of an earlier call are still active, the folder cannot be written, or a function does not log
            the study's metric.
        StudyStopped: An arm crashes on every seed, or workers end before they can train.
    """
    if cohorts:
        with hold_worker_lock(job.folder) as inherited:
            _Pool(job, cohorts, listen, inherited).run(workers)


class _Worker:
    """A process, its present cohort, and its standard error."""

    def __init__(self, number: int, job: str, events: _Events, inherited: Sequence[int]) -> None:
        self.number = number
        self.cohort: Cohort | None = None
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        # A new session: an interrupt from the keyboard reaches only the main process, which stops the workers.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, str(Path(crossnorm.__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=True,
            pass_fds=inherited,
        )
        self.send(job)
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: _Events) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # a dying worker may leave half a line
                events.put((self, decode_event(line)))
        events.put((self, None))

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, as its reader thread will notice
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.errors.close()

    def exit_reason(self, folder: Path) -> str:
        """The exit status and the last line of standard error, or of the log of its run."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        if self.cohort is not None:
            lines += last_lines(RunFolder(folder, self.cohort.runs[0]).log)
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"worker ended with {ended}" + (f": {lines[-1]}" if lines else "")


class _Pool:
    def __init__(self, job: Job, cohorts: Sequence[Cohort], listen: Listener, inherited: Sequence[int]) -> None:
        self.folder, self.job, self.listen, self.inherited = job.folder, job.encode(), listen, inherited
        self.pending = deque(cohorts)
        self.events: _Events = queue.Queue()
        self.workers: set[_Worker] = set()
        self.stillborn = 0  # workers that ended before their first cohort, since one began to train
        self.retries = Retries(job.folder, job.plan, self.pending, listen)

    def run(self, workers: int) -> None:
        try:
            for number in range(min(workers, len(self.pending))):
                self._start_worker(number)
            while self.workers:
                worker, event = self._next()
                if worker in self.workers:  # else it has been stopped since
                    self._handle(worker, event)
        finally:
            for worker in self.workers:
                worker.stop()

    def _start_worker(self, number: int) -> None:
        self.workers.add(_Worker(number, self.job, self.events, self.inherited))

    def _next(self) -> tuple[_Worker, Event | None]:
        while True:
            try:  # with a timeout, so that every system notices an interrupt
                return self.events.get(timeout=0.5)
            except queue.Empty:
                continue

    def _handle(self, worker: _Worker, event: Event | None) -> None:
        if event is None:
            self._replace(worker)
        elif isinstance(event, Idle):
            self._give_cohort(worker)
        elif isinstance(event, DiskFailed):
            raise unwritable(self.folder, event.reason)
        elif isinstance(event, Finished) and event.outcome.status is RunStatus.CRASHED:
            self.retries.crashed(worker.number, event.run, event.outcome)
        else:
            self.listen(worker.number, event)

    def _give_cohort(self, worker: _Worker) -> None:
        worker.cohort = None
        if not self.pending:
            self.workers.remove(worker)
            worker.stop()
            return
        worker.cohort, self.stillborn = self.pending.popleft(), 0
        worker.send(encode(worker.cohort))
        self.listen(worker.number, CohortStarted(worker.cohort))

    def _replace(self, worker: _Worker) -> None:
        """Retry the runs of a dead worker, and start another worker."""
        self.workers.remove(worker)
        reason = worker.exit_reason(self.folder)
        worker.stop()
        if worker.cohort is not None:
            self.retries.lost(worker.number, worker.cohort, reason)
        else:
            self.stillborn += 1
            if self.stillborn >= _STILLBORN:
                raise StudyStopped(
                    f"{self.folder}: stopped, because {_STILLBORN} workers in a row ended before they could train: "
                    f"{reason}. Finished runs are kept; run the same command to resume."
                )
            self.listen(worker.number, Note(f"{reason}, before it could train; starting another."))
        if self.pending:
            self._start_worker(worker.number)
