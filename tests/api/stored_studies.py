"""Studies that lie on disk without having been trained: curves by formula, for what only reads folders."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

from crossnorm.study.spec.plan import Plan, Run, make_plan
from crossnorm.study.spec.schema import parse_spec
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.training.loop.outcome import Outcome, RunStatus

SPEC = {
    "name": "stored",
    "task": "digits",
    "alphas": [0, 0.5, 1],
    "seeds": 5,
    "epochs": 3,
    "margin": 0.05,
    "metric": "test_loss",
}


OF_A_FUNCTION = {
    "task": None,
    "function": "mine:train",
    "alphas": [0],
    "epochs": None,
    "variants": [],
    "metric": "loss",
    "margin": None,
}
"""Changes of `SPEC` for a study of a function, to which arms are added."""


def begun(folder: Path, **changes: object) -> Plan:
    """A folder with a plan and nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = make_plan(parse_spec(SPEC | {"direction": "lower"} | changes, "stored"))
    return open_folder(folder, plan, "digest")[0]


def trained(folder: Path, plan: Plan, runs: int, *, evaluations: int = 4, **result: object) -> None:
    """Give the first `runs` runs of the plan a curve, and an outcome if it is whole."""
    for k, run in enumerate(plan.runs[:runs]):
        RunFolder(folder, run, plan).rewind()
        dose = plan.arm(run.arm).dose or 0.0
        for epoch in range(evaluations):
            loss = 2.0 / (1 + epoch) + 0.1 * dose + 0.01 * ((7 * k) % 11) + 0.05 * run.seed
            row = {"step": 13 * epoch, "epoch": epoch, "images": 403 * epoch, "seconds": 1.5 * epoch}
            RunFolder(folder, run, plan).append(row | {"test_loss": loss, "test_accuracy": 1 - loss / 4})
        if evaluations == 4:
            RunFolder(folder, run, plan).finish(Outcome(RunStatus.COMPLETE), {"step": 39, "seconds": 4.5} | result)


def logged(folder: Path, plan: Plan, values: Callable[[Run, int], dict[str, float]], *, steps: int = 3) -> None:
    """Give every run of a function's study that has no outcome one, and a curve as `run.log` writes it."""
    for run in plan.runs:
        own = RunFolder(folder, run, plan)
        if own.finished:
            continue
        own.rewind()
        for step in range(1, steps + 1):
            found = {name: value if math.isfinite(value) else None for name, value in values(run, step).items()}
            own.append({"step": step, "seconds": 0.5 * step} | found)
        own.finish(Outcome(RunStatus.COMPLETE), {"step": steps, "seconds": 0.5 * steps})


def status(folder: Path, plan: Plan, *, age: float = 0.0, done: int = 26) -> None:
    """A status file as the main process writes it, so many seconds old; one worker trains seed 2."""
    import time

    worker = {"arms": [arm.name for arm in plan.arms], "seed": 2, "done": done, "total": 130}
    worker |= {"examples_per_second": 1234.5, "memory": 300 * 2**20}
    value = {"runs": 25, "seconds_left": 83.0, "updated": time.time() - age, "workers": {"0": worker}}
    (folder / "status.json").write_text(json.dumps(value), encoding="utf-8")
