"""The folder of a study: starting, resuming and extending it, and whether its results have been seen.

    study.yaml           the compiled study and its record (`study_record`)
    status.json          the progress, while the study runs
    runs/<arm>/<seed>/   the folder of a run (`RunFolder`)

One process writes at a time (`study_lock`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from crossnorm.errors import BadInput
from crossnorm.io import open_to_append
from crossnorm.study.spec.plan import Plan, Run, continued
from crossnorm.study.storage.config_diff import spec_differences
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.study.storage.study_record import Record, numbered, read_folder, write_record

__all__ = ["RESULTS_SEEN", "TELLTALE", "note_results_seen", "open_folder", "refuse_changed_code"]

RESULTS_SEEN = ".watched"
TELLTALE = (RESULTS_SEEN, "verdict.json", "table.csv", "report.html", "curves.png", "trend.png")
"""Any of these tells that results have been seen; so does a study whose runs are all finished."""


def open_folder(
    folder: Path,
    plan: Plan,
    digest: str,
    code: Mapping[str, str] | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> tuple[Plan, Record]:
    """Start, resume or extend the study of a folder, and write its study.yaml.

    Args:
        folder: The study's folder, locked.
        plan: The compiled study.
        digest: SHA-256 of the task's data, or of the function's own code.
        code: SHA-256 of the user's code by name; None: there is none.
        note: Called with a message on what the folder of an older version cannot prove.

    Returns:
        The plan with the study's number, and the record.

    Raises:
        BadInput: The folder holds other files, or a study that differs in more than added arms and seeds.
    """
    old = read_folder(folder)
    if old is None:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            found = f"a folder with {', '.join(others[:3])} and no study.yaml"
            hint = "It holds a single run of crossnorm 0.1. Evaluate its model, or give another output folder."
            hint = hint if "run.json" in others else ""
            raise BadInput(str(folder), "an empty folder or the folder of a study", found, hint)
        record = Record(digest=digest, environment=describe_environment(), code=code or {}, id=_new_id())
    else:
        plan = continued(old[0], plan)
        record = _continued(folder, old, plan, digest, code or {}, note)
        if record.id is None:
            record = replace(record, id=_new_id())
            _seal_runs(folder, numbered(old[0], record), note)
    write_record(folder, plan.spec, record)
    return numbered(plan, record), record


def refuse_changed_code(
    folder: Path, before: Plan, changed: Mapping[str, Sequence[str]], where: str | None = None
) -> list[Run]:
    """Refuse changed data or code, unless no run of a folder has finished with it.

    Args:
        folder: The study's folder.
        before: Its plan.
        changed: What has changed, with the names of arms; see `Record.changed`.
        where: What to call the folder in the error; default: its path.

    Returns:
        The runs that it concerns: they start from the beginning.

    Raises:
        BadInput: The data changed, or code with which a run has finished.
    """
    known = {arm.name for arm in before.arms}
    concerned = []
    for what, arms in changed.items():
        runs = [Run(arm, seed) for arm in arms if arm in known for seed in before.seeds]
        if what == "the data" or any(RunFolder(folder, run, before).finished for run in runs):
            restored = "data" if what == "the data" else "data or code" if "data" in what else "code"
            hint = f"Restore the {restored}, or give another output folder."
            hint = hint if where is None else f"{hint[:-1]} and another mirror."
            raise BadInput.because(where or str(folder), f"{what} changed since the study started", hint)
        concerned += runs
    return concerned


def note_results_seen(folder: Path) -> None:
    """Record that interim results have been seen, so that a later extension uses sequential intervals."""
    with suppress(OSError):  # a read-only folder cannot be extended either
        open_to_append(folder / RESULTS_SEEN).close()


def _continued(
    folder: Path,
    old: tuple[Plan, Record],
    plan: Plan,
    digest: str,
    code: Mapping[str, str],
    note: Callable[[str], None],
) -> Record:
    before, record = old
    _refuse_differences(folder, before, plan)
    seen = any(os.path.lexists(folder / name) for name in TELLTALE)  # a link counts, wherever it points
    crashed = _crashed(folder, before) if seen and not record.results_seen else []
    for run in refuse_changed_code(folder, before, record.changed(plan, digest, code)):
        RunFolder(folder, run, before).forget()
    names = {arm.name for arm in before.arms}
    arms = [arm.name for arm in plan.arms if arm.name not in names]
    variants = {arm.variant.name for arm in before.arms if arm.variant is not None}
    unknown = [name for name in code if name not in record.code and name in variants]
    if unknown:
        note(f"Whether the code of {', '.join(unknown)} changed is not known: an older crossnorm started {folder}.")
    record = replace(record, digest=digest, code={**record.code, **code})
    seeds = [seed for seed in plan.seeds if seed not in before.seeds]
    if not arms and not seeds and not crashed:
        return record  # crashed runs that are trained again after an answer are more runs after a look
    seen = seen or all(RunFolder(folder, run, before).finished for run in before.runs)
    again = {"trained_again": crashed} if crashed else {}
    extension = {"arms": arms, "seeds": seeds, **again, "results_seen": seen}
    return replace(record, extensions=(*record.extensions, extension))


def _crashed(folder: Path, plan: Plan) -> list[str]:
    """The runs of a plan that have crashed; every command that continues the study trains them again."""
    results = ((run, RunFolder(folder, run, plan).read().result) for run in plan.runs)
    return [f"{run.arm}, seed {run.seed}" for run, result in results if result and not result["status"].is_final]


def _refuse_differences(folder: Path, before: Plan, plan: Plan) -> None:
    """Check that nothing but arms and seeds was added to the stored study."""
    differ = spec_differences(before.spec, plan.spec)
    arms = {arm.name: arm for arm in plan.arms}
    changed = [arm.name for arm in before.arms if arms.get(arm.name) != arm]
    if changed and not differ:
        differ.append(f"arms (missing or changed: {', '.join(changed[:3])})")
    missing = [seed for seed in before.seeds if seed not in plan.seeds]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        differ.append(f"seeds (without {', '.join(map(str, missing[:5]))}{more})")
    if differ:
        hint = "Only seeds and arms can be added. Give another output folder for a different study."
        raise BadInput.because(str(folder), f"the folder holds a different study: {'; '.join(differ)}", hint)


def _seal_runs(folder: Path, plan: Plan, note: Callable[[str], None]) -> None:
    """Seal the runs of a version before 0.3 as they are."""
    runs = [RunFolder(folder, run, plan).adopt(RunFolder(folder, run), note) for run in plan.runs]
    if any(runs):
        note(
            f"{folder} was written by a crossnorm before 0.3, whose files do not say which run they belong to: "
            f"{sum(runs)} runs are taken as they are, and sealed from now on."
        )


def _new_id() -> str:
    return secrets.token_hex(16)
