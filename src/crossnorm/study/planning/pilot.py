"""Small trials of a study in a folder of their own: a pilot of three pairs, or a few steps to take the time of.

Both train the baseline, the first variant's strongest arm and that arm's control. Knows nothing of the study's own
folder, or of what the runs are used for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Split, Task
from crossnorm.study.executors.process_pool import run_local
from crossnorm.study.planning.cost import Curves
from crossnorm.study.spec.arm_schema import ArmSpec
from crossnorm.study.spec.plan import Cohort, Plan, cut, make_plan
from crossnorm.study.storage import run_folder as store
from crossnorm.study.workload.cohort_run import run_cohort

__all__ = ["pilot_plan", "run_pilot", "time_steps"]

_PAIRS = 3
_OFFSET = 1000
_BATCHES = 2  # of one pass of `time_steps`
_PASSES = 3  # the first warms up


def pilot_plan(plan: Plan, *, epochs: int = 1, pairs: int = _PAIRS) -> Plan:
    """The study's strongest arm beside its control and the baseline, for a few epochs and seeds."""
    arms = [
        ArmSpec(
            **{k: v for k, v in arm.model_dump().items() if k not in ("epochs", "seed_offset")},
            seed_offset=_OFFSET if arm.seed_offset else 0,  # its own may lead to seeds of the pilot
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
    """Of the arms that share the first arm's variant, the one with the largest dose."""
    family = [arm for arm in plan.arms[1:] if arm.family == plan.arms[1].family]
    return max(family, key=lambda arm: abs(arm.dose or 0.0)).name


def run_pilot(
    pilot: Plan,
    folder: Path,
    *,
    workers: int,
    device: str,
    imports: Sequence[str],
    listen: Callable[[int, dict[str, Any]], None],
    orders: Mapping[str, Any] | None = None,
) -> None:
    """Train every run of a pilot plan, in worker processes as the study would, into an empty folder."""
    run_local(
        pilot,
        cut(pilot, pilot.runs, workers),
        folder,
        workers=workers,
        device=device,
        imports=imports,
        listen=listen,
        orders=orders,
    )


def time_steps(plan: Plan, task: Task, folder: Path, device: torch.device) -> Curves:
    """Learning curves of a few steps of the pilot's arms, trained in this process and in an empty folder.

    The test set is cut in the same proportion as the training set, so that seconds per example seen hold for whole
    epochs. The first pass, in which kernels and caches warm up, is left out.
    """
    trial = pilot_plan(plan, epochs=_PASSES, pairs=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has
    try:
        for run in trial.runs:
            small = _first_batches(task, trial.arm(run.arm).training.batch_size)
            run_cohort(trial, Cohort(run.seed, (run.arm,)), small, folder, device, lambda event: None)
    finally:
        torch.set_num_threads(threads)
    return {run: store.read_metrics(folder, run)[1:] for run in trial.runs}


def _first_batches(task: Task, batch_size: int) -> Task:
    share = min(1.0, _BATCHES * batch_size / len(task.train))
    return replace(task, train=_first(task.train, share), test=_first(task.test, share))


def _first(split: Split, share: float) -> Split:
    return split.head(max(1, round(share * len(split))))
