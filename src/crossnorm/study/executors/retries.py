"""Retry crashed runs: each once, alone in its cohort and from its checkpoint; then record the crash."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path

from crossnorm.study.events import Finished, Listener, Note
from crossnorm.study.spec.plan import Cohort, Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import Outcome, RunStatus

__all__ = ["Retries"]

_TRIES = 2


class Retries:
    """Counts the tries of a study's runs.

    Args:
        folder: The study's folder.
        pending: The queue of cohorts; retried runs are appended.
        listen: Receives a note for every retry, and `Finished` for a run that crashed for the last time.
    """

    def __init__(self, folder: Path, pending: deque[Cohort], listen: Listener) -> None:
        self._folder, self._pending, self._listen = folder, pending, listen
        self._tries: Counter[Run] = Counter()

    def crashed(self, worker: int, run: Run, reason: str | None) -> None:
        """Retry a run that crashed in this worker, or record the crash."""
        self._tries[run] += 1
        if self._tries[run] < _TRIES:
            self._pending.append(Cohort(run.seed, (run.arm,)))
            self._listen(worker, Note(f"{run.arm}, seed {run.seed}: {reason}; retrying."))
            return
        outcome = Outcome(RunStatus.CRASHED, reason)
        RunFolder.of(self._folder, run).finish(outcome, {"tries": self._tries[run]})
        self._listen(worker, Finished(run, outcome))

    def lost(self, worker: int, cohort: Cohort, reason: str) -> None:
        """Count the unfinished runs of a cohort as crashed: its worker has died."""
        for run in cohort.runs:
            if not RunFolder.of(self._folder, run).finished:
                self.crashed(worker, run, reason)
