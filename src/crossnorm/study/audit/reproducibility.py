"""Stored runs trained again, each alone in a process of its own: are the bits the same?

Knows folders, runs and how they are carried out; knows nothing of verdicts or pages.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage import run_folder as store
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.study_folder import Record
from crossnorm.study.workload.workload import Subject, open_subject
from crossnorm.training.runtime.devices import pick_device

__all__ = ["Repeat", "repeat_runs", "same_rows"]

Row = Mapping[str, Any]

_LONG = 60.0
"""Seconds of training beyond which a stored run is repeated only in part."""
_LEAST = 2
"""Evaluations that are repeated however long they take: the first may stand before training."""

_NOT_BITS = ("seconds",)
_MAY_DIFFER = ("cores", "system")
"""Facts of a machine that change no bit: every worker is one thread."""
_NOTHING = "an outcome is stored and no evaluation"


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A stored run, trained again alone in a process of its own.

    Attributes:
        arm: Its arm.
        seed: Its seed.
        evaluations: Evaluations compared, every metric of each to the bit; of a function, what the verdict is about.
        difference: The first difference in words; None: there is none.
        elsewhere: What differs between the machine or versions of then and now.
        beside: The first difference in what else a function logged, which may well be a time; None: there is none.
    """

    arm: str
    seed: int
    evaluations: int
    difference: str | None
    elsewhere: tuple[str, ...] = ()
    beside: str | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the bits are the same; None where they differ and so does what they were computed with."""
        return None if self.difference and self.elsewhere else self.difference is None


def repeat_runs(folder: Path, plan: Plan, record: Record, imports: Sequence[str] = ()) -> tuple[Repeat, ...]:
    """Train the first complete run of the baseline and of the last arm again, and compare.

    A run of more than a minute is repeated as far as a minute reaches, two evaluations at least.

    Raises:
        BadInput: No run is complete, or the data or the function are not those the study was trained with.
    """
    firsts: dict[str, Run] = {}
    for run in plan.runs:
        result = store.read_outcome(store.run_folder(folder, run))  # whatever its seal: an edit is to be found out
        if result is not None and result["status"] == "complete":
            firsts.setdefault(run.arm, run)
    if not firsts:
        raise BadInput(str(folder), "a study with at least one complete run", "none")
    subject = open_subject(plan.spec, imports)
    _check_same(folder, subject, record)
    elsewhere = _elsewhere(record.environment)
    chosen = {name: firsts[name] for name in (*(a.name for a in plan.arms[:1]), plan.arms[-1].name) if name in firsts}
    again = _Again(folder=folder, plan=plan, orders=subject.orders, imports=imports)
    return tuple(_repeat(again, run, elsewhere) for run in (chosen or firsts).values())


def _check_same(folder: Path, subject: Subject, record: Record) -> None:
    if subject.digest == record.digest:
        return
    if subject.task is None:
        raise BadInput(f"{folder}: the function", "the code that the study was trained with", "other code")
    raise BadInput(f"{folder}: the data", "what the study was trained on", "other examples")


def _elsewhere(then: Mapping[str, str]) -> tuple[str, ...]:
    now = describe_environment()
    keys = [key for key in {**then, **now} if key not in _MAY_DIFFER and then.get(key) != now.get(key)]
    return tuple(f"{key} {then.get(key, 'none')} → {now.get(key, 'none')}" for key in keys)


def _repeat(again: _Again, run: Run, elsewhere: tuple[str, ...]) -> Repeat:
    spec = again.plan.spec
    stored = _reached_soon(store.read_metrics(again.folder, run))
    rows, ended = again.trained(run, stored[-1]) if stored else ([], None)
    difference = same_rows(stored, rows, None if spec.function is None else spec.metric) if stored else _NOTHING
    if difference and ended:
        difference = f"{difference} ({ended})"
    return Repeat(
        arm=run.arm,
        seed=run.seed,
        evaluations=len(stored),
        difference=difference,
        elsewhere=elsewhere if difference else (),
        beside=None if difference else same_rows(stored, rows),
    )


def _reached_soon(rows: Sequence[Row]) -> list[Row]:
    return [row for i, row in enumerate(rows) if i < _LEAST or (row.get("seconds") or 0.0) <= _LONG]


class _FarEnough(Exception):
    """Ends a repeated run that has reached the last evaluation to be compared."""


@dataclass(frozen=True, kw_only=True)
class _Again:
    """How runs of a study are trained again; `orders`: see `Subject`."""

    folder: Path
    plan: Plan
    orders: Mapping[str, Any]
    imports: Sequence[str]

    def trained(self, run: Run, last: Row) -> tuple[list[Row], str | None]:
        """The run's evaluations as far as that one, and why it ended before, from a worker of its own."""
        rows: dict[int, Row] = {}  # by step: a run that crashed is tried again
        reason: list[str] = []

        def listen(_: int, event: Mapping[str, Any]) -> None:
            if event["event"] == "evaluated":
                row = event["row"]
                rows[row["step"]] = row
                if row["step"] > last["step"] or (row["step"] == last["step"] and row.keys() >= last.keys()):
                    raise _FarEnough
            elif event["event"] == "finished" and event["status"] != "complete":
                reason.append(str(event["reason"]))

        result = store.read_outcome(store.run_folder(self.folder, run)) or {}
        with tempfile.TemporaryDirectory(prefix="crossnorm-audit-") as scratch, contextlib.suppress(_FarEnough):
            run_local(
                self.plan,
                [Cohort(run.seed, (run.arm,))],
                Path(scratch),
                workers=1,
                device=pick_device(str(result.get("device", "cpu"))).type,
                imports=self.imports,
                listen=listen,
                orders=self.orders,
            )
        return [rows[step] for step in sorted(rows) if step <= last["step"]], reason[0] if reason else None


def same_rows(stored: Sequence[Row], again: Sequence[Row], metric: str | None = None) -> str | None:
    """The first difference between two learning curves in words; None if all bits agree.

    Args:
        stored: The one.
        again: The other.
        metric: Compare steps and this metric; None: everything but times.
    """
    for old, new in zip(stored, again, strict=False):
        for key in {**old, **new} if metric is None else ("step", metric):
            if key not in _NOT_BITS and old.get(key) != new.get(key):
                return f"{key} at step {old['step']} was {old.get(key)!r} and is {new.get(key)!r}"
    if len(stored) != len(again):
        return f"{len(stored)} evaluations were stored and {len(again)} repeated"
    return None
