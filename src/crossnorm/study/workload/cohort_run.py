"""Train one cohort in this process: build its members, resume them, store every evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.study.events import Emit, Evaluated, Finished, Note, Stepped
from crossnorm.study.spec.plan import Cohort, Plan, Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.run_log import append_to_log
from crossnorm.study.workload.build_model import build_member
from crossnorm.study.workload.pretrained import keep_model
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import State
from crossnorm.training.loop.cohort import Observer, SilentObserver, train_cohort
from crossnorm.training.loop.outcome import Outcome, RunStatus
from crossnorm.training.loop.run_state import Member
from crossnorm.training.runtime.devices import describe_device, with_threads
from crossnorm.training.runtime.distributed import ALONE, World, check_parts

__all__ = ["run_cohort"]

_EMIT_SECONDS = 0.2
"""Between two events that count steps."""


def run_cohort(
    plan: Plan, cohort: Cohort, task: Task, folder: Path, device: torch.device, emit: Emit, world: World = ALONE
) -> None:
    """Train the cohort's runs to their end, each from its last checkpoint.

    Args:
        plan: The compiled study.
        cohort: The runs.
        task: The study's task.
        folder: The study's folder.
        device: The device to train on.
        emit: Receives the events.
        world: The processes that share the cohort; the first one writes.
    """
    folders = {run.arm: RunFolder(folder, run, plan) for run in cohort.runs}
    members, resumed = {}, {}
    for run in cohort.runs:
        members[run.arm], resumed[run.arm] = _start(plan, run, task, folders[run.arm], device, emit)
    for member in members.values():
        check_parts(member.model, member.recipe, world, len(task.train))
    world.wait()  # no process writes before all have read the checkpoints
    observer: Observer = (
        _Recorder(plan, members, cohort, task, folders, resumed, device, emit) if world.first else SilentObserver()
    )
    (seed,) = {cohort.seed + plan.arm(name).seed_offset for name in cohort.arms}  # one stream of batches
    with with_threads(_threads(list(resumed.values()))):
        train_cohort(list(members.values()), task, seed=seed, device=device, observer=observer, world=world)


def _start(
    plan: Plan, run: Run, task: Task, own: RunFolder, device: torch.device, emit: Emit
) -> tuple[Member, Mapping[str, Any]]:
    """The run's member, at its last checkpoint, and what the checkpoint says; {} at the beginning."""
    arm = plan.arm(run.arm)

    def fresh() -> Member:
        return build_member(arm, plan.spec.model, task, run.seed + arm.seed_offset, device)

    def note(text: str) -> None:
        emit(Note(text))

    member = fresh()

    def load(state: State) -> None:
        nonlocal member
        try:
            load_checkpoint(member, state, str(own.checkpoint))
        except BadInput:
            member = fresh()  # the other one may be half loaded
            raise

    state = own.load_checkpoint(note, load)
    if member.step:
        emit(Stepped(run.seed, {run.arm: member.step}, restored=True))
    return member, {} if state is None else state.about


def _threads(resumed: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of threads that a single run began with, since its bits depend on it; None: as many as now."""
    threads = resumed[0].get("threads") if len(resumed) == 1 else None
    return threads if isinstance(threads, int) and threads > 0 else None


class _Recorder:
    """The observer of a cohort: stores every evaluation before training continues, and emits events."""

    def __init__(
        self,
        plan: Plan,
        members: Mapping[str, Member],
        cohort: Cohort,
        task: Task,
        folders: Mapping[str, RunFolder],
        resumed: Mapping[str, Mapping[str, Any]],
        device: torch.device,
        emit: Emit,
    ) -> None:
        self.spec, self.task, self.members = plan.spec, task, members
        self.seed, self.device, self.emit = cohort.seed, device, emit
        self.folders = folders
        for name, own in folders.items():
            own.rewind(resumed[name].get("curve"))
        self._shared = self.folders[cohort.arms[0]].log  # see `run_log`
        self._before = self._shared.stat().st_size if self._shared.exists() else 0
        self._emitted_at = time.monotonic()

    def evaluated(self, member: Member, row: dict[str, float | int | None]) -> None:
        own = self.folders[member.name]
        own.append(row)
        self.emit(Evaluated(Run(member.name, self.seed), row))
        finite = None not in (row["train_loss"], row["test_loss"])
        if finite and row["epoch"] == member.recipe.epochs:
            if self.spec.keep_models:
                with own.storing():
                    keep_model(member.evaluated_model, self.spec.model, self.task, own.path)
            self._finish(member, Outcome(RunStatus.COMPLETE), row)
        elif finite and member.step:
            with own.storing():
                save_checkpoint(member, own.checkpoint, own.checkpoint_seal)

    def failed(self, member: Member) -> None:
        assert member.failure is not None
        if member.traceback is not None:
            self._log_crash(member.name, member.traceback)
        self._finish(member, member.failure, {"step": member.step})

    def _log_crash(self, name: str, traceback: str) -> None:
        """Write the traceback of a run into its log, with what the process has printed for the cohort so far."""
        log = self.folders[name].log
        shared = b"" if log == self._shared or not self._shared.exists() else self._shared.read_bytes()[self._before :]
        text = shared.decode(errors="replace") + traceback
        append_to_log(log, text, f"{name}, seed {self.seed}, crashed")

    def stepped(self, members: int) -> None:
        if time.monotonic() - self._emitted_at > _EMIT_SECONDS:
            self._emit_steps()
            self._emitted_at = time.monotonic()

    def _emit_steps(self) -> None:
        present = {name: member.step for name, member in self.members.items() if member.failure is None}
        self.emit(Stepped(self.seed, present))

    def _finish(self, member: Member, outcome: Outcome, row: Mapping[str, Any]) -> None:
        details = {"step": row["step"], "seconds": row.get("seconds"), **describe_device(self.device)}
        self.folders[member.name].finish(outcome, details)
        self._emit_steps()
        self.emit(Finished(Run(member.name, self.seed), outcome))
