"""Re-run stored runs, each alone in a new process, and check that they are bit-identical."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.study.events import Evaluated, Event, Finished
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.run_folder import Row, RunFolder
from crossnorm.study.storage.study_record import Record
from crossnorm.study.workload.workload import Workload, open_workload
from crossnorm.training.loop.outcome import RunStatus
from crossnorm.training.runtime.devices import pick_device

__all__ = ["Repeat", "repeat_runs", "same_rows"]

_MOST_SECONDS = 60.0
"""Evaluations after so many seconds of training are not repeated."""
_LEAST_EVALUATIONS = 2
"""But so many are: the first may be from before training."""

_NOT_BITS = ("seconds",)
_MAY_DIFFER = ("cores", "system")
"""Environment entries that change no bit: every worker has one thread."""


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A stored run, trained again alone in a new process.

    Attributes:
        arm: The run's arm.
        seed: The run's seed.
        evaluations: Number of evaluations compared: every metric, or, where a function trains, the study's metric.
        difference: The first difference, as text; None: bit-identical.
        elsewhere: What differs between the stored and the present environment, if there is a difference.
        beside: The first difference in other values that a function logged, such as a time; None: bit-identical.
    """

    arm: str
    seed: int
    evaluations: int
    difference: str | None
    elsewhere: tuple[str, ...] = ()
    beside: str | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the run is bit-identical; None if it differs and the environment does too."""
        return None if self.difference and self.elsewhere else self.difference is None


def repeat_runs(folder: Path, plan: Plan, record: Record, imports: Sequence[str] = ()) -> tuple[Repeat, ...]:
    """Train the first complete run of the baseline, of the first variant and of the last arm again, and compare.

    The first variant is repeated at its largest dose; arms without a complete run are left out.

    Of a run of more than a minute, only the evaluations of the first minute are repeated, but at least two.

    Args:
        folder: The study's folder.
        plan: Its plan.
        record: Its record.
        imports: Modules that the user allows to be imported.

    Raises:
        BadInput: No run is complete, or the data or the function have changed.
    """
    complete: dict[str, Run] = {}
    for run in plan.runs:
        result = RunFolder(folder, run, plan).read().result
        if result is not None and result["status"] is RunStatus.COMPLETE:
            complete.setdefault(run.arm, run)
    if not complete:
        raise BadInput.because(str(folder), "the study has no complete run")
    workload = open_workload(plan.spec, imports)
    workload = replace(workload, plan=replace(workload.plan, numbers=plan.numbers))
    for what in record.changed(plan, workload.digest, workload.code):
        raise BadInput.because(str(folder), f"{what} changed since the study started")
    wanted = dict.fromkeys([plan.arms[0].name, *_largest_dose(plan, complete), plan.arms[-1].name])
    chosen = {name: complete[name] for name in wanted if name in complete}
    changes = _environment_changes(record.environment)
    return tuple(_repeat(folder, workload, run, changes) for run in (chosen or complete).values())


def _largest_dose(plan: Plan, complete: Collection[str]) -> list[str]:
    """The complete arm of the first variant in which it acts most; none in a study without variants."""
    acting = [arm for arm in plan.arms if arm.variant is not None and arm.name in complete]
    first = [arm for arm in acting if arm.family == acting[0].family]
    return [max(first, key=lambda arm: abs(arm.dose or 0.0)).name] if first else []


def _environment_changes(stored: Mapping[str, str]) -> tuple[str, ...]:
    now = describe_environment()
    keys = [key for key in {**stored, **now} if key not in _MAY_DIFFER and stored.get(key) != now.get(key)]
    return tuple(f"{key} {stored.get(key, 'none')} → {now.get(key, 'none')}" for key in keys)


def _repeat(folder: Path, workload: Workload, run: Run, changes: tuple[str, ...]) -> Repeat:
    kept, spec = RunFolder(folder, run, workload.plan).read(), workload.plan.spec
    stored = _first_evaluations(kept.rows)
    if not stored:
        return _result(run, stored, [], "the run has an outcome but no evaluation", changes)
    result = kept.result or {}
    rows, failure = _trained_again(
        workload, run, stored[-1], str(result.get("device", "cpu")), int(result.get("threads", 1))
    )
    difference = same_rows(stored, rows, None if spec.function is None else _judged(spec.metric, stored))
    if difference and failure:
        difference = f"{difference} ({failure})"
    return _result(run, stored, rows, difference, changes)


def _judged(metric: str, rows: Sequence[Row]) -> str:
    """The logged column that decides: the metric, or the one whose curve it sums up."""
    return metric if any(metric in row for row in rows) else Metric.parse(metric).base


def _result(
    run: Run, stored: Sequence[Row], rows: Sequence[Row], difference: str | None, changes: tuple[str, ...]
) -> Repeat:
    return Repeat(
        arm=run.arm,
        seed=run.seed,
        evaluations=len(stored),
        difference=difference,
        elsewhere=changes if difference else (),
        beside=None if difference else same_rows(stored, rows),
    )


def _first_evaluations(rows: Sequence[Row]) -> list[Row]:
    return [row for i, row in enumerate(rows) if i < _LEAST_EVALUATIONS or (row.get("seconds") or 0.0) <= _MOST_SECONDS]


class _Repeated(Exception):
    """Stops a run when the last evaluation to compare is there."""


def _trained_again(workload: Workload, run: Run, last: Row, device: str, threads: int) -> tuple[list[Row], str | None]:
    """Train a run in a new worker up to the evaluation `last`; gives the rows, and the reason if the run failed."""
    rows: dict[int, Row] = {}  # by step: a crashed run is retried
    reasons: list[str] = []

    def listen(_: int, event: Event) -> None:
        if isinstance(event, Evaluated):
            row = event.row
            rows[row["step"]] = row
            if row["step"] > last["step"] or (row["step"] == last["step"] and row.keys() >= last.keys()):
                raise _Repeated
        elif isinstance(event, Finished) and event.outcome.status is not RunStatus.COMPLETE:
            reasons.append(str(event.outcome.reason))

    with tempfile.TemporaryDirectory(prefix="crossnorm-audit-") as scratch, contextlib.suppress(_Repeated):
        job = workload.job(Path(scratch), pick_device(device).type, threads)
        run_local(job, [Cohort(run.seed, (run.arm,))], workers=1, listen=listen)
    return [rows[step] for step in sorted(rows) if step <= last["step"]], reasons[0] if reasons else None


def same_rows(
    stored: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]], metric: str | None = None
) -> str | None:
    """The first difference between two learning curves, as text; None if they are bit-identical.

    Args:
        stored: The stored curve.
        again: The curve of the repeated run.
        metric: Compare the steps and this metric; None: everything but times.
    """
    for old, new in zip(stored, again, strict=False):
        for key in {**old, **new} if metric is None else ("step", metric):
            if key not in _NOT_BITS and old.get(key) != new.get(key):
                return f"{key} at step {old['step']} was {old.get(key)!r} and is {new.get(key)!r}"
    if len(stored) != len(again):
        return f"{len(stored)} evaluations were stored and {len(again)} repeated"
    return None
