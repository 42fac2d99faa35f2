"""From the learning curves in a study's folder to the table that the statistics read.

Knows nothing of estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crossnorm.stats import ArmInfo, Table, with_summaries
from crossnorm.study.spec.plan import Arm, Plan, Run
from crossnorm.study.storage import run_folder as store

__all__ = ["arm_infos", "collect", "planned_table"]


def collect(folder: Path, plan: Plan, runs: Sequence[Run]) -> Table:
    """Every run's stored curve as one array a metric: arms × seeds × evaluations.

    Args:
        folder: The study's folder.
        plan: Names arms and seeds.
        runs: The runs that were called for. A run of their seeds that was not is "settled": its arm's comparisons were
            decided before.
    """
    seeds = tuple(seed for seed in plan.seeds if any(run.seed == seed for run in runs))
    curves = {run: store.read_metrics(folder, run) for run in runs}
    steps = sorted({row["step"] for rows in curves.values() for row in rows})
    names = {key for rows in curves.values() for row in rows for key, value in row.items() if _is_metric(key, value)}
    shape = (len(plan.arms), len(seeds), len(steps))
    metric = plan.spec.endpoint
    metrics = {name: np.full(shape, np.nan) for name in sorted({metric.base, *names})}
    status = np.full(shape[:2], "settled", dtype="<U8")
    place = {step: i for i, step in enumerate(steps)}
    arm_place = {arm.name: i for i, arm in enumerate(plan.arms)}
    for run, rows in curves.items():
        a, s = arm_place[run.arm], seeds.index(run.seed)
        result = store.read_result(folder, run)
        status[a, s] = "missing" if result is None else result["status"]
        for row in rows:
            for name, array in metrics.items():
                if row.get(name) is not None:
                    array[a, s, place[row["step"]]] = row[name]
    table = Table(arms=arm_infos(plan), seeds=seeds, steps=tuple(steps), metrics=metrics, status=status)
    return table if metric.summary == "last" else with_summaries(table, metric)


def planned_table(plan: Plan) -> Table:
    """The table of a plan of which nothing has run."""
    status = np.full((len(plan.arms), len(plan.seeds)), "missing")
    return Table(arms=arm_infos(plan), seeds=plan.seeds, steps=(), metrics={}, status=status)


def arm_infos(plan: Plan) -> tuple[ArmInfo, ...]:
    """What the statistics need to know of each arm."""
    return tuple(map(_info, plan.arms))


def _info(arm: Arm) -> ArmInfo:
    site = None if arm.variant is None else arm.variant.site
    return ArmInfo(name=arm.name, variant=arm.family, alpha=arm.dose, site=site, control=arm.control)


def _is_metric(key: str, value: object) -> bool:
    return key != "step" and isinstance(value, int | float) and not isinstance(value, bool)
