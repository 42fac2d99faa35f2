"""The table of a study's stored runs, as the statistics read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossnorm.errors import BadInput
from crossnorm.io import regular_file
from crossnorm.metric import Metric
from crossnorm.stats import ArmInfo, Table, name_trends, table_from_records, with_endpoint, with_summaries
from crossnorm.stats.runs.csv_cells import csv_rows
from crossnorm.study.spec.plan import Arm, Plan, Run
from crossnorm.study.storage.run_folder import RunFolder, StoredRun

__all__ = ["arm_infos", "collect", "kept_table", "planned_table", "read_runs"]


def read_runs(folder: Path, plan: Plan, runs: Sequence[Run]) -> dict[Run, StoredRun]:
    """What the folder of a study holds of these runs of its plan."""
    return {run: RunFolder(folder, run, plan).read() for run in runs}


def collect(plan: Plan, runs: Mapping[Run, StoredRun]) -> Table:
    """Stored curves and outcomes, per metric an array of arms × seeds × evaluations.

    What a function logged and is not finite, null in its curve, is infinite here. Null in the curve of a task means
    "not measured": a run whose metric is not finite has diverged there.

    Args:
        plan: The study's arms and seeds.
        runs: The runs that the study needs (`needed_runs`), as stored. Other runs of their seeds have the status
            "settled": all comparisons of their arm were decided before.
    """
    curves = {run: stored.rows for run, stored in runs.items()}
    seeds = tuple(seed for seed in plan.seeds if any(run.seed == seed for run in runs))
    steps = sorted({row["step"] for rows in curves.values() for row in rows})
    logged = plan.spec.function is not None
    names = {key for rows in curves.values() for row in rows for key, value in row.items() if _is_metric(key, value)}
    shape = (len(plan.arms), len(seeds), len(steps))
    metric = plan.spec.endpoint
    metrics = {name: np.full(shape, np.nan) for name in sorted({metric.base, *names})}
    status = np.full(shape[:2], "settled", dtype="<U8")
    step_index = {step: i for i, step in enumerate(steps)}
    arm_index = {arm.name: i for i, arm in enumerate(plan.arms)}
    for run, rows in curves.items():
        a, s = arm_index[run.arm], seeds.index(run.seed)
        result = runs[run].result
        status[a, s] = "missing" if result is None else result["status"].value
        for row in rows:
            for name in metrics.keys() & row.keys():
                value = np.inf if logged and row[name] is None else row[name]
                metrics[name][a, s, step_index[row["step"]]] = np.nan if value is None else value
    table = Table(
        arms=arm_infos(plan),
        seeds=seeds,
        steps=tuple(steps),
        metrics=metrics,
        status=status,
        dose_name="α" if any(arm.variant is not None for arm in plan.arms) else "dose",
    )
    if plan.spec.function is not None and metric.base not in names:
        metric = Metric.parse(metric.base)  # the summary of a column that the function logs
    if metric.summary == "last" or metric.base not in names:
        return table
    return with_summaries(table, metric, side=plan.spec.direction if plan.spec.function is not None else None)


def kept_table(file: Path, plan: Plan) -> Table:
    """The runs as table.csv has them, where the folders of the runs were not kept.

    Args:
        file: The table, as `Result.save` writes it.
        plan: The study's plan: runs that the table has not are missing, except seeds that an open-ended study left.

    Raises:
        BadInput: The file is damaged.
    """
    with regular_file(file).open(encoding="utf-8", newline="") as rows:
        try:
            kept = ({**row, "control": ""} for row in csv_rows(rows))  # the plan knows the controls
            table = table_from_records(kept)
            side = plan.spec.direction if plan.spec.function is not None else None
            table, _ = with_endpoint(table, plan.spec.metric, side)
        except UnicodeDecodeError:
            raise BadInput.because(str(file), "damaged: not a text file") from None
        except BadInput as error:
            raise error.within(str(file)) from None
    return _of_plan(table, plan)


def _of_plan(table: Table, plan: Plan) -> Table:
    """The table with all arms of the plan, and all its seeds unless the study is open-ended."""
    seeds = table.seeds if plan.spec.stop == "decided" else plan.seeds
    infos = arm_infos(plan)
    known = {arm.name: i for i, arm in enumerate(table.arms)}
    cells = [
        ((a, s), (known[arm.name], table.seeds.index(seed)))
        for a, arm in enumerate(infos)
        for s, seed in enumerate(seeds)
        if arm.name in known and seed in table.seeds
    ]
    status = np.full((len(infos), len(seeds)), "missing", dtype="<U8")
    metrics = {name: np.full((*status.shape, len(table.steps)), np.nan) for name in table.metrics}
    for new, old in cells:
        status[new] = table.status[old]
        for name, values in metrics.items():
            values[new] = table.metrics[name][old]
    return replace(table, arms=infos, seeds=tuple(seeds), metrics=metrics, status=status)


def planned_table(plan: Plan) -> Table:
    """The table of a plan without any run."""
    status = np.full((len(plan.arms), len(plan.seeds)), "missing")
    return Table(arms=arm_infos(plan), seeds=plan.seeds, steps=(), metrics={}, status=status)


def arm_infos(plan: Plan) -> tuple[ArmInfo, ...]:
    """The arms as the statistics describe them; those of a trend without a variant give it their own names."""
    varied = _varied(plan)
    infos = tuple(_info(arm, plan, varied) for arm in plan.arms)
    unnamed = {arm.name for arm in plan.arms if arm.variant is None and arm.family is not None}
    return name_trends(infos, unnamed)


def _info(arm: Arm, plan: Plan, varied: Sequence[str]) -> ArmInfo:
    site = None if arm.variant is None else arm.variant.site
    settings = dict(arm.settings) if arm.recipe is None else {name: getattr(arm.recipe, name) for name in varied}
    compared = tuple(other for name, other in plan.spec.compare if name == arm.name)
    return ArmInfo(
        name=arm.name,
        variant=arm.family,
        alpha=arm.dose,
        site=site,
        control=arm.control,
        compared=compared,
        settings=settings,
    )


def _varied(plan: Plan) -> list[str]:
    """Fields of the recipe in which arms of the study differ."""
    recipes = [arm.recipe.model_dump() for arm in plan.arms if arm.recipe is not None]
    return [name for name in (recipes or [{}])[0] if any(recipe[name] != recipes[0][name] for recipe in recipes)]


def _is_metric(key: str, value: object) -> bool:
    return key != "step" and isinstance(value, int | float) and not isinstance(value, bool)
