"""What a study would cost and what it could show, before it is run: from stored runs, a pilot, or a few steps.

The study's folder is only read; whatever is trained goes into a temporary one. Knows nothing of how an estimate is
shown.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from crossnorm.data import Task
from crossnorm.stats import Outlook, Table, noise, outlook
from crossnorm.study import store
from crossnorm.study.collect import collect, planned_table
from crossnorm.study.cost import Cost, Curves, Elsewhere, Like, Source, cost_of, elsewhere
from crossnorm.study.environment import describe_environment
from crossnorm.study.folder import read_folder
from crossnorm.study.pilot import pilot_plan, run_pilot, time_steps
from crossnorm.study.plan import Plan, Run
from crossnorm.study.progress import Progress

__all__ = ["Estimate", "estimate_study"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a study would cost and what it could show.

    Attributes:
        study: Its name.
        cost: Runs, hours, disk.
        outlook: Detectable differences and needed seeds.
        noise: Where the outlook's standard deviations come from; None: not measured.
        elsewhere: Another size of it, if asked for.
        notes: What a reader must know to read the numbers right.
    """

    study: str
    cost: Cost
    outlook: Outlook
    noise: Source | None
    elsewhere: Elsewhere | None
    notes: tuple[str, ...]

    def to_json(self) -> str:
        """All of it as JSON, keys sorted, null for what does not exist."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class _Basis:
    """The runs that an estimate rests on.

    Attributes:
        source: Where the curves come from.
        curves: Learning curves of arms of the plan, for the time they took.
        done: Runs of the plan that have an outcome.
        table: Runs with at least three pairs, for their scatter; None: there are none.
        noise: Where these come from.
        looked: Whether the folder's study was extended after its verdict had been seen.
        seen: Whether its verdict has been written.
        extends: Whether the plan has arms or seeds that the folder's study has not.
        notes: For the reader.
    """

    source: Source = "stored runs"
    curves: Curves = field(default_factory=dict)
    done: tuple[Run, ...] = ()
    table: Table | None = None
    noise: Source | None = None
    looked: bool = False
    seen: bool = False
    extends: bool = False
    notes: tuple[str, ...] = ()


def estimate_study(
    plan: Plan,
    task: Task,
    folder: Path,
    *,
    pilot: bool,
    difference: float | None,
    like: Like | None,
    workers: int,
    device: torch.device,
    imports: Sequence[str],
    bars: Progress,
) -> Estimate:
    """Estimate a resolved plan; see `crossnorm.Study.estimate`.

    Raises:
        BadInput: A difference, a model or a count that does not fit; no run gets through its first steps.
    """
    basis = _stored(folder, plan, task)
    _outlook(plan, basis, difference)  # whatever does not fit is said before anything is trained
    with tempfile.TemporaryDirectory(prefix="crossnorm-plan-") as name:
        scratch = Path(name)
        if pilot and basis.noise is None:
            trial = pilot_plan(plan)
            listen = bars.begin(trial, trial.runs, trial.runs, len(task.train))
            run_pilot(trial, scratch, workers=workers, device=device.type, imports=imports, listen=listen)
            basis = _with_pilot(basis, scratch, trial)
        if not basis.curves:
            basis = replace(basis, source="measured steps", curves=time_steps(plan, task, scratch, device))
    cost = cost_of(plan, task, basis.curves, source=basis.source, done=basis.done, workers=workers)
    return Estimate(
        study=plan.spec.name,
        cost=cost,
        outlook=_outlook(plan, basis, difference),
        noise=basis.noise,
        elsewhere=None if like is None else elsewhere(plan, task, cost, like),
        notes=basis.notes,
    )


def _stored(folder: Path, plan: Plan, task: Task) -> _Basis:
    """What a folder's runs can tell of a plan: nothing unless they are of the same data, model and arms."""
    found = read_folder(folder)
    if found is None:
        return _Basis()
    before, record = found
    names = {arm.name for arm in plan.arms}
    shared = replace(before, spec=plan.spec, arms=tuple(arm for arm in before.arms if arm.name in names))
    same_arms = all(plan.arm(arm.name) == arm for arm in shared.arms)
    if not same_arms or record.digest != task.digest or before.spec.model != plan.spec.model:
        return _Basis(notes=(f"The runs in {folder} are of other data, another model or another recipe: not used.",))
    table = collect(folder, shared, shared.runs)
    known = noise(table, plan.spec.metric).sd is not None
    runs = set(plan.runs)
    return _Basis(
        curves={run: rows for run, rows in _curves(folder, shared).items() if len(rows) > 1},
        done=tuple(run for run in shared.runs if run in runs and store.stands(folder, run)),
        table=table if known else None,
        noise="stored runs" if known else None,
        looked=record.looked,
        seen=(folder / "verdict.json").exists(),
        extends=not runs <= set(before.runs),
        notes=_other_machine(folder, record.environment),
    )


def _other_machine(folder: Path, environment: dict[str, str]) -> tuple[str, ...]:
    here = describe_environment()
    if all(environment.get(key) == here.get(key) for key in ("processor", "gpu")):
        return ()
    there = environment.get("gpu") or environment.get("processor")
    return (f"The runs in {folder} began on another machine ({there}); the hours are its hours.",)


def _with_pilot(basis: _Basis, folder: Path, trial: Plan) -> _Basis:
    """The pilot's runs for what the stored ones could not tell."""
    table = collect(folder, trial, trial.runs)
    if not basis.curves:
        basis = replace(basis, source="pilot", curves=_curves(folder, trial))
    if noise(table, trial.spec.metric).sd is None:
        return replace(basis, notes=(*basis.notes, "The pilot left fewer than 3 complete pairs."))
    note = "The standard deviations are those of a pilot after one epoch; at the end of training they may differ."
    return replace(basis, table=table, noise="pilot", notes=(*basis.notes, note))


def _outlook(plan: Plan, basis: _Basis, difference: float | None) -> Outlook:
    """Intervals are sequential wherever pairs are, or would be, added after looking."""
    spec = plan.spec
    looks = spec.stop == "decided" or basis.looked
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


def _curves(folder: Path, plan: Plan) -> Curves:
    return {run: store.read_metrics(folder, run) for run in plan.runs}
