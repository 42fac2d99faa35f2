"""Runs of a user's function are repeated too, and judged by the metric that the verdict is about."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import crossnorm as library
from crossnorm.api import read_result
from crossnorm.errors import BadInput
from crossnorm.report.terminal.audit_summary import audit_summary
from crossnorm.stats import FalseRate
from crossnorm.study.audit.aa_arms import AaKind, Audit, audit_kinds
from crossnorm.study.audit.reproducibility import Repeat, repeat_runs
from crossnorm.study.spec.plan import Run
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_record import read_folder
from crossnorm.study.workload.function_run import run_function
from crossnorm.study.workload.workload import open_workload
from crossnorm.training.loop.outcome import Outcome, RunStatus

TRAIN = """
import os, time, torch

def train(run):
    value = torch.rand(()) * (os.getpid() if run.settings.get("unsteady") else 1)
    for step in (3, 7, 11):
        value = 0.5 * value + 0.1 * torch.rand(())
        run.log(step, half=0.5 * value)
        run.log(step, loss=value)
        run.log(step, clock=time.monotonic())
"""
ARMS = [
    {"name": "others", "seed_offset": 1000},
    {"name": "others, wider", "seed_offset": 1000, "width": 2},
    {"name": "others, dosed", "seed_offset": 1000, "dose": 3},
    {"name": "unsteady", "unsteady": True},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of a function, trained in this process: its folder, and the module that has the function."""
    home, module = tmp_path_factory.mktemp("function_audit"), "audited_function"
    (home / f"{module}.py").write_text(TRAIN)
    sys.path.insert(0, str(home))
    fields = {"metric": "loss", "direction": "lower", "seeds": [5, 6, 13], "arms": ARMS}
    subject = open_workload(library.Study(function=f"{module}:train", **fields), [module])
    folder, cpu = home / "o", torch.device("cpu")
    folder.mkdir()
    plan, _ = open_folder(folder, subject.plan, subject.digest)
    for run in subject.plan.runs:
        run_function(plan, sys.modules[module].train, run, folder, cpu, lambda event: None)
    yield SimpleNamespace(folder=folder, module=module, home=home)
    sys.path.remove(str(home))


def test_runs_are_repeated_and_compared_by_the_metric(trained):
    """Rows that were logged in three calls are compared whole; a clock among them is no fault."""
    steady, unsteady = repeat_runs(trained.folder, *read_folder(trained.folder), [trained.module])
    assert (steady.arm, steady.seed, steady.evaluations, steady.holds) == ("baseline", 5, 3, True)
    assert steady.beside.startswith("clock at step 3 was ")
    assert (unsteady.arm, unsteady.holds, unsteady.beside) == ("unsteady", False, None)
    assert unsteady.difference.startswith("loss at step 3 was ")


def test_a_function_that_is_not_allowed_or_has_changed_is_refused(trained):
    plan, record = read_folder(trained.folder)
    with pytest.raises(BadInput, match=f"--import {trained.module}"):
        repeat_runs(trained.folder, plan, record)
    changed = replace(record, digest="0")
    with pytest.raises(BadInput, match="the code of the function changed since the study started"):
        repeat_runs(trained.folder, plan, changed, [trained.module])


def test_an_outcome_without_a_curve_is_a_fault(trained, tmp_path):
    plan, record = read_folder(trained.folder)
    for run in (Run("baseline", 5), Run("unsteady", 5)):
        RunFolder(tmp_path, run, plan).path.mkdir(parents=True)
        RunFolder(tmp_path, run, plan).finish(Outcome(RunStatus.COMPLETE), {})
    found = repeat_runs(tmp_path, plan, record, [trained.module])
    assert [(repeat.evaluations, repeat.difference) for repeat in found] == [
        (0, "the run has an outcome but no evaluation"),
        (0, "the run has an outcome but no evaluation"),
    ]


def test_arms_that_the_function_is_told_apart_by_are_no_aa_arms(trained):
    result, (plan, _) = read_result(trained.folder), read_folder(trained.folder)
    (apart,) = audit_kinds(plan, result.table, result.verdict)
    assert (apart.kind, list(apart.verdicts), apart.rate.runs) == ("seeds", ["others"], 6)


def test_the_summary_says_what_a_function_cannot_have():
    rate = FalseRate(runs=6, pairs=3, disjoint=1, rate=None, low=0.0, high=1.0)
    kinds = (AaKind(kind="seeds", verdicts={}, scatter=None, rate=rate),)
    repeat = Repeat(arm="baseline", seed=5, evaluations=3, difference=None, beside="clock at step 3 was 1 and is 2")
    fields = {"study": "s", "metric": "loss", "confidence": 0.95, "seeds": 3, "repeats": (repeat,), "kinds": kinds}

    def shown(function):
        console = Console(file=io.StringIO(), width=80, color_system=None)
        console.print(audit_summary(Audit(function=function, **fields)))
        return " ".join(console.file.getvalue().split())

    assert "bit-identical at all 3 evaluations; in another value, clock at step 3 was 1 and is 2" in shown("m:train")
    assert "arms of a function use other seeds" in shown("m:train")
    assert "A function" not in shown(None)
