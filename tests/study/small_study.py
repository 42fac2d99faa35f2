"""A study of four runs of a function, carried out in the process that calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from crossnorm.api._stored_result import result_of
from crossnorm.study.spec.plan import Plan, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.needed_runs import unfinished_runs
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import locked
from crossnorm.study.workload.function_run import run_function


def small_plan(seeds: int = 2) -> Plan:
    fields = {"function": "m:train", "metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False}
    return make_plan(parse_spec(fields | {"seeds": seeds, "name": "small"}, "x"))


def train_small(run) -> None:
    state = run.resume()
    value = torch.rand(()) if state is None else state["value"]
    for step in range(0 if state is None else state["step"], 3):
        value = 0.5 * value + torch.rand(()) + run.dose
        run.log(step, loss=value)
        run.save({"value": value, "step": step + 1})


def _interrupted(run) -> None:
    train_small(run)
    raise KeyboardInterrupt


def whole_study(folder: Path, *, interrupted: bool = False, before: Callable[[Plan], object] = lambda p: None) -> None:
    """What `Study.run` does; interrupted, the first run stays at its last checkpoint."""
    plan = small_plan()
    with locked(folder):
        plan, record = open_folder(folder, plan, "digest")
        before(plan)
        for run in unfinished_runs(folder, plan, plan.runs, print):
            train = _interrupted if interrupted else train_small
            run_function(plan, train, run, folder, torch.device("cpu"), lambda event: None)
            if interrupted:
                (RunFolder(folder, run).path / "result.json").unlink()
                raise KeyboardInterrupt
        result_of(folder, plan, record, plan.runs).save(folder)
