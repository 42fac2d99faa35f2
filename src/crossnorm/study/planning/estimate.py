"""Estimate the cost and the statistical power of a study without running it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.stats import Outlook
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.planning.cost import Cost, Source, cost_of, cost_of_runs
from crossnorm.study.planning.evidence import Evidence, outlook_of, stored_evidence
from crossnorm.study.planning.pilot import pilot_plan, time_steps
from crossnorm.study.spec.plan import cut
from crossnorm.study.workload.workload import Workload

__all__ = ["Estimate", "EstimateOptions", "estimate_study"]


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """What to estimate; see `Study.estimate`."""

    workers: int
    device: torch.device
    pilot: bool = False
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost and the statistical power of a study.

    Attributes:
        study: The study's name.
        function: The training function; None for a task.
        resolved: The study's fields with every setting of model and recipe, as study.yaml would have them.
        arms: Names of the arms, the baseline first.
        cost: Runs, hours, disk.
        outlook: Detectable differences and needed seeds.
        noise: The source of the standard deviations; None: not measured.
        notes: Limitations of the numbers, for the reader.
        most_seeds: Whether the study is open-ended: it may stop before its last seed.
    """

    study: str
    function: str | None
    resolved: Mapping[str, Any]
    arms: tuple[str, ...]
    cost: Cost
    outlook: Outlook
    noise: Source | None
    notes: tuple[str, ...]
    most_seeds: bool = False

    def to_json(self) -> str:
        """JSON with sorted keys; null for what is not known."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def estimate_study(workload: Workload, folder: Path, options: EstimateOptions, bars: Progress) -> Estimate:
    """The cost and the power of a compiled study; see `Study.estimate`.

    Args:
        workload: The study.
        folder: Its folder, which is only read and need not exist.
        options: What to estimate.
        bars: Shows the progress of a pilot.

    Raises:
        BadInput: A setting that does not fit; nothing has been trained then.
    """
    plan = workload.plan
    evidence = stored_evidence(folder, workload)
    outlook_of(plan, evidence, difference=options.difference)  # check the settings before training
    if workload.task is None:
        _check_no_pilot(plan.spec.function, options)
        cost = cost_of_runs(plan, evidence.seconds, source=evidence.source, done=evidence.done, workers=options.workers)
    else:
        evidence = _with_measurements(workload, workload.task, evidence, options, bars)
        cost = cost_of(
            plan, workload.task, evidence.curves, source=evidence.source, done=evidence.done, workers=options.workers
        )
    return Estimate(
        study=plan.spec.name,
        function=plan.spec.function,
        resolved=plan.spec.model_dump(mode="json"),
        arms=tuple(arm.name for arm in plan.arms),
        cost=cost,
        outlook=outlook_of(plan, evidence, difference=options.difference),
        noise=evidence.noise,
        notes=evidence.notes,
        most_seeds=plan.spec.stop == "decided",
    )


def _check_no_pilot(function: str | None, options: EstimateOptions) -> None:
    """A training function has no epochs to shorten."""
    if options.pilot:
        hint = "Run 3 seeds with crossnorm plot; plan then reads their time and standard deviation."
        raise BadInput.because("pilot", f"not available for a training function ({function})", hint)


def _with_measurements(
    workload: Workload, task: Task, evidence: Evidence, options: EstimateOptions, bars: Progress
) -> Evidence:
    """Add a pilot, if requested, and timed steps for what the stored runs do not tell."""
    with tempfile.TemporaryDirectory(prefix="crossnorm-plan-") as scratch:
        if options.pilot and evidence.noise is None:
            pilot = replace(workload, plan=pilot_plan(workload.plan))
            _run_pilot(pilot, Path(scratch), options, bars)
            evidence = evidence.with_pilot(Path(scratch), pilot.plan)
        if not evidence.curves:
            curves = time_steps(workload.plan, task, Path(scratch), options.device)
            evidence = replace(evidence, source="measured steps", curves=curves)
    return evidence


def _run_pilot(pilot: Workload, folder: Path, options: EstimateOptions, bars: Progress) -> None:
    plan = pilot.plan
    listen = bars.begin(plan, plan.runs, plan.runs, pilot.steps)
    cohorts = cut(plan, plan.runs, options.workers)
    run_local(pilot.job(folder, options.device.type), cohorts, workers=options.workers, listen=listen)
