"""The seals of a run's files: what result.json and a checkpoint say of themselves, and why they may not count.

An owner names the run that a file belongs to: the study's number, the arm and the seed. Without a number, files of any
study count, and so do files of versions before 0.3, which carry no owner.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypedDict

__all__ = ["Owner", "checkpoint_problem", "curve_seal", "result_problem", "sealed_result"]


class Owner(TypedDict):
    """The run that a file belongs to; `study` is the number that the plan gives its arm, None if it gives none."""

    study: str | None
    arm: str
    seed: int


def curve_seal(curve: bytes) -> dict[str, Any]:
    """Length and SHA-256 of a learning curve."""
    return {"bytes": len(curve), "sha256": hashlib.sha256(curve).hexdigest()}


def sealed_result(fields: Mapping[str, Any], owner: Owner, curve: bytes | None, model: str | None) -> dict[str, Any]:
    """The fields of a result.json with its seals, in place of those that it had.

    Args:
        fields: The outcome.
        owner: The run.
        curve: Its learning curve; None if there is no file.
        model: SHA-256 of the model that it keeps; None if it keeps none.
    """
    sealed: dict[str, Any] = {
        **{key: value for key, value in fields.items() if key not in ("digest", "model")},
        **owner,
        "curve": None if curve is None else curve_seal(curve),
    }
    if model is not None:
        sealed["model"] = model
    return sealed | {"digest": _digest(sealed)}


def result_problem(result: Mapping[str, Any], owner: Owner, curve: bytes) -> str | None:
    """Why a stored outcome does not count; None if it does.

    Args:
        result: The fields of result.json.
        owner: The run in whose folder it is.
        curve: The learning curve beside it; empty if there is none.
    """
    if "digest" not in result:
        if owner["study"] is not None:
            return "result.json does not say which run it belongs to"
    elif result["digest"] != _digest({key: value for key, value in result.items() if key != "digest"}):
        return "result.json is damaged or was edited"
    else:
        other = _other_owner(result, owner)
        if other is not None:
            return f"result.json belongs to {other}"
    if result.get("curve") != (curve_seal(curve) if curve or result.get("curve") is not None else None):
        return "the learning curve is not the one that result.json was written for"
    return None


def checkpoint_problem(about: Mapping[str, Any], owner: Owner, curve: bytes) -> str | None:
    """Why an intact checkpoint cannot be used; None if it can.

    Args:
        about: What the checkpoint says of itself.
        owner: The run in whose folder it is.
        curve: The learning curve beside it, which may go on after the checkpoint.
    """
    found = about.get("run")
    if isinstance(found, dict):
        other = _other_owner(found, owner)
        if other is not None:
            return f"the checkpoint belongs to {other}"
    elif owner["study"] is not None:
        return "the checkpoint does not say which run it belongs to"
    seal = about.get("curve")
    size = seal.get("bytes") if isinstance(seal, dict) else None
    if not isinstance(size, int) or curve_seal(curve[: max(0, size)]) != seal:
        return "the learning curve does not match the checkpoint"
    return None


def _other_owner(found: Mapping[str, Any], owner: Owner) -> str | None:
    """Whose a file is, if it is not of this run."""
    if (found.get("arm"), found.get("seed")) != (owner["arm"], owner["seed"]):
        return f"another run ({found.get('arm')}, seed {found.get('seed')})"
    if owner["study"] not in (None, found.get("study")):
        return "another study, or to another version of the code"
    return None


def _digest(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the fields of a result.json, as canonical JSON."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
