"""Run, resume or extend a study in its folder, and write its results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crossnorm.api._result import Result, stored_lines
from crossnorm.api._stored_result import result_of
from crossnorm.errors import BadInput
from crossnorm.study.executors.execution import Execution, train_needed_runs
from crossnorm.study.monitoring.messages import announcement, warnings_of
from crossnorm.study.monitoring.progress_bar import Progress
from crossnorm.study.storage.mirror import mirrored
from crossnorm.study.storage.study_folder import open_folder
from crossnorm.study.storage.study_lock import forgotten_if_refused, locked, unwritable
from crossnorm.study.workload.workload import Workload

__all__ = ["execute"]


def execute(workload: Workload, folder: Path, execution: Execution, bars: Progress) -> Result:
    """Train what the study still needs, and write its results into the folder.

    Args:
        workload: The compiled study.
        folder: The study's folder; created if missing.
        execution: Workers, device, trackers.
        bars: Shows progress and messages.

    Raises:
        BadInput: The folder is locked, not writable, or holds something else; or a function does not log the metric.
        StudyStopped: An arm crashes on every seed.
    """
    with locked(folder), mirrored(execution.mirror, folder) as mirrors:
        _check_runs_exist(folder)
        begins = not (folder / "study.yaml").exists()
        for mirror in mirrors:
            mirror.refuse_changed_code(workload.plan, workload.digest, workload.code)
        plan, record = open_folder(folder, workload.plan, workload.digest, workload.code, bars.note)
        workload = replace(workload, plan=plan)
        with forgotten_if_refused(folder, begins=begins):
            bars.say(announcement(plan, folder, execution.device))
            for warning in warnings_of(plan, results_seen=record.results_seen):
                bars.note(warning)
            for mirror in mirrors:
                if mirror.fetch_runs(plan):
                    bars.note(f"Copied the files missing in {folder} from {execution.mirror}.")
                mirror.copy_study()
            runs = train_needed_runs(workload, folder, record, execution, bars, mirrors)
        if not folder.is_dir():
            raise unwritable(folder, "the folder was moved or removed")
        result = result_of(folder, plan, record, runs)
        result.save(folder)
    return result


def _check_runs_exist(folder: Path) -> None:
    """Refuse to replace the table of a study whose runs were deleted: it is all that is left of them."""
    if stored_lines(folder / "table.csv") and not any((folder / "runs").glob("*/*/*")):
        hint = "To train them again, run study.yaml with another output folder."
        reason = "the runs are missing but table.csv exists; refusing to train them again and replace it"
        raise BadInput.because(str(folder), reason, hint)
