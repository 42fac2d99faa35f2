"""Which runs a study needs, judged from the runs that are stored, and the verdict on them.

A study with a fixed number of seeds needs all its runs. An open-ended study (``stop: decided``) adds seeds batch by
batch, without the arms whose comparisons the sequential test has decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats import Table, Verdict, declared_contrast, estimate, settled
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.spec.summary import scope_of
from crossnorm.study.storage.results_table import collect, planned_table, read_runs
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_record import Record

__all__ = ["needed_runs", "run_batches", "study_verdict", "unfinished_runs"]


def run_batches(folder: Path, plan: Plan, record: Record) -> Iterator[list[Run]]:
    """Yield the needed runs, again with every batch of seeds added, until nothing is undecided.

    Every batch is chosen from the stored runs of the batches before, so a resumed study makes the same choice. Ends
    after a batch that is not finished.
    """
    runs: list[Run] = []
    undecided = {arm.name for arm in plan.arms}
    for seeds in plan.batches:
        runs = runs + [run for run in plan.runs if run.seed in seeds and run.arm in undecided]
        yield runs
        if plan.spec.stop == "fixed":
            continue
        table = collect(plan, read_runs(folder, plan, runs))
        if not table.complete:
            return
        verdict = study_verdict(plan, record, table)
        undecided = {arm for arm, done in settled(table, verdict).items() if not done}
        if not undecided:
            return


def needed_runs(folder: Path, plan: Plan, record: Record) -> list[Run]:
    """The runs that the study needs, as far as its stored runs tell."""
    *_, runs = run_batches(folder, plan, record)
    return runs


def unfinished_runs(folder: Path, plan: Plan, runs: Sequence[Run], note: Callable[[str], None]) -> list[Run]:
    """The runs to train; removes checkpoints of finished runs that an interruption left.

    Args:
        folder: The study's folder.
        plan: Its plan.
        runs: The runs that are needed.
        note: Called with a message for every run whose stored outcome does not count.

    Raises:
        BadInput: A stored file cannot be read, or a symbolic link stands in place of a folder.
    """
    unfinished = []
    for run in runs:
        own = RunFolder(folder, run, plan)
        stored = own.read()
        if stored.finished:
            own.remove_checkpoint()
            continue
        if stored.unreadable:
            raise BadInput.because(str(own.path), str(stored.problem), "Make the file readable, or remove it.")
        own.refuse_links()
        unfinished.append(run)
        if stored.problem is not None:
            note(f"{run.arm}, seed {run.seed}: {stored.problem}; training the run again.")
    return unfinished


def study_verdict(plan: Plan, record: Record, table: Table, *, interim: bool = False) -> Verdict:
    """The verdict on a study's runs.

    Intervals are sequential if the study is open-ended, if it was extended after its results had been seen, or if the
    results are interim: they stay valid however often one looks.
    """
    spec = plan.spec
    sequential = interim or record.results_seen or spec.stop == "decided"
    return estimate(
        table,
        study=spec.name,
        metric=table.summaries.get(str(Metric.parse(spec.metric)), spec.endpoint),
        margin=spec.margin,
        confidence=spec.confidence,
        interval="sequential" if sequential else "bonferroni-t",
        scope=scope_of(plan),
        remark=_chosen_later(plan, record, table),
    )


def _chosen_later(plan: Plan, record: Record, table: Table) -> str | None:
    """A remark if arms that were added after results had been seen changed the question of the answer."""
    later = {arm for extension in record.extensions if extension["results_seen"] for arm in extension["arms"]}
    first = replace(plan, arms=tuple(arm for arm in plan.arms if arm.name not in later))
    now = declared_contrast(table)
    if len(first.arms) in (1, len(plan.arms)) or now is None:
        return None
    declared = declared_contrast(planned_table(first))
    if now == declared:
        return None
    return f"This question was chosen after results had been seen; the study began with {declared or 'no single one'}"
