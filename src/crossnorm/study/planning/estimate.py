"""What a study would cost and what it could show, before it is run: from its folder's runs, a pilot, or a few steps.

Joins costs, noise and other sizes of a study into one estimate; the study's own folder is only read. Knows nothing of
how estimates are shown.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.stats import Outlook
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.planning.cost import Cost, Source, cost_of, cost_of_runs
from crossnorm.study.planning.elsewhere import Elsewhere, Like, elsewhere, macs_of
from crossnorm.study.planning.evidence import Basis, outlook_of, stored_basis
from crossnorm.study.planning.pilot import pilot_plan, run_pilot, time_steps
from crossnorm.study.workload.workload import Subject

__all__ = ["Asked", "Estimate", "estimate_study"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a study that has not been run; see `Study.estimate`."""

    workers: int
    device: torch.device
    imports: Sequence[str] = ()
    pilot: bool = False
    difference: float | None = None
    like: Like | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would cost and what it could show, before it is run.

    Attributes:
        study: Its name.
        function: The function that trains; None: crossnorm does.
        arms: Their names, the baseline first.
        cost: Runs, hours, disk.
        outlook: Detectable differences and needed seeds.
        noise: Where the outlook's standard deviations come from; None: not measured.
        elsewhere: Another size of it, if asked for.
        notes: What a reader must know to read the numbers right.
        most_seeds: Whether an open-ended study may stop before all of its seeds.
    """

    study: str
    function: str | None
    arms: tuple[str, ...]
    cost: Cost
    outlook: Outlook
    noise: Source | None
    elsewhere: Elsewhere | None
    notes: tuple[str, ...]
    most_seeds: bool = False

    def to_json(self) -> str:
        """All of it as JSON, keys sorted, null for what does not exist."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def estimate_study(subject: Subject, folder: Path, asked: Asked, bars: Progress) -> Estimate:
    """What the resolved study would cost and could show; see `Study.estimate`.

    Args:
        subject: The study.
        folder: Its folder, which need not exist.
        asked: What is to be estimated, and for how many workers.
        bars: Where the progress of a pilot is shown.

    Raises:
        BadInput: Anything that does not fit, before anything is trained.
    """
    plan = subject.plan
    basis = stored_basis(folder, plan, subject.digest)
    outlook_of(plan, basis, difference=asked.difference)  # refuses what does not fit
    there = None
    if subject.task is None:
        _check_function(plan.spec.function, asked)
        cost = cost_of_runs(plan, basis.seconds, source=basis.source, done=basis.done, workers=asked.workers)
    else:
        macs = 0 if asked.like is None else macs_of(asked.like)
        basis = _measured(subject, subject.task, basis, asked, bars)
        cost = cost_of(plan, subject.task, basis.curves, source=basis.source, done=basis.done, workers=asked.workers)
        there = None if asked.like is None else elsewhere(plan, subject.task, cost, asked.like, macs)
    return Estimate(
        study=plan.spec.name,
        function=plan.spec.function,
        arms=tuple(arm.name for arm in plan.arms),
        cost=cost,
        outlook=outlook_of(plan, basis, difference=asked.difference),
        noise=basis.noise,
        elsewhere=there,
        notes=basis.notes,
        most_seeds=plan.spec.stop == "decided",
    )


def _check_function(function: str | None, asked: Asked) -> None:
    """A function cannot be shortened, and what it multiplies cannot be counted."""
    if asked.pilot:
        hint = "Run 3 seeds of it with crossnorm plot; plan then reads what they took and how they scatter."
        raise BadInput("--pilot", "a study of a task, whose epochs can be cut", f"one of a function, {function}", hint)
    if asked.like is not None:
        raise BadInput("--like", "a study of a task, whose model is known", f"one of a function, {function}")


def _measured(subject: Subject, task: Task, basis: Basis, asked: Asked, bars: Progress) -> Basis:
    """The basis with a pilot, or with a few steps trained now, for what stored runs do not tell."""
    plan = subject.plan
    with tempfile.TemporaryDirectory(prefix="crossnorm-plan-") as scratch:
        if asked.pilot and basis.noise is None:
            trial = pilot_plan(plan)
            listen = bars.begin(trial, trial.runs, trial.runs, subject.steps)
            run_pilot(
                trial,
                Path(scratch),
                workers=asked.workers,
                device=asked.device.type,
                imports=asked.imports,
                listen=listen,
                orders=subject.orders,
            )
            basis = basis.with_pilot(Path(scratch), trial)
        if not basis.curves:
            curves = time_steps(plan, task, Path(scratch), asked.device)
            basis = replace(basis, source="measured steps", curves=curves)
    return basis
