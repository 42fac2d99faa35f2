"""Read the results of a study from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossnorm.api._lost_runs import find_lost, lost_runs, unfinished_cells
from crossnorm.api._result import Result, stored_lines
from crossnorm.errors import BadInput
from crossnorm.io import encoded_name
from crossnorm.study.planning.durations import seconds_per_seed
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.spec.summary import describe
from crossnorm.study.storage.needed_runs import needed_runs, study_verdict
from crossnorm.study.storage.results_table import collect, kept_table, read_runs
from crossnorm.study.storage.run_folder import Row
from crossnorm.study.storage.study_folder import note_results_seen
from crossnorm.study.storage.study_record import Record, read_folder, run_at
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["default_folder", "load", "read_result", "result_of"]

_UNSEALED = (
    "A crossnorm before 0.3 wrote the runs, which do not say which study, arm and seed they belong to. crossnorm plot "
    "seals them as they are."
)


def default_folder(name: str) -> Path:
    """``crossnorm/<name>`` in the working directory, with - for spaces."""
    return Path("crossnorm") / encoded_name("-".join(name.split()))


def read_result(folder: Path | str, *, looking: bool = False) -> Result:
    """The results of the runs that a study's folder holds now.

    Args:
        folder: The study's folder.
        looking: Use sequential intervals while the study is unfinished: they stay valid however often one looks.

    Raises:
        BadInput: The folder holds no study, or a damaged one.
    """
    folder = Path(folder)
    found = read_folder(folder)
    if found is None:
        usual = default_folder(folder.name)
        there = read_folder(usual) if not folder.exists() and usual.is_dir() else None
        hint = "Create a study with: crossnorm plot STUDY." if there is None else f"Did you mean {usual}?"
        raise BadInput.because(str(folder), "not the folder of a study: it has no study.yaml", hint)
    plan, record = found
    return result_of(folder, plan, record, needed_runs(folder, plan, record), looking=looking)


def load(folder: Path | str) -> Result:
    """The results that a folder holds: of a study, finished or not, or of one of its runs.

    A study is read from its runs, or from table.csv where only that was kept. Interim results are recorded as seen:
    intervals are sequential while the study is unfinished, and stay so if it is extended.

    Args:
        folder: The study's folder, or that of one run, ``FOLDER/runs/ARM/SEED``: then the result holds this run alone.

    Raises:
        BadInput: The folder holds no study, or a damaged one.
    """
    folder = Path(folder)
    if folder.is_file():
        hint = "For a table of runs: crossnorm.compare(FILE, metric=…, direction=…)."
        raise BadInput.because(str(folder), "a file; load takes the folder of a study or of a run", hint)
    if (folder / "metrics.jsonl").is_file():
        return _one_run(folder)
    result = read_result(folder, looking=True)
    if unfinished_cells(result.table) and result.verdict.n_pairs:  # of a finished study it is known
        note_results_seen(folder)
    return result


def _one_run(own: Path) -> Result:
    found = run_at(own)
    if found is None:
        plan_file = own.absolute().parent.parent.parent / "study.yaml"
        raise BadInput.because(str(own), f"a run of no study: {plan_file} does not plan it")
    study, plan, record, run = found
    arm = replace(plan.arm(run.arm), control=None)
    alone = replace(plan, arms=(arm,), seeds=(run.seed,))
    return replace(result_of(study, alone, record, [run], looking=True, whole=False), folder=None)


def result_of(
    folder: Path, plan: Plan, record: Record, runs: Sequence[Run], *, looking: bool = False, whole: bool = True
) -> Result:
    """The results of these runs of a study; `looking` as in `read_result`; `whole`: the plan is that of the folder."""
    kept = folder / "table.csv"
    kept_only = not (folder / "runs").exists() and stored_lines(kept)
    stored = read_runs(folder, plan, plan.runs)
    table = kept_table(kept, plan) if kept_only else collect(plan, {run: stored[run] for run in runs})
    lost = find_lost(folder, plan, table, {} if kept_only else stored, whole=whole)
    results = {run: found.result for run, found in stored.items()}
    unsealed = record.id is None and any(results.values())
    cautions = (*([lost_runs(lost)] if lost else []), *([_UNSEALED] if unsealed else []))
    return Result(
        table=table,
        verdict=study_verdict(plan, record, table, interim=looking and not table.complete),
        facts=_facts(folder, plan, record, results, seeds=len(table.seeds)) | {"cautions": cautions},
        folder=folder,
        lost=lost,
    )


def _facts(
    folder: Path, plan: Plan, record: Record, results: Mapping[Run, Row | None], *, seeds: int
) -> dict[str, Any]:
    failures = [
        {"arm": run.arm, "seed": run.seed, "status": result["status"].value, "reason": result.get("reason") or ""}
        for run, result in results.items()
        if result is not None and result["status"] is not RunStatus.COMPLETE
    ]
    environment = dict(record.environment)
    revision = environment.pop("revision", "unknown")
    hardware = {key: environment.pop(key) for key in ("system", "processor", "cores", "gpu") if key in environment}
    return {
        "title": plan.spec.name,
        "description": describe(plan, seeds),
        "command": "crossnorm plot study.yaml --out repeated",
        "plan_yaml": (folder / "study.yaml").read_text(encoding="utf-8"),
        "versions": environment,
        "hardware": hardware,
        "revision": revision,
        "extensions": list(record.extensions),
        "failures": failures,
        "seconds_per_seed": seconds_per_seed(plan, results),
        "classes": plan.spec.model.get("num_classes"),
    }
