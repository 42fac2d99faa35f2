"""The differences between two studies, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossnorm.study.spec.schema import StudySpec
from crossnorm.study.spec.variation import EXTENDABLE, UNCOMPARED

__all__ = ["spec_differences"]

_ABSENT = "not set"


def spec_differences(before: StudySpec, now: StudySpec) -> list[str]:
    """Differences in more than added arms and seeds, one entry per field: ``recipe (lr: 0.008 → 0.001)``."""
    old, new = (spec.model_dump(exclude={*EXTENDABLE, *UNCOMPARED}) for spec in (before, now))
    return [f"{key} ({_change(old, new, key)})" for key in _unequal(old, new)]


def _unequal(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [key for key in {**new, **old} if key not in old or key not in new or old[key] != new[key]]


def _change(old: Mapping[str, Any], new: Mapping[str, Any], key: str) -> str:
    before, after = old.get(key), new.get(key)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return ", ".join(f"{inner}: {_change(before, after, inner)}" for inner in _unequal(before, after))
    return " → ".join(repr(side[key]) if key in side else _ABSENT for side in (old, new))
