"""The folder of a study: a lock for its single writer, and study.yaml, which starts, resumes or extends the study.

    study.yaml           the compiled study, its extensions, the environment
    status.json          the progress, while the study runs
    runs/<arm>/<seed>/   the folder of a run (`RunFolder`)

study.yaml is itself a study file; crossnorm adds the section `record`.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from crossnorm.errors import BadInput
from crossnorm.io import open_to_append, read_json, refuse_link, remove_leftovers, storage_fault, write_atomically
from crossnorm.study.spec.plan import Plan, Run, make_plan
from crossnorm.study.spec.schema import RECORD, StudySpec, parse_spec, written_out
from crossnorm.study.spec.variation import EXTENDABLE, UNCOMPARED
from crossnorm.study.spec.yaml_reader import read_yaml
from crossnorm.study.storage.config_diff import differences
from crossnorm.study.storage.environment import describe_environment
from crossnorm.study.storage.run_folder import RunFolder
from crossnorm.training.loop.outcome import RunStatus

__all__ = [
    "RESULTS_SEEN",
    "TELLTALE",
    "Record",
    "check_kept_model",
    "forgotten_if_refused",
    "locked",
    "note_results_seen",
    "open_folder",
    "read_folder",
    "run_at",
    "same_study",
    "unwritable",
]

RESULTS_SEEN = ".watched"
TELLTALE = (RESULTS_SEEN, "verdict.json", "table.csv", "report.html", "curves.png", "trend.png")
"""Any of these tells that results have been seen; so does a study whose runs are all finished."""
_LOCKS = (".lock", ".owner", ".workers")
_WITHOUT_RESULT = ("log.txt", "metrics.jsonl", "result.json")  # files of a run that has not finished
_ABANDONED = 600.0
"""Seconds from which on a temporary file counts as left by a killed process; `report` writes without the lock."""
_HEADER = "# A crossnorm study, resolved. `crossnorm plot` on the same study and folder continues or extends it.\n"


@dataclass(frozen=True, kw_only=True)
class Record:
    """The section `record` of study.yaml.

    Attributes:
        digest: SHA-256 of the task's arrays, or of the function's own code.
        environment: Versions, hardware and code revision when the study started.
        code: SHA-256 of the code of the function and of every variant of the user's own, by name; studies of versions
            before 0.3 have none.
        extensions: In order, each ``{"arms": […], "seeds": […], "results_seen": bool}``.
        id: A number drawn when the study started, which its runs carry; None in studies of versions before 0.3.
    """

    digest: str
    environment: dict[str, str]
    code: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[dict[str, Any], ...] = ()
    id: str | None = None

    @property
    def results_seen(self) -> bool:
        """Whether arms or seeds were added after results had been seen."""
        return any(extension["results_seen"] for extension in self.extensions)

    def changed(self, plan: Plan, digest: str, code: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """What has changed since the study started, as the beginning of a sentence, with the arms that it concerns.

        Args:
            plan: The compiled study.
            digest: SHA-256 of its data, or of its function's own code, now.
            code: SHA-256 of the user's code by name, now.
        """
        every, function = tuple(arm.name for arm in plan.arms), plan.spec.function
        if digest != self.digest:
            return {f"the {plan.spec.digested}": every}
        found = {}
        for name in (name for name, now in code.items() if self.code.get(name, now) != now):
            if name == function:
                found[f"code of its module that the function {name} uses"] = every
            else:
                arms = tuple(arm.name for arm in plan.arms if arm.variant is not None and arm.variant.name == name)
                found[f"the code of the variant {name}"] = arms
        return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; the system frees the lock when the process ends.

    Raises:
        BadInput: Another process holds the lock, or the folder cannot be written.
    """
    owner, new = folder / ".owner", [each for each in (folder, *folder.parents) if not each.exists()]
    _refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        held = owner.read_text(encoding="utf-8", errors="replace").strip() if owner.exists() else "another process"
        raise BadInput.because(str(folder), f"the folder is locked by {held}", _while_locked(folder)) from None
    except OSError as error:
        raise BadInput(str(folder), "a writable folder", error.strerror or str(error)) from None
    try:
        write_atomically(owner, f"process {os.getpid()} on {socket.gethostname()}\n")
        remove_leftovers(folder, older_than=_ABANDONED)
        yield
    except OSError as error:
        fault = storage_fault(error)
        if fault is None:
            raise
        raise unwritable(folder, fault) from None
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        if new and not (folder / "study.yaml").exists():
            _remove_empty(folder, new)  # before the release: another process may lock the folder then
        lock.release()


def _refuse_links(folder: Path) -> None:
    """Refuse links in place of files that are opened for writing; other files are replaced, link or not."""
    for path in (folder / name for name in (".lock", ".workers", "runs")):
        refuse_link(path)


def _remove_empty(folder: Path, new: Sequence[Path]) -> None:
    """Remove the folders that `locked` made, if they hold nothing but its own files."""
    with suppress(OSError):
        if all(path.name in _LOCKS for path in folder.iterdir()):
            for path in list(folder.iterdir()):
                path.unlink()
            for each in new:
                each.rmdir()


@contextmanager
def forgotten_if_refused(folder: Path, *, begins: bool) -> Iterator[None]:
    """If bad input ends the block, remove a study that this command began and that has nothing to go on from.

    Otherwise the study of a refused command would block its folder for the correct one. Checkpoints, finished runs, and
    files that a training function wrote are always kept.

    Args:
        folder: The study's folder, locked and opened.
        begins: Whether this command began the study.
    """
    try:
        yield
    except BadInput:
        if begins:
            with suppress(OSError):
                _forget(folder)
        raise


def _forget(folder: Path) -> None:
    runs = folder / "runs"
    files = [path for path in runs.rglob("*") if not path.is_dir()]
    results = [read_json(path) for path in files if path.name == "result.json"]
    crashed = all(isinstance(result, dict) and result.get("status") == RunStatus.CRASHED for result in results)
    if crashed and all(path.name in _WITHOUT_RESULT for path in files):
        shutil.rmtree(runs, ignore_errors=True)
        (folder / "study.yaml").unlink(missing_ok=True)


def _while_locked(folder: Path) -> str:
    """What the user can do while another process runs the study."""
    name = shlex.quote(str(folder))
    return (
        f"The study is running. Follow it with: crossnorm watch {name}; draw its results so far with: "
        f"crossnorm report {name}. Or give another output folder."
    )


def unwritable(folder: Path, fault: str) -> BadInput:
    """The error for a storage fault; it ends the study, and no run counts as crashed."""
    hint = "Finished runs are kept. Fix the disk, then run the same command to resume."
    return BadInput.because(str(folder), f"cannot write: {fault}", hint)


def read_folder(folder: Path) -> tuple[Plan, Record] | None:
    """The plan and the record of a study's folder; None if it holds no study.

    Raises:
        BadInput: Its study.yaml is damaged.
    """
    path = folder / "study.yaml"
    if not path.exists():
        return None
    hint = "Restore the file, or give another output folder."
    try:
        fields = read_yaml(path)
    except BadInput as error:
        raise BadInput.because(str(path), f"the file is damaged or was edited: {error.reason}", hint) from None
    try:
        record = fields.pop(RECORD)
        extensions = tuple(record["extensions"])
        found = Record(
            digest=record["data_digest"],
            environment=dict(record["environment"]),
            code=dict(record.get("code", {})),
            extensions=extensions,
            id=record.get("id"),
        )
        assert all(isinstance(e["results_seen"], bool) for e in extensions)
        assert found.id is None or isinstance(found.id, str)
        assert record["checksum"] == _checksum({**fields, RECORD: record})
    except (ValueError, AttributeError, KeyError, TypeError, AssertionError, RecursionError):
        raise BadInput.because(str(path), "the file is damaged or was edited", hint) from None
    return _numbered(make_plan(parse_spec(written_out(fields), str(path))), found), found


def run_at(path: Path) -> tuple[Path, Plan, Record, Run] | None:
    """The study's folder, plan and record, and the run, if a folder is that of a run of a study; else None.

    Raises:
        BadInput: The study.yaml is damaged.
    """
    study = path.absolute().parent.parent.parent
    found = read_folder(study)
    if found is None:
        return None
    plan, record = found
    runs = (run for run in plan.runs if RunFolder(study, run).path.resolve() == path.resolve())
    run = next(runs, None)
    return None if run is None else (study, plan, record, run)


def check_kept_model(path: Path) -> None:
    """Check that a model in the folder of a run is the one that the run wrote; other models are not checked.

    Args:
        path: The model, a file or folder.

    Raises:
        BadInput: It is not, or the files of the run do not match their seals.
    """
    found = run_at(path.parent)
    if found is None:
        return
    study, plan, _, run = found
    problem = RunFolder(study, run, plan).model_problem()
    if problem is not None:
        raise BadInput.because(str(path), problem, "Train the run again, or restore its files.")


def same_study(one: tuple[Plan, Record], other: tuple[Plan, Record]) -> bool:
    """Whether two folders hold the same study: the same number, or, without numbers, the same definition and data."""
    if one[1].id is not None and other[1].id is not None:
        return one[1].id == other[1].id
    return one[1].digest == other[1].digest and not _spec_differences(one[0], other[0])


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
        record = _continued(folder, old, plan, digest, code or {}, note)
        if record.id is None:
            record = replace(record, id=_new_id())
            _seal_runs(folder, _numbered(old[0], record), note)
    write_atomically(folder / "study.yaml", _HEADER + _dump(plan.spec, record))
    return _numbered(plan, record), record


def _new_id() -> str:
    return secrets.token_hex(16)


def _numbered(plan: Plan, record: Record) -> Plan:
    """The plan with the numbers that its runs carry.

    An arm's number changes with the code that trains it, so that no run of other code is taken for one of it.
    """
    if record.id is None:
        return plan
    function = {"digest": record.digest, plan.spec.function: record.code.get(plan.spec.function or "")}
    numbers = {}
    for arm in plan.arms:
        code = {} if plan.spec.function is None else function
        if arm.variant is not None:
            code = code | {arm.variant.name: record.code.get(arm.variant.name)}
        parts = json.dumps([record.id, sorted((str(name), digest) for name, digest in code.items())])
        numbers[arm.name] = hashlib.sha256(parts.encode()).hexdigest()[:32]
    return replace(plan, numbers=numbers)


def _seal_runs(folder: Path, plan: Plan, note: Callable[[str], None]) -> None:
    """Seal the runs of a version before 0.3 as they are."""
    runs = [RunFolder(folder, run, plan).adopt(RunFolder(folder, run), note) for run in plan.runs]
    if any(runs):
        note(
            f"{folder} was written by a crossnorm before 0.3, whose files do not say which run they belong to: "
            f"{sum(runs)} runs are taken as they are, and sealed from now on."
        )


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
    _refuse_changed_code(folder, before, record.changed(plan, digest, code))
    names = {arm.name for arm in before.arms}
    arms = [arm.name for arm in plan.arms if arm.name not in names]
    variants = {arm.variant.name for arm in before.arms if arm.variant is not None}
    unknown = [name for name in code if name not in record.code and name in variants]
    if unknown:
        note(f"Whether the code of {', '.join(unknown)} changed is not known: an older crossnorm started {folder}.")
    record = replace(record, digest=digest, code={**record.code, **code})
    seeds = [seed for seed in plan.seeds if seed not in before.seeds]
    if not arms and not seeds:
        return record
    seen = any((folder / name).exists() for name in TELLTALE) or all(
        RunFolder(folder, run, before).finished for run in before.runs
    )
    extension = {"arms": arms, "seeds": seeds, "results_seen": seen}
    return replace(record, extensions=(*record.extensions, extension))


def _refuse_changed_code(folder: Path, before: Plan, changed: Mapping[str, Sequence[str]]) -> None:
    """Refuse changed data or code, unless no run has finished with it: then its runs start from the beginning."""
    known = {arm.name for arm in before.arms}
    for what, arms in changed.items():
        runs = [RunFolder(folder, Run(arm, seed), before) for arm in arms if arm in known for seed in before.seeds]
        if what == "the data" or any(run.finished for run in runs):
            restored = "data" if what == "the data" else "data or code" if "data" in what else "code"
            hint = f"Restore the {restored}, or give another output folder."
            raise BadInput.because(str(folder), f"{what} changed since the study started", hint)
        for run in runs:
            run.forget()


def _refuse_differences(folder: Path, before: Plan, plan: Plan) -> None:
    """Check that nothing but arms and seeds was added to the stored study."""
    differ = _spec_differences(before, plan)
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


def _spec_differences(before: Plan, plan: Plan) -> list[str]:
    """Differences in more than added arms and seeds."""
    return differences(*(each.spec.model_dump(exclude={*EXTENDABLE, *UNCOMPARED}) for each in (before, plan)))


def _checksum(fields: dict[str, Any]) -> str:
    """SHA-256 of study.yaml without the checksum itself; tells a damaged file from a different study."""
    record = {key: value for key, value in fields[RECORD].items() if key != "checksum"}
    return hashlib.sha256(json.dumps({**fields, RECORD: record}, sort_keys=True).encode()).hexdigest()


def _dump(spec: StudySpec, record: Record) -> str:
    fields = spec.model_dump(mode="json")
    fields[RECORD] = {
        "data_digest": record.digest,
        **({"code": dict(record.code)} if record.code else {}),
        "extensions": list(record.extensions),
        "environment": record.environment,
        **({"id": record.id} if record.id else {}),
    }
    fields[RECORD]["checksum"] = _checksum(fields)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)
