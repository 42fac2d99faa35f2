"""The runs that an estimate of a study rests on: a folder's, a pilot's, or none.

Knows nothing of how estimates are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crossnorm.stats import Outlook, Table, noise, outlook
from crossnorm.study.planning.cost import Curves, Source, seconds_of_outcomes
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.storage import run_folder as store
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.results_table import collect, planned_table
from crossnorm.study.storage.study_folder import Record, read_folder

__all__ = ["Basis", "outlook_of", "stored_basis"]


@dataclass(frozen=True, kw_only=True)
class Basis:
    """The runs that an estimate rests on.

    Attributes:
        source: Where the curves come from.
        curves: Learning curves of arms of the plan, for the time they took.
        seconds: Of one whole run of every arm, from complete runs; empty without any.
        done: Runs of the plan that have an outcome.
        table: Runs with at least three pairs, for their scatter; None: there are none.
        noise: Where these come from.
        record: The folder's, if its study can become the plan.
        seen: Whether its verdict has been written.
        extends: Whether the plan has arms or seeds that the folder's study has not.
        notes: For the reader.
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

    def with_pilot(self, folder: Path, trial: Plan) -> Basis:
        """With a pilot's runs for what the folder's could not tell."""
        table = collect(folder, trial, trial.runs)
        measured = noise(table, trial.spec.metric).sd is not None
        note = "The standard deviations are those after one epoch of a pilot; those at the end of training may differ."
        if not measured:
            note = "The pilot left fewer than 3 complete pairs."
        timed = {} if self.curves else {"source": "pilot", "curves": _curves(folder, trial)}
        return replace(
            self,
            table=table if measured else None,
            noise="pilot" if measured else None,
            notes=(*self.notes, note),
            **timed,  # type: ignore[arg-type]
        )


def stored_basis(folder: Path, plan: Plan, digest: str) -> Basis:
    """What a folder's runs can tell of a plan: nothing unless they are of the same data or code, model and arms.

    Args:
        folder: It need not exist.
        plan: Resolved.
        digest: Of the data, or of the function, that the plan is about (`Subject.digest`).
    """
    found = read_folder(folder)
    if found is None:
        return Basis()
    before, record = found
    names = {arm.name for arm in plan.arms}
    shared = replace(before, arms=tuple(arm for arm in before.arms if arm.name in names))
    same_arms = all(plan.arm(arm.name) == arm for arm in shared.arms)
    if not same_arms or record.digest != digest or before.spec.model != plan.spec.model:
        ours = "other data, another model or another recipe"
        what = ours if plan.spec.function is None else "another function, other code or other settings"
        return Basis(notes=(f"The runs in {folder} are of {what}: they are not used.",))
    table = collect(folder, replace(shared, spec=plan.spec), shared.runs)
    known = noise(table, plan.spec.metric).sd is not None
    machine = describe_environment()
    elsewhere_run = any(record.environment.get(key) != machine.get(key) for key in ("processor", "gpu"))
    note = f"The runs in {folder} began on another machine ({record.environment.get('processor')}); so are their hours."
    runs, results = set(plan.runs), {run: store.read_result(folder, run) for run in shared.runs}
    return Basis(
        curves={run: rows for run, rows in _curves(folder, shared).items() if len(rows) > 1},
        seconds=seconds_of_outcomes(plan, results),
        done=tuple(run for run, result in results.items() if run in runs and _stands(result)),
        table=table if known else None,
        noise="stored runs" if known else None,
        record=record,
        seen=(folder / "verdict.json").exists(),
        extends=not runs <= set(before.runs),
        notes=(note,) if elsewhere_run else (),
    )


def outlook_of(plan: Plan, basis: Basis, *, difference: float | None) -> Outlook:
    """Intervals are sequential wherever pairs are, or would be, added after looking."""
    spec = plan.spec
    looks = spec.stop != "fixed" or (basis.record is not None and basis.record.looked)
    return outlook(
        planned_table(plan),
        basis.table,
        metric=spec.metric,
        confidence=spec.confidence,
        margin=spec.margin,
        difference=difference,
        interval="sequential" if looks or (basis.seen and basis.extends) else "bonferroni-t",
        later="sequential" if looks or basis.seen else "bonferroni-t",
    )


def _stands(result: store.Row | None) -> bool:
    return result is not None and result["status"] in store.FINISHED


def _curves(folder: Path, plan: Plan) -> Curves:
    return {run: store.read_metrics(folder, run) for run in plan.runs}
