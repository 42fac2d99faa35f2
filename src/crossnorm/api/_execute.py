"""A study in its folder: locked, opened, its runs carried out, its answer written.

The one place where executors, progress bars, trackers and the folder meet. Knows nothing of how a study is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from crossnorm.api._result import Result, stored_lines
from crossnorm.api._stored_result import carry_out_until_decided, result_of
from crossnorm.errors import BadInput
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.executors.ray_cluster import run_ray
from crossnorm.study.monitoring.messages import announcement, warnings_of
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.monitoring.status_file import StatusFile
from crossnorm.study.monitoring.trackers import Tracker, open_tracker, tracked
from crossnorm.study.spec.plan import Plan, Run, cut
from crossnorm.study.storage import run_folder as store
from crossnorm.study.storage.mirror import Mirror
from crossnorm.study.storage.study_folder import locked, open_folder
from crossnorm.study.workload.workload import Subject

__all__ = ["Execution", "execute"]

Listen = Callable[[int, dict[str, Any]], None]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How runs are carried out; see `Study.run`."""

    workers: int
    device: str
    imports: Sequence[str] = ()
    track: str | None = None
    mirror: str | None = None
    ray: str | None = None


def execute(subject: Subject, folder: Path, how: Execution, bars: Progress) -> Result:
    """Run, resume or extend the study in its folder and write its answer there.

    Args:
        subject: The resolved study.
        folder: Made if missing.
        how: Workers, device, trackers.
        bars: Where progress is shown.

    Raises:
        BadInput: The folder holds something else, is in use, or cannot be written.
    """
    plan = subject.plan
    with locked(folder), _mirrored(how.mirror, folder, bars) as copies:
        _check_runs_are_there(folder)
        record = open_folder(folder, plan, subject.digest)
        bars.say(announcement(plan, folder, how.device))
        for warning in warnings_of(plan, looked=record.looked):
            bars.note(warning)
        for copy in copies:
            copy.copy_study()
        with StatusFile(folder) as status, _trackers(how.track, folder, plan) as trackers:

            def carry_out(runs: Sequence[Run]) -> None:
                todo = _unfinished(folder, runs, bars)
                begun = [each.begin(plan, runs, todo, subject.steps) for each in (bars, status)]
                _carry_out(subject, todo, folder, how, tracked(_each(begun), [*copies, *trackers]))

            planned = carry_out_until_decided(folder, plan, record, carry_out)
        result = result_of(folder, plan, record, planned)
        result.save(folder)
    return result


def _check_runs_are_there(folder: Path) -> None:
    """Where runs were cleared away, or never came along, training them again would replace what is left of them."""
    if stored_lines(folder / "table.csv") and not any((folder / "runs").glob("*/*/*")):
        hint = "Give another --out to train them again, from study.yaml."
        raise BadInput(str(folder), "the runs of the answer that it holds", "none, only their table", hint)


def _carry_out(subject: Subject, todo: Sequence[Run], folder: Path, how: Execution, listen: Listen) -> None:
    executor = run_local if how.ray is None else partial(run_ray, address=how.ray)
    executor(
        subject.plan,
        cut(subject.plan, todo, how.workers),
        folder,
        workers=how.workers,
        device=how.device,
        imports=how.imports,
        listen=listen,
        orders=subject.orders,
    )


def _unfinished(folder: Path, runs: Sequence[Run], bars: Progress) -> list[Run]:
    todo = store.unfinished(folder, runs)
    for run in todo:
        if store.damaged(folder, run):
            bars.note(f"What is stored of {run.arm}, seed {run.seed}, is damaged: it is run again.")
    return todo


def _each(listeners: Sequence[Listen]) -> Listen:
    def listen(worker: int, event: dict[str, Any]) -> None:
        for listener in listeners:
            listener(worker, event)

    return listen


@contextmanager
def _mirrored(url: str | None, folder: Path, bars: Progress) -> Iterator[list[Mirror]]:
    """The mirror, if there is one: what the folder lacks is fetched first, the answer is copied last."""
    if url is None:
        yield []
        return
    copy = Mirror(url, folder)
    if copy.fetch():
        bars.note(f"What was missing in {folder} was taken from {url}.")
    yield [copy]
    copy.copy_study()


@contextmanager
def _trackers(name: str | None, folder: Path, plan: Plan) -> Iterator[list[Tracker]]:
    if name is None:
        yield []
        return
    with closing(open_tracker(name, folder, plan.spec.name)) as tracker:
        yield [tracker]
