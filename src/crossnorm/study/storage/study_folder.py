"""A study's folder as a whole: one writer at a time, begun once, then only continued or extended.

study.yaml is itself a study file; its section `record` says on what and how the study ran. Knows nothing of runs'
contents or results, except whether a verdict has been shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from crossnorm.errors import BadInput
from crossnorm.io import storage_fault, write_atomically
from crossnorm.study.spec.plan import Plan, make_plan
from crossnorm.study.spec.schema import RECORD, StudySpec, parse_spec, written_out
from crossnorm.study.storage.config_diff import differences
from crossnorm.study.storage.environment import describe_environment

__all__ = ["Record", "locked", "note_look", "open_folder", "read_folder", "unwritable"]

_GROWS = ("alphas", "arms", "control", "max_seeds", "seeds", "variants")
_FREE = ("data",)  # the digest says whether the data are the same, wherever they lie
_LOOKED = ".watched"
_HEADER = "# A crossnorm study, resolved. `crossnorm plot` on the same study and folder continues or extends it.\n"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What crossnorm notes beside the plan.

    Attributes:
        digest: SHA-256 of the task's arrays, or of the function's code.
        environment: Versions, hardware, code revision at the study's begin.
        extensions: Each ``{"arms": […], "seeds": […], "results_seen": bool}``, in order.
    """

    digest: str
    environment: dict[str, str]
    extensions: tuple[dict[str, Any], ...] = ()

    @property
    def looked(self) -> bool:
        """Whether arms or seeds were added after a verdict had been seen."""
        return any(extension["results_seen"] for extension in self.extensions)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder as its only writer; the lock falls with its owner, however that ends.

    Raises:
        BadInput: Another process holds it, or the folder cannot be written, or not any more.
    """
    owner = folder / ".owner"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        held = owner.read_text(encoding="utf-8", errors="replace").strip() if owner.exists() else "another process"
        wanted = "a folder that nobody else writes to"
        raise BadInput(str(folder), wanted, f"one held by {held}", _meanwhile(folder)) from None
    except OSError as error:
        raise BadInput(str(folder), "a folder that can be written", error.strerror or str(error)) from None
    try:
        owner.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        for left in folder.glob(".*.tmp"):  # of a picture or page whose writer was killed
            left.unlink(missing_ok=True)
        yield
    except OSError as error:
        fault = storage_fault(error)
        if fault is None:
            raise
        raise unwritable(folder, fault) from None
    finally:
        with suppress(OSError):
            owner.unlink(missing_ok=True)
        lock.release()


def _meanwhile(folder: Path) -> str:
    """What can be done while another process writes to the folder."""
    name = shlex.quote(str(folder))
    return (
        f"The study goes on there. Its page, live: crossnorm watch {name}; drawn once from what is stored so far: "
        f"crossnorm report {name}. Or give another --out."
    )


def unwritable(folder: Path, fault: str) -> BadInput:
    """The error for a disk that takes no more: no run is to blame, and none is called crashed."""
    hint = "Nothing that was finished is lost: the same command goes on when there is room."
    return BadInput(str(folder), "a disk that can be written", fault, hint)


def read_folder(folder: Path) -> tuple[Plan, Record] | None:
    """The plan and the record of a study's folder; None if there is no study in it.

    Raises:
        BadInput: Its study.yaml is damaged.
    """
    path = folder / "study.yaml"
    if not path.exists():
        return None
    hint = "Restore it, or give another --out."
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        record = fields.pop(RECORD)
        extensions = tuple(record["extensions"])
        found = Record(digest=record["data_digest"], environment=dict(record["environment"]), extensions=extensions)
        assert all(isinstance(e["results_seen"], bool) for e in extensions)
        assert record.get("checksum") in (None, _checksum({**fields, RECORD: record}))
    except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError, AssertionError, RecursionError):
        raise BadInput(str(path), "the file that crossnorm wrote", "a damaged one", hint) from None
    return make_plan(parse_spec(written_out(fields), str(path))), found


def open_folder(folder: Path, plan: Plan, digest: str) -> Record:
    """Begin, continue or extend the study of a folder, and write its study.yaml.

    Raises:
        BadInput: The folder holds something else, or a study that differs in more than added arms and seeds.
    """
    old = read_folder(folder)
    if old is None:
        others = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        if others:
            raise BadInput(
                str(folder), "an empty folder or one with a study", f"{', '.join(others[:3])} and no study.yaml"
            )
        record = Record(digest=digest, environment=describe_environment())
    else:
        record = _continued(folder, old, plan, digest)
    write_atomically(folder / "study.yaml", _HEADER + _dump(plan.spec, record))
    return record


def note_look(folder: Path) -> None:
    """Remember that somebody has seen results of the unfinished study: extending it later counts as after a look."""
    with suppress(OSError):  # a folder that cannot be written cannot be extended there either
        (folder / _LOOKED).touch()


def _continued(folder: Path, old: tuple[Plan, Record], plan: Plan, digest: str) -> Record:
    before, record = old
    _refuse_differences(folder, before, plan)
    if digest != record.digest:
        hint = "Bring the old data back, or give another --out."
        if plan.spec.function is not None:
            hint = "Bring the old code back, or give another --out."
            raise BadInput(f"{folder}: the function", "the code that the study began with", "other code", hint)
        raise BadInput(f"{folder}: the data", "what the study began with", "other examples", hint)
    names = {arm.name for arm in before.arms}
    arms = [arm.name for arm in plan.arms if arm.name not in names]
    seeds = [seed for seed in plan.seeds if seed not in before.seeds]
    if not arms and not seeds:
        return record
    seen = any((folder / name).exists() for name in ("verdict.json", _LOOKED))
    extension = {"arms": arms, "seeds": seeds, "results_seen": seen}
    return Record(digest=digest, environment=record.environment, extensions=(*record.extensions, extension))


def _refuse_differences(folder: Path, before: Plan, plan: Plan) -> None:
    """A study may grow by arms and seeds; nothing else of it may change."""
    differ = differences(*(each.spec.model_dump(exclude={*_GROWS, *_FREE}) for each in (before, plan)))
    arms = {arm.name: arm for arm in plan.arms}
    changed = [arm.name for arm in before.arms if arms.get(arm.name) != arm]
    if changed and not differ:
        differ.append(f"arms (without or other than before: {', '.join(changed[:3])})")
    missing = [seed for seed in before.seeds if seed not in plan.seeds]
    if missing:
        differ.append(f"seeds (without {', '.join(map(str, missing[:5]))})")
    if differ:
        hint = "Only seeds and arms can be added. Give another --out for a study of its own."
        raise BadInput(str(folder), "the study that the folder holds", "another: " + "; ".join(differ), hint)


def _checksum(fields: dict[str, Any]) -> str:
    """SHA-256 of everything in study.yaml but the checksum itself, so that a damaged study is not taken for another."""
    record = {key: value for key, value in fields[RECORD].items() if key != "checksum"}
    return hashlib.sha256(json.dumps({**fields, RECORD: record}, sort_keys=True).encode()).hexdigest()


def _dump(spec: StudySpec, record: Record) -> str:
    fields = spec.model_dump(mode="json")
    fields[RECORD] = {
        "data_digest": record.digest,
        "extensions": list(record.extensions),
        "environment": record.environment,
    }
    fields[RECORD]["checksum"] = _checksum(fields)
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)
