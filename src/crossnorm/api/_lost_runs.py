"""The finished runs of a study that its stored runs do not show: damaged, gone, or not planned by its study.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from crossnorm.io import encoded_name, read_json, regular_file
from crossnorm.stats import Table, listed
from crossnorm.stats.runs.csv_cells import csv_rows
from crossnorm.study.spec.plan import Plan, Run
from crossnorm.study.storage.run_folder import RunFolder, StoredRun

__all__ = ["LARGEST_TABLE", "find_lost", "finished_in", "lost_runs", "unfinished_cells"]

LARGEST_TABLE = 5_000_000_000
"""Bytes of a table.csv that is still read."""

_FINAL = ("complete", "diverged")
_UNPLANNED = "study.yaml, an older one, does not plan it"


def find_lost(
    folder: Path, plan: Plan, table: Table, stored: Mapping[Run, StoredRun], *, whole: bool = True
) -> tuple[str, ...]:
    """The finished runs of a study that do not count, with the reason.

    Args:
        folder: The study's folder; what its table.csv has as finished was finished.
        plan: Its plan.
        table: The runs as they are now.
        stored: The same, as read from their folders; empty if only table.csv was kept.
        whole: Whether the plan is that of the folder, not of one run in it.
    """
    before = finished_in(folder / "table.csv")
    lost = {}
    for arm, seed in unfinished_cells(table):
        found = stored.get(Run(arm, seed), StoredRun())
        if found.problem is not None:
            lost[arm, str(seed)] = found.problem
        elif (arm, str(seed)) in before:
            state = "its outcome is missing" if found.result is None else "it crashed later or was replaced"
            lost[arm, str(seed)] = f"{state}, but table.csv has it"
    if whole:
        planned = {(run.arm, str(run.seed)) for run in plan.runs}
        others = [*_unplanned(folder, plan), *sorted(before - planned)]
        lost |= dict.fromkeys((each for each in others if each not in planned), _UNPLANNED)
    return tuple(f"{arm}, seed {seed} ({reason})" for (arm, seed), reason in lost.items())


def lost_runs(lost: Sequence[str]) -> str:
    """A sentence on finished runs that do not count."""
    return f"{len(lost)} stored {'run does' if len(lost) == 1 else 'runs do'} not count: {listed(lost)}."


def unfinished_cells(table: Table) -> list[tuple[str, int]]:
    """The (arm, seed) of a table that are missing or crashed."""
    cells = zip(*np.nonzero((table.status == "missing") | (table.status == "crashed")), strict=True)
    return [(table.arms[a].name, table.seeds[s]) for a, s in cells]


def finished_in(table: Path) -> set[tuple[str, str]]:
    """The (arm, seed) of the finished runs in a stored table.csv; empty if it is missing or damaged."""
    try:
        with regular_file(table, most=LARGEST_TABLE).open(encoding="utf-8", newline="") as file:
            rows = [(row["arm"], row["seed"]) for row in csv_rows(file) if row["status"] in _FINAL]
    except (OSError, ValueError, KeyError):
        return set()
    return set(rows)


def _unplanned(folder: Path, plan: Plan) -> Iterator[tuple[str, str]]:
    """The finished runs in the folders of arms and seeds that the plan has not.

    The number that a run of an unplanned arm carries is not known, so any counts. Runs of versions before 0.3 do not
    say which arm they belong to.
    """
    if not plan.numbers:
        return
    arms = {encoded_name(arm.name): arm.name for arm in plan.arms}
    for path in sorted((folder / "runs").glob("*/*")):
        if not re.fullmatch("0|[1-9][0-9]{0,18}", path.name):
            continue
        arm = arms.get(path.parent.name) or _arm_of(path)
        own = None if arm is None else RunFolder(folder, Run(arm, int(path.name)), plan)
        known = arm in plan.numbers and int(path.name) in plan.seeds
        if arm is not None and own is not None and not known and own.path == path and own.finished:
            yield arm, path.name


def _arm_of(path: Path) -> str | None:
    """The arm that the outcome in the folder of a run names."""
    result = read_json(path / "result.json")
    arm = result.get("arm") if isinstance(result, dict) else None
    return arm if isinstance(arm, str) else None
