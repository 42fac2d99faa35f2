"""What a study trains: models on a task, or whatever a function of the user's trains.

The one place that tells the two apart, for the process that plans (`open_subject`) and for those that carry out
(`carrier`). Knows nothing of executors, folders' histories or results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.study.spec.plan import Arm, Cohort, Plan, make_plan
from crossnorm.study.spec.schema import StudySpec, parse_spec
from crossnorm.study.workload.cohort_run import run_cohort
from crossnorm.study.workload.function_loading import (
    Train,
    function_digest,
    load_function,
    pickled_function,
    unpickled_function,
)
from crossnorm.study.workload.function_run import run_function
from crossnorm.study.workload.validate import check_own, load_study_task, resolve

__all__ = ["Carry", "Subject", "carrier", "open_subject"]

Tell = Callable[[dict[str, Any]], None]
Carry = Callable[[Cohort, Tell], None]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A resolved study with what it trains.

    Attributes:
        plan: Every setting spelled out.
        digest: Tells whether the task's data, or the function's code, are those of before.
        task: None where a function trains.
        orders: What a worker's job says beside the plan.
    """

    plan: Plan
    digest: str
    task: Task | None = None
    orders: Mapping[str, Any] = field(default_factory=dict)

    def steps(self, arm: Arm) -> int:
        """Of one run, in the unit of its "step" events: a function's run is one."""
        if self.task is None:
            return 1
        return max(1, len(self.task.train) // arm.training.batch_size) * arm.training.epochs


def open_subject(
    spec: StudySpec,
    imports: Sequence[str] = (),
    *,
    function: Train | None = None,
    loading: Callable[[int, int], None] | None = None,
) -> Subject:
    """Load what the study trains and resolve its plan.

    Args:
        spec: The study as it was asked for.
        imports: Modules that the user has allowed to be imported.
        function: The function itself, where the study was made with it.
        loading: Told of the examples that are decoded.

    Raises:
        BadInput: Anything that does not fit.
    """
    if spec.function is None:
        task = load_study_task(spec, loading)
        return Subject(plan=resolve(spec, task, imports), digest=task.digest, task=task, orders=_path())
    train = function or load_function(spec.function, imports)
    plan = make_plan(spec)
    for arm in plan.arms:
        check_own(arm, imports)
    orders = {} if function is None else {"pickled": pickled_function(function)}
    return Subject(plan=plan, digest=function_digest(train), orders=orders | _path())


def _path() -> dict[str, list[str]]:
    """Where this process finds modules, and its workers are to find them too."""
    return {"path": [str(Path(entry).resolve()) for entry in sys.path]}


def carrier(job: Mapping[str, Any]) -> Carry:
    """What carries out cohorts in this process, from the job of a worker.

    Args:
        job: ``spec``, ``folder``, ``device``, ``imports``, and `Subject.orders`.
    """
    sys.path += [entry for entry in job.get("path", ()) if entry not in sys.path]
    for module in job["imports"]:
        import_module(module)
    spec = parse_spec(job["spec"], "the study")
    plan, folder, device = make_plan(spec), Path(job["folder"]), torch.device(job["device"])
    if spec.function is None:
        task = load_study_task(spec)
        return lambda cohort, tell: run_cohort(plan, cohort, task, folder, device, tell)
    pickled = job.get("pickled")
    train = unpickled_function(pickled) if pickled else load_function(spec.function, job["imports"])

    def carry(cohort: Cohort, tell: Tell) -> None:
        for run in cohort.runs:
            run_function(plan, train, run, folder, device, tell)

    return carry
