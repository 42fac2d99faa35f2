"""status.json: the progress of a running study, for ``crossnorm watch`` and other observers.

The file is rewritten every second while the study runs, so the age of a file that a killed study left tells that it
no longer runs. crossnorm itself never depends on the file.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from crossnorm.io import read_json, write_json
from crossnorm.study.events import CohortStarted, Evaluated, Event, Finished, Listener, Stepped
from crossnorm.study.monitoring.eta import RunPace
from crossnorm.study.spec.plan import Arm, Plan, Run

__all__ = ["SILENT_AFTER", "StatusFile", "read_status"]

SILENT_AFTER = 15.0
"""Age of status.json in seconds from which on its writer counts as dead."""

_INTERVAL = 1.0
_WINDOW = 20.0  # seconds over which throughput is averaged


@dataclass
class _WorkerStatus:
    """One worker: its cohort, its steps, and its peak memory in bytes."""

    seed: int
    arms: list[str]
    batch_size: int
    total: int
    done: int = 0
    memory: int | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    def stepped(self, steps: int) -> None:
        """Add steps made just now to the measured speed."""
        now = time.monotonic()
        self.recent.append((now, steps * self.batch_size))
        while self.recent[0][0] < now - _WINDOW:
            self.recent.popleft()

    @property
    def speed(self) -> float | None:
        """Examples per second, summed over the cohort; None before the second measurement."""
        if len(self.recent) < 2:
            return None
        span = self.recent[-1][0] - self.recent[0][0]
        return sum(examples for _, examples in list(self.recent)[1:]) / span if span > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """The worker's entry in status.json."""
        fields = asdict(self)
        del fields["recent"], fields["batch_size"]
        return fields | {"examples_per_second": self.speed}


class StatusFile:
    """Keeps ``status.json`` in a study's folder up to date inside a ``with`` block, and removes it at the end."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "status.json"
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._fields: dict[str, Any] = {"runs": None, "seconds_left": None}
        self._workers: dict[int, _WorkerStatus] = {}
        self._thread = threading.Thread(target=self._keep_writing, daemon=True)

    def __enter__(self) -> StatusFile:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def begin(self, plan: Plan, runs: Sequence[Run], todo: Sequence[Run], steps_of: Callable[[Arm], int]) -> Listener:
        """Start to report these runs; returns the listener. Arguments as `Progress.begin`."""
        steps = {arm.name: steps_of(arm) for arm in plan.arms}
        batch = {arm.name: 1 if arm.recipe is None else arm.recipe.batch_size for arm in plan.arms}
        pace = RunPace({run: steps[run.arm] for run in runs}, todo)
        with self._lock:
            self._fields, self._workers = {"runs": len(runs), "seconds_left": None}, {}

        def listen(number: int, event: Event) -> None:
            with self._lock:
                worker = self._workers.get(number)
                if isinstance(event, CohortStarted):
                    arms = event.cohort.arms
                    self._workers[number] = _WorkerStatus(
                        seed=event.cohort.seed,
                        arms=list(arms),
                        batch_size=batch[arms[0]],
                        total=sum(steps[arm] for arm in arms),
                        memory=None if worker is None else worker.memory,
                    )
                elif worker is not None and isinstance(event, Evaluated):
                    worker.memory = worker.memory if event.memory is None else event.memory
                elif worker is not None and isinstance(event, Stepped):
                    made = pace.stepped(event)
                    worker.done = pace.reached(Run(arm, worker.seed) for arm in worker.arms)
                    if made:
                        worker.stepped(made)
                    self._fields["seconds_left"] = pace.seconds_left
                elif isinstance(event, Finished):
                    pace.ended(event.run)

        return listen

    def _keep_writing(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self._write()

    def _write(self) -> None:
        with self._lock:
            workers = {str(number): worker.to_dict() for number, worker in sorted(self._workers.items())}
            value = {"updated": time.time(), **self._fields, "workers": workers}
        with contextlib.suppress(OSError):  # a full disk must not end the study for this file
            write_json(self.path, value)


def read_status(folder: Path) -> dict[str, Any] | None:
    """The content of ``status.json`` and its ``age`` in seconds; None if it is missing or damaged."""
    status = read_json(folder / "status.json")
    if not isinstance(status, dict) or not isinstance(status.get("updated"), int | float):
        return None
    workers = status.get("workers")
    return status | {
        "age": max(0.0, time.time() - status["updated"]),
        "workers": workers if isinstance(workers, dict) else {},
    }
