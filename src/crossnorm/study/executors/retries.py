"""What every executor does about a run that crashed: try it again, alone, from its checkpoint; at the last, record it.

Knows nothing of processes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crossnorm.study.spec.plan import Cohort, Run
from crossnorm.study.storage import run_folder as store

__all__ = ["Retries"]

_TRIES = 2


class Retries:
    """The tries of a study's runs.

    Args:
        folder: The study's.
        pending: Where a run that is to be tried again waits.
        listen: Is told of it, and of the run's end where it is not.
    """

    def __init__(self, folder: Path, pending: deque[Cohort], listen: Callable[[int, dict[str, Any]], None]) -> None:
        self._folder, self._pending, self._listen = folder, pending, listen
        self._tries: Counter[Run] = Counter()

    def crashed(self, worker: int, run: Run, reason: str) -> None:
        """The run crashed at that worker, for that reason."""
        self._tries[run] += 1
        if self._tries[run] < _TRIES:
            self._pending.append(Cohort(run.seed, (run.arm,)))
            self._listen(worker, {"event": "note", "text": f"{run.arm}, seed {run.seed}: {reason}; tried again."})
            return
        store.finish(self._folder, run, "crashed", reason, {"tries": self._tries[run]})
        about = {"arm": run.arm, "seed": run.seed}
        self._listen(worker, {"event": "finished", **about, "status": "crashed", "reason": reason})

    def lost(self, worker: int, cohort: Cohort, reason: str) -> None:
        """Whoever was at the cohort is gone: its runs without an outcome crashed."""
        for run in cohort.runs:
            if not store.stands(self._folder, run):
                self.crashed(worker, run, reason)
