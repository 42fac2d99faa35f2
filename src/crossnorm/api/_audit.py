"""`audit`: are runs bit-identical when repeated, and how often do verdicts on A/A arms err?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from crossnorm.api._lost_runs import unfinished_cells
from crossnorm.api._result import refuse_other_study
from crossnorm.api._stored_result import default_folder, read_result
from crossnorm.api._study import Study
from crossnorm.io import make_folder, write_json
from crossnorm.study.audit.aa_arms import Audit, audit_kinds, audit_study
from crossnorm.study.audit.reproducibility import repeat_runs
from crossnorm.study.storage.study_folder import note_results_seen
from crossnorm.study.storage.study_record import read_folder

__all__ = ["audit"]


def audit(
    folder: Path | str | None = None,
    *,
    out: Path | str | None = None,
    workers: int | None = None,
    imports: Sequence[str] = (),
    progress: bool = True,
) -> Audit:
    """Re-run stored runs, check that they are bit-identical, and estimate the false-positive rate on A/A arms.

    For a training function only the verdict's metric must be bit-identical; other logged values may differ.

    Args:
        folder: The folder of a study to audit; None: train an A/A study on digits (a few minutes).
        out: Folder for audit.json; default: `folder`, or ``crossnorm/audit``.
        workers: Worker processes of the A/A study; default one per core.
        imports: Modules with variants or the function of your own.
        progress: Whether to show progress bars on standard error.

    Raises:
        BadInput: The folder holds no study, none of its runs is complete, its data or function have changed, or `out`
            cannot be written or is the folder of another study.
    """
    target = Path(out if out is not None else folder or default_folder("audit"))
    refuse_other_study(target, None if folder is None else Path(folder))
    if folder is None or read_folder(Path(folder)) is not None:
        make_folder(target)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="crossnorm-audit-") as scratch:
            study = Study.model_validate(audit_study().model_dump())
            study.run(scratch, workers=workers, device="cpu", imports=imports, progress=progress)
            found = _audited(Path(scratch), imports)
    else:
        found = _audited(Path(folder), imports)
    write_json(target / "audit.json", found.to_dict())
    return found


def _audited(folder: Path, imports: Sequence[str]) -> Audit:
    result, stored = read_result(folder), read_folder(folder)
    assert stored is not None
    plan, record = stored
    verdict = result.verdict
    if unfinished_cells(result.table):
        note_results_seen(folder)
    return Audit(
        study=verdict.study,
        function=plan.spec.function,
        metric=verdict.metric,
        confidence=verdict.confidence,
        seeds=len(result.table.seeds),
        repeats=repeat_runs(folder, plan, record, imports),
        kinds=audit_kinds(plan, result.table, verdict),
        lost=result.lost,
    )
