"""status.json: what a study's main process is doing right now, for whoever watches from outside.

The file is there while the study runs and is written anew every second, so that a reader can tell a living study from
one that was killed: the last one's file grows old. Knows the executor's events; knows nothing of results, and nothing
in the study depends on the file.
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
from crossnorm.study.monitoring.eta import Pace
from crossnorm.study.spec.plan import Arm, Plan, Run

__all__ = ["SILENT_AFTER", "StatusFile", "read_status"]

SILENT_AFTER = 15.0
"""Seconds without a new status.json after which its writer counts as gone."""

_EVERY = 1.0
_WINDOW = 20.0  # seconds over which throughput is averaged

Listener = Callable[[int, dict[str, Any]], None]


@dataclass
class _WorkerStatus:
    """One worker: its cohort, how far it is, how fast, and the most memory it ever held (bytes)."""

    seed: int
    arms: list[str]
    batch_size: int
    total: int
    done: int = 0
    memory: int | None = None
    recent: deque[tuple[float, int]] = field(default_factory=deque)

    def stepped(self, members: int) -> None:
        """So many member steps more, made just now."""
        self.done += members
        now = time.monotonic()
        self.recent.append((now, members * self.batch_size))
        while self.recent[0][0] < now - _WINDOW:
            self.recent.popleft()

    @property
    def speed(self) -> float | None:
        """Examples a second, all members of the cohort together; None before the second measurement."""
        if len(self.recent) < 2:
            return None
        span = self.recent[-1][0] - self.recent[0][0]
        return sum(examples for _, examples in list(self.recent)[1:]) / span if span > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        known = asdict(self)
        del known["recent"], known["batch_size"]
        return known | {"examples_per_second": self.speed}


class StatusFile:
    """Keeps ``status.json`` of a study's folder fresh inside a ``with`` block, and removes it at the end."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "status.json"
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._facts: dict[str, Any] = {"runs": None, "seconds_left": None}
        self._workers: dict[int, _WorkerStatus] = {}
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> StatusFile:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def begin(self, plan: Plan, runs: Sequence[Run], todo: Sequence[Run], steps_of: Callable[[Arm], int]) -> Listener:
        """Note the runs that are to be done; give back what listens to the executor. Arguments as `Progress.begin`."""
        steps = {arm.name: steps_of(arm) for arm in plan.arms}
        batch = {arm.name: 1 if arm.recipe is None else arm.recipe.batch_size for arm in plan.arms}
        pace = Pace(sum(steps[run.arm] for run in todo))
        with self._lock:
            self._facts, self._workers = {"runs": len(runs), "seconds_left": None}, {}

        def listen(number: int, event: dict[str, Any]) -> None:
            with self._lock:
                worker = self._workers.get(number)
                if event["event"] == "cohort":
                    arms = event["arms"]
                    self._workers[number] = _WorkerStatus(
                        seed=event["seed"],
                        arms=arms,
                        batch_size=batch[arms[0]],
                        total=sum(steps[arm] for arm in arms),
                        memory=None if worker is None else worker.memory,
                    )
                elif worker is not None and event["event"] == "evaluated":
                    worker.memory = event.get("memory", worker.memory)
                elif worker is not None and event["event"] == "step" and event.get("resumed"):
                    worker.done += event["members"]
                    pace.advance(event["members"], restored=True)
                elif worker is not None and event["event"] == "step":
                    worker.stepped(event["members"])
                    pace.advance(event["members"])
                    self._facts["seconds_left"] = pace.seconds_left

        return listen

    def _beat(self) -> None:
        while not self._stop.wait(_EVERY):
            self._write()

    def _write(self) -> None:
        with self._lock:
            workers = {str(number): worker.to_dict() for number, worker in sorted(self._workers.items())}
            value = {"updated": time.time(), **self._facts, "workers": workers}
        with contextlib.suppress(OSError):  # a full disk must not end the study for the sake of a bystander
            write_json(self.path, value)


def read_status(folder: Path) -> dict[str, Any] | None:
    """What ``status.json`` says, with ``age`` in seconds; None where there is none or a damaged one."""
    status = read_json(folder / "status.json")
    if not isinstance(status, dict) or not isinstance(status.get("updated"), int | float):
        return None
    workers = status.get("workers")
    return status | {
        "age": max(0.0, time.time() - status["updated"]),
        "workers": workers if isinstance(workers, dict) else {},
    }
