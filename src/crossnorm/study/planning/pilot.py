"""Short trials before a study: a pilot of three pairs, and timed steps.

Both train the baseline, the arm of the first variant with the largest dose, and that arm's control.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from crossnorm.data import Split, Task
from crossnorm.study.planning.cost import Curves
from crossnorm.study.spec.arm_schema import ArmSpec
from crossnorm.study.spec.plan import Cohort, Plan, make_plan
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.workload.cohort_run import run_cohort

__all__ = ["pilot_plan", "time_steps"]

_PAIRS = 3
_OFFSET = 1000
_BATCHES = 2  # of a pass of `time_steps`
_PASSES = 3  # the first one warms up


def pilot_plan(plan: Plan, *, epochs: int = 1, pairs: int = _PAIRS) -> Plan:
    """The plan of a pilot, with few epochs and seeds."""
    arms = [
        ArmSpec(
            **{k: v for k, v in arm.model_dump().items() if k not in ("epochs", "seed_offset")},
            seed_offset=_OFFSET if arm.seed_offset else 0,  # the arm's own may meet seeds of the pilot
        )
        for arm in plan.spec.arms
    ]
    spec = plan.spec.model_copy(
        update={"epochs": epochs, "seeds": list(range(pairs)), "arms": arms, "stop": "fixed", "max_seeds": None}
    )
    whole = make_plan(spec)
    strongest = _strongest(whole)
    kept = (whole.arms[0].name, strongest, whole.arm(strongest).control)
    return replace(whole, arms=tuple(arm for arm in whole.arms if arm.name in kept))


def _strongest(plan: Plan) -> str:
    """The arm with the largest dose among those of the first arm's variant."""
    family = [arm for arm in plan.arms[1:] if arm.family == plan.arms[1].family]
    return max(family, key=lambda arm: abs(arm.dose or 0.0)).name


def time_steps(plan: Plan, task: Task, folder: Path, device: torch.device) -> Curves:
    """Learning curves of a few steps of the pilot's arms, trained in this process; `folder` must be empty.

    The test set is cut in proportion to the training set, so that the seconds per training example hold for whole
    epochs. The first pass, which warms up kernels and caches, is left out.
    """
    trial = pilot_plan(plan, epochs=_PASSES, pairs=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        for run in trial.runs:
            small = _first_batches(task, trial.arm(run.arm).training.batch_size)
            run_cohort(trial, Cohort(run.seed, (run.arm,)), small, folder, device, lambda event: None)
    finally:
        torch.set_num_threads(threads)
    return {run: RunFolder(folder, run).read().rows[1:] for run in trial.runs}


def _first_batches(task: Task, batch_size: int) -> Task:
    share = min(1.0, _BATCHES * batch_size / len(task.train))
    return replace(task, train=_first(task.train, share), test=_first(task.test, share))


def _first(split: Split, share: float) -> Split:
    return split.head(max(1, round(share * len(split))))
