"""From a study's folder to its answer: what its runs call for, and what they say. Trains nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crossnorm.api._result import Result
from crossnorm.errors import BadInput
from crossnorm.io import encoded_name
from crossnorm.stats import Table, Verdict, estimate, settled
from crossnorm.study.planning.cost import seconds_per_seed
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.spec.summary import describe
from crossnorm.study.storage import run_folder as store
from crossnorm.study.storage.results_table import collect
from crossnorm.study.storage.study_folder import Record, note_look, read_folder

__all__ = ["carry_out_until_decided", "default_folder", "look_at", "read_result", "result_of"]


def default_folder(name: str) -> Path:
    """``crossnorm/<name>`` below the working directory."""
    return Path("crossnorm") / encoded_name(name)


def read_result(folder: Path | str, *, looking: bool = False) -> Result:
    """The answer of what a study's folder holds now.

    Args:
        folder: The study's folder.
        looking: While the study is unfinished its intervals are the sequential ones, valid however often one looks.

    Raises:
        BadInput: There is no study in it.
    """
    folder = Path(folder)
    found = read_folder(folder)
    if found is None:
        usual = default_folder(folder.name)
        there = read_folder(usual) if not folder.exists() and usual.is_dir() else None
        hint = "crossnorm plot STUDY makes one." if there is None else f"Did you mean {usual}?"
        raise BadInput(str(folder), "a study's folder", "no study.yaml in it", hint)
    plan, record = found
    runs = carry_out_until_decided(folder, plan, record, lambda runs: None)
    return result_of(folder, plan, record, runs, looking=looking)


def look_at(folder: Path | str) -> Result:
    """`read_result` for somebody's eyes: of an unfinished study provisional, and remembered in its folder as a look.

    Raises:
        BadInput: There is no study in it.
    """
    result = read_result(folder, looking=True)
    if not result.table.complete and result.verdict.n_pairs:
        note_look(Path(folder))
    return result


def carry_out_until_decided(
    folder: Path, plan: Plan, record: Record, carry_out: Callable[[Sequence[Run]], None]
) -> list[Run]:
    """Carry out the study's runs, batch by batch of seeds, and give back those that were called for.

    A study of fixed size is one batch. In an open-ended one an arm whose comparisons the sequential test has settled
    gets no further seeds. What is called for follows from the runs of earlier batches alone, so a resumed study asks
    for the same.
    """
    runs: list[Run] = []
    open_arms = {arm.name for arm in plan.arms}
    for seeds in plan.batches:
        runs += [run for run in plan.runs if run.seed in seeds and run.arm in open_arms]
        carry_out(runs)
        if plan.spec.stop == "fixed":
            continue
        table = collect(folder, plan, runs)
        if not table.complete:
            break  # only drawing what is there so far
        open_arms = {arm for arm, done in settled(table, _verdict(plan, record, table)).items() if not done}
        if not open_arms:
            break
    return runs


def result_of(folder: Path, plan: Plan, record: Record, runs: Sequence[Run], *, looking: bool = False) -> Result:
    """The answer that these runs of a study give, with the facts of its folder; `looking`: see `read_result`."""
    table = collect(folder, plan, runs)
    return Result(
        table=table,
        verdict=_verdict(plan, record, table, looking=looking and not table.complete),
        facts=_facts(folder, plan, record),
        folder=folder,
    )


def _verdict(plan: Plan, record: Record, table: Table, *, looking: bool = False) -> Verdict:
    spec = plan.spec
    looked = looking or record.looked or spec.stop == "decided"
    return estimate(
        table,
        study=spec.name,
        metric=spec.endpoint,
        margin=spec.margin,
        confidence=spec.confidence,
        interval="sequential" if looked else "bonferroni-t",
    )


def _facts(folder: Path, plan: Plan, record: Record) -> dict[str, Any]:
    results = {run: store.read_result(folder, run) for run in plan.runs}
    failures = [
        {"arm": run.arm, "seed": run.seed, "status": result["status"], "reason": result.get("reason") or ""}
        for run, result in results.items()
        if result is not None and result["status"] != "complete"
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
    }
