"""The runs that an estimate is based on: those in the study's folder, a pilot, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crossnorm.stats import Outlook, Table, listed, noise, outlook
from crossnorm.study.planning.cost import Curves, Source
from crossnorm.study.planning.durations import seconds_of_outcomes
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.results_table import collect, planned_table, read_runs
from crossnorm.study.storage.study_record import Record, read_folder
from crossnorm.study.workload.workload import Workload

__all__ = ["Evidence", "outlook_of", "stored_evidence"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The runs that an estimate is based on.

    Attributes:
        source: The source of the curves.
        curves: Learning curves of arms of the plan, for their times.
        seconds: Seconds of one run per arm, from complete runs; empty without any.
        done: Runs of the plan with a final outcome.
        table: Runs of at least three pairs, for their standard deviation; None without them.
        noise: The source of the table.
        record: The record of the folder, if its study can become the plan.
        seen: Whether its verdict has been written.
        extends: Whether the plan adds arms or seeds to the folder's study.
        notes: Limitations, for the reader.
    """

    source: Source = "stored runs"
    curves: Curves = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    done: tuple[Run, ...] = ()
    table: Table | None = None
    noise: Source | None = None
    record: Record | None = None
    seen: bool = False
    extends: bool = False
    notes: tuple[str, ...] = ()

    def with_pilot(self, folder: Path, pilot: Plan) -> Evidence:
        """Add a pilot's runs: their standard deviation, and their times if there are no others."""
        stored = read_runs(folder, pilot, pilot.runs)
        table = collect(pilot, stored)
        measured = noise(table, pilot.spec.metric).sd is not None
        note = "The standard deviations are from one epoch of a pilot; they may differ at the end of training."
        if not measured:
            note = "The pilot has fewer than 3 complete pairs."
        curves = {run: kept.rows for run, kept in stored.items()}
        timed = {} if self.curves else {"source": "pilot", "curves": curves}
        return replace(
            self,
            table=table if measured else None,
            noise="pilot" if measured else None,
            notes=(*self.notes, note),
            **timed,  # type: ignore[arg-type]
        )


def stored_evidence(folder: Path, workload: Workload) -> Evidence:
    """The evidence from a study's folder; none unless its data or function, model and arms are those of the plan.

    Args:
        folder: The study's folder, which need not exist.
        workload: The compiled study.
    """
    plan = workload.plan
    found = read_folder(folder)
    if found is None:
        return Evidence()
    before, record = found
    names = {arm.name for arm in plan.arms}
    shared = replace(before, arms=tuple(arm for arm in before.arms if arm.name in names))
    same_arms = all(plan.arm(arm.name) == arm for arm in shared.arms)
    changed = record.changed(plan, workload.digest, workload.code)
    if not same_arms or changed or before.spec.model != plan.spec.model:
        what = "data, model, recipe or code" if plan.spec.function is None else "function, code or settings"
        return Evidence(notes=(f"The runs in {folder} are not used: their {what} differ.",))
    stored = read_runs(folder, shared, shared.runs)
    table = collect(replace(shared, spec=plan.spec), stored)
    measured = noise(table, plan.spec.metric).sd is not None
    machine = describe_environment()
    other_machine = any(record.environment.get(key) != machine.get(key) for key in ("processor", "gpu"))
    lost = [f"{run.arm}, seed {run.seed} ({kept.problem})" for run, kept in stored.items() if kept.problem]
    damaged = f"Stored runs that do not count: {listed(lost)}." if lost else ""
    note = f"The times are from another machine ({record.environment.get('processor')}), which started {folder}."
    runs, results = set(plan.runs), {run: kept.result for run, kept in stored.items()}
    return Evidence(
        curves={run: kept.rows for run, kept in stored.items() if len(kept.rows) > 1},
        seconds=seconds_of_outcomes(plan, results),
        done=tuple(run for run, result in results.items() if run in runs and result and result["status"].is_final),
        table=table if measured else None,
        noise="stored runs" if measured else None,
        record=record,
        seen=(folder / "verdict.json").exists(),
        extends=not runs <= set(before.runs),
        notes=(*([damaged] if damaged else []), *([note] if other_machine else [])),
    )


def outlook_of(plan: Plan, evidence: Evidence, *, difference: float | None) -> Outlook:
    """The power of the plan; intervals are sequential if pairs are, or would be, added after looking."""
    spec = plan.spec
    sequential = spec.stop != "fixed" or (evidence.record is not None and evidence.record.results_seen)
    return outlook(
        planned_table(plan),
        evidence.table,
        metric=spec.metric,
        confidence=spec.confidence,
        margin=spec.margin,
        difference=difference,
        interval="sequential" if sequential or (evidence.seen and evidence.extends) else "bonferroni-t",
        later="sequential" if sequential or evidence.seen else "bonferroni-t",
    )
