"""The file study.yaml: the compiled study, and its record.

    data_digest, code   SHA-256 of what the study is trained on and with
    extensions          arms and seeds that were added later, and crashed runs that were trained again after an answer
    environment         where the study started
    id, checksum        the number that its runs carry; SHA-256 of the rest of the file

study.yaml is itself a study file; crossnorm adds the section `record`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from crossnorm.errors import BadInput
from crossnorm.io import write_atomically
from crossnorm.study.spec.plan import Plan, Run, make_plan
from crossnorm.study.spec.schema import RECORD, StudySpec, parse_spec, written_out
from crossnorm.study.spec.yaml_reader import read_yaml
from crossnorm.study.storage.config_diff import spec_differences
from crossnorm.study.storage.run_folder import RunFolder

__all__ = [
    "WORD_VECTORS",
    "Record",
    "check_kept_model",
    "numbered",
    "read_folder",
    "run_at",
    "same_study",
    "write_record",
]

WORD_VECTORS = "model.word_vectors"
"""The field whose file has a digest beside those of the code; an arm's has a name in front."""

_HEADER = "# A crossnorm study, resolved. `crossnorm plot` on the same study and folder continues or extends it.\n"


@dataclass(frozen=True, kw_only=True)
class Record:
    """The section `record` of study.yaml.

    Attributes:
        digest: SHA-256 of the task's arrays, or of the function's own code.
        environment: Versions, hardware and code revision when the study started.
        code: SHA-256 of the code of the function and of every variant of the user's own, by name, and of files of word
            vectors, by field; studies of versions before 0.3 have none.
        extensions: In order, each ``{"arms": […], "seeds": […], "results_seen": bool}``, with ``"trained_again"`` if
            runs had crashed.
        id: A number drawn when the study started, which its runs carry; None in studies of versions before 0.3.
    """

    digest: str
    environment: dict[str, str]
    code: Mapping[str, str] = field(default_factory=dict)
    extensions: tuple[dict[str, Any], ...] = ()
    id: str | None = None

    @property
    def results_seen(self) -> bool:
        """Whether arms or seeds were added, or crashed runs trained again, after results had been seen."""
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
            if name.endswith(WORD_VECTORS):
                found[f"the data of {name}"] = every
            elif name == function:
                found[f"code of its module that the function {name} uses"] = every
            else:
                arms = tuple(arm.name for arm in plan.arms if arm.variant is not None and arm.variant.name == name)
                found[f"the code of the variant {name}"] = arms
        return found


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
    return numbered(make_plan(parse_spec(written_out(fields), str(path))), found), found


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


def check_kept_model(path: Path) -> Path | None:
    """Check that a model in the folder of a run is the one that the run wrote; other models are not checked.

    Args:
        path: The model, a file or folder.

    Returns:
        The folder of the run's study; None for other models.

    Raises:
        BadInput: It is not, or the files of the run do not match their seals.
    """
    found = run_at(path.parent)
    if found is None:
        return None
    study, plan, _, run = found
    problem = RunFolder(study, run, plan).model_problem()
    if problem is not None:
        raise BadInput.because(str(path), problem, "Train the run again, or restore its files.")
    return study


def same_study(one: tuple[Plan, Record], other: tuple[Plan, Record]) -> bool:
    """Whether two folders hold the same study: the same number, or, without numbers, the same definition and data."""
    if one[1].id is not None and other[1].id is not None:
        return one[1].id == other[1].id
    return one[1].digest == other[1].digest and not spec_differences(one[0].spec, other[0].spec)


def numbered(plan: Plan, record: Record) -> Plan:
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


def write_record(folder: Path, spec: StudySpec, record: Record) -> None:
    """Write the study.yaml of a folder."""
    write_atomically(folder / "study.yaml", _HEADER + _dump(spec, record))


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
