"""Train the runs that a study needs: executor, progress bars, status file and trackers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from crossnorm.study.events import Event, Listener
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.executors.ray_cluster import run_ray
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.monitoring.status_file import StatusFile
from crossnorm.study.monitoring.trackers import Tracker, opened_tracker, tracked
from crossnorm.study.spec.plan import Run, cut
from crossnorm.study.storage.needed_runs import run_batches, unfinished_runs
from crossnorm.study.storage.study_record import Record
from crossnorm.study.workload.workload import Workload

__all__ = ["Execution", "train_needed_runs"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the runs of a study are executed; see `Study.run`."""

    workers: int
    device: str
    track: str | None = None
    mirror: str | None = None
    ray: str | None = None


def train_needed_runs(
    workload: Workload,
    folder: Path,
    record: Record,
    execution: Execution,
    bars: Progress,
    trackers: Sequence[Tracker] = (),
) -> list[Run]:
    """Train all unfinished runs that the study needs; returns the needed runs.

    Args:
        workload: The study.
        folder: Its folder, locked and open.
        record: The folder's record.
        execution: Workers, device, tracker.
        bars: Shows the progress.
        trackers: Further trackers, such as the mirror.
    """
    plan, runs = workload.plan, []
    with StatusFile(folder) as status, opened_tracker(execution.track, folder, plan.spec.name) as opened:
        for runs in run_batches(folder, plan, record):
            todo = unfinished_runs(folder, plan, runs, bars.note)
            listeners = [each.begin(plan, runs, todo, workload.steps) for each in (bars, status)]
            _train(workload, todo, folder, execution, tracked(_all(listeners), [*trackers, *opened]))
    return runs


def _train(workload: Workload, runs: Sequence[Run], folder: Path, execution: Execution, listen: Listener) -> None:
    executor = run_local if execution.ray is None else partial(run_ray, address=execution.ray)
    cohorts = cut(workload.plan, runs, execution.workers)
    executor(workload.job(folder, execution.device), cohorts, workers=execution.workers, listen=listen)


def _all(listeners: Sequence[Listener]) -> Listener:
    def listen(worker: int, event: Event) -> None:
        for listener in listeners:
            listener(worker, event)

    return listen
