"""The local executor: worker processes on this machine, one thread each, fed cohort by cohort.

A worker that dies gives its unfinished runs back (`retries`). Knows nothing of what a run computes
or of how progress is shown.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from crossnorm.study.executors.retries import Retries
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage.study_folder import unwritable
from crossnorm.study.storage.worker_lock import fence

__all__ = ["default_workers", "run_local"]

_THREADS = 1

Event = dict[str, Any]
_Events = queue.Queue[tuple["_Worker", Event]]


def default_workers() -> int:
    """One worker per core that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_local(
    plan: Plan,
    cohorts: Sequence[Cohort],
    folder: Path,
    *,
    workers: int,
    device: str,
    imports: Sequence[str],
    listen: Callable[[int, Event], None],
    orders: Mapping[str, Any] | None = None,
) -> None:
    """Carry out cohorts in worker processes and return when every run has an outcome.

    Args:
        plan: The study.
        cohorts: What is to be done, in this order.
        folder: The study's folder.
        workers: The most processes at once.
        device: The torch device of the workers.
        imports: Modules that a worker imports first (the user's own variants).
        listen: Called with (worker's number, event) in this thread; besides the workers' own events there is
            ``{"event": "cohort", "seed": …, "arms": […]}`` when a worker gets one.
        orders: What the job says beside the plan (`Subject.orders`).
    """
    job = {
        "spec": plan.spec.model_dump(),
        "folder": str(folder.resolve()),
        "device": device,
        "imports": list(imports),
        "threads": _THREADS,
        **(orders or {}),
    }
    if cohorts:
        with fence(folder) as held:
            _Pool(plan, cohorts, folder, job, listen, held).run(workers)


class _Worker:
    """A process, the cohort it is at, and what it printed."""

    def __init__(self, number: int, job: Event, events: _Events, held: Sequence[int]) -> None:
        self.number = number
        self.cohort: Cohort | None = None
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
        # A session of its own: an interrupt from the keyboard reaches the one who started it, who decides.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "crossnorm.study.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            env=os.environ | {"OMP_NUM_THREADS": str(_THREADS), "MKL_NUM_THREADS": str(_THREADS)},
            start_new_session=True,
            pass_fds=held,
        )
        self.send(job)
        threading.Thread(target=self._read, args=(events,), daemon=True).start()

    def _read(self, events: _Events) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n"):  # a line that its writer's death tore is no event
                events.put((self, json.loads(line)))
        events.put((self, {"event": "dead"}))

    def send(self, order: Event) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead; its reader thread will say so
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        self.errors.close()

    def last_words(self) -> str:
        """Why it died: its exit status and the last line it printed."""
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"worker ended with {ended}" + (f": {lines[-1]}" if lines else "")


class _Pool:
    def __init__(
        self,
        plan: Plan,
        cohorts: Sequence[Cohort],
        folder: Path,
        job: Event,
        listen: Callable[[int, Event], None],
        held: Sequence[int],
    ) -> None:
        self.plan, self.folder, self.job, self.listen, self.held = plan, folder, job, listen, held
        self.pending = deque(cohorts)
        self.events: _Events = queue.Queue()
        self.workers: set[_Worker] = set()
        self.retries = Retries(folder, self.pending, listen)

    def run(self, workers: int) -> None:
        try:
            for number in range(min(workers, len(self.pending))):
                self.workers.add(_Worker(number, self.job, self.events, self.held))
            while self.workers:
                worker, event = self._next()
                if worker in self.workers:  # what a worker told before it was dismissed no longer matters
                    self._handle(worker, event)
        finally:
            for worker in self.workers:
                worker.stop()

    def _next(self) -> tuple[_Worker, Event]:
        while True:
            try:  # with a timeout, so that an interrupt is noticed on every system
                return self.events.get(timeout=0.5)
            except queue.Empty:
                continue

    def _handle(self, worker: _Worker, event: Event) -> None:
        kind = event["event"]
        if kind == "idle":
            self._give(worker)
        elif kind == "dead":
            self._bury(worker)
        elif kind == "storage":
            raise unwritable(self.folder, event["text"])
        elif kind == "finished" and event["status"] == "crashed":
            self.retries.crashed(worker.number, Run(event["arm"], event["seed"]), event["reason"])
        else:
            self.listen(worker.number, event)

    def _give(self, worker: _Worker) -> None:
        worker.cohort = None
        if not self.pending:
            self.workers.remove(worker)
            worker.stop()
            return
        worker.cohort = self.pending.popleft()
        order = {"seed": worker.cohort.seed, "arms": list(worker.cohort.arms)}
        worker.send(order)
        self.listen(worker.number, {"event": "cohort", **order})

    def _bury(self, worker: _Worker) -> None:
        """Give back the runs of a dead worker and put another in its place."""
        self.workers.remove(worker)
        reason = worker.last_words()
        worker.stop()
        if worker.cohort is None:
            raise RuntimeError(f"A worker could not start: {reason}")
        self.retries.lost(worker.number, worker.cohort, reason)
        if self.pending:
            self.workers.add(_Worker(worker.number, self.job, self.events, self.held))
