"""Read the results of a study from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossnorm.api._result import Result
from crossnorm.errors import BadInput
from crossnorm.io import encoded_name
from crossnorm.study.planning.cost import seconds_per_seed
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.spec.summary import describe
from crossnorm.study.storage.needed_runs import needed_runs, study_verdict
from crossnorm.study.storage.results_table import collect
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import Record, note_results_seen, read_folder
from crossnorm.training.loop.outcome import RunStatus

__all__ = ["default_folder", "look_at", "read_result", "result_of"]


def default_folder(name: str) -> Path:
    """``crossnorm/<name>`` in the working directory."""
    return Path("crossnorm") / encoded_name(name)


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


def look_at(folder: Path | str) -> Result:
    """`read_result` to show to a person: interim results are recorded as seen.

    Raises:
        BadInput: The folder holds no study, or a damaged one.
    """
    result = read_result(folder, looking=True)
    if not result.table.complete and result.verdict.n_pairs:
        note_results_seen(Path(folder))
    return result


def result_of(folder: Path, plan: Plan, record: Record, runs: Sequence[Run], *, looking: bool = False) -> Result:
    """The results of these runs of a study; `looking` as in `read_result`."""
    table = collect(folder, plan, runs)
    return Result(
        table=table,
        verdict=study_verdict(plan, record, table, interim=looking and not table.complete),
        facts=_facts(folder, plan, record),
        folder=folder,
    )


def _facts(folder: Path, plan: Plan, record: Record) -> dict[str, Any]:
    results = {run: RunFolder.of(folder, run).read_result() for run in plan.runs}
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
        "description": describe(plan),
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
