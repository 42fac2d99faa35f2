"""A short name for what distinguishes a study from another, such as ``epochs-3`` or ``lr-0.01-margin-0.1``.

Options of the command line that make another study of a stored one also give it another default folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from crossnorm.study.spec.arms import study_recipe
from crossnorm.study.spec.schema import StudySpec
from crossnorm.training.recipe.recipes import RECIPES, Recipe

__all__ = ["EXTENDABLE", "UNCOMPARED", "variation"]

EXTENDABLE = ("alphas", "arms", "control", "max_seeds", "seeds", "variants")
"""Fields that may grow without making another study."""
UNCOMPARED = ("data", "name")
"""Fields that do not tell studies apart: the digest identifies the data, wherever the files are."""

_NESTED = ("epochs", "model", "recipe", "settings")
_MOST_CHARACTERS = 48


def variation(before: StudySpec, now: StudySpec) -> str:
    """What distinguishes a study from another, as part of a name; empty if only arms and seeds do.

    A long description, or one that is no file name, is replaced by eight digits of its SHA-256.

    Args:
        before: The study, as its file says.
        now: The changed study.
    """
    parts = [f"{key.replace('_', '-')}-{_value(value)}" for key, value in _changes(before, now)]
    text = "-".join(parts)
    if len(text) > _MOST_CHARACTERS or not re.fullmatch(r"[\w.+@-]*", text, re.ASCII):
        return hashlib.sha256(text.encode()).hexdigest()[:8]
    return text


def _changes(before: StudySpec, now: StudySpec) -> Iterator[tuple[str, Any]]:
    """The fields that differ, with their new values."""
    recipes = study_recipe(before), study_recipe(now)
    if recipes[0] is not None and recipes[1] is not None:
        yield from _recipe_changes(recipes[0], recipes[1])
    for field in ("model", "settings"):
        yield from _unequal(getattr(before, field), getattr(now, field))
    skipped = {*EXTENDABLE, *UNCOMPARED, *_NESTED} | ({"direction"} if before.metric != now.metric else set())
    yield from _unequal(before.model_dump(exclude=skipped), now.model_dump(exclude=skipped))


def _recipe_changes(before: Recipe, now: Recipe) -> Iterator[tuple[str, Any]]:
    named = before
    if now.name != before.name:
        yield "recipe", now.name
        named = RECIPES[now.name]
    named = named.model_copy(update={"epochs": before.epochs})
    yield from _unequal(named.model_dump(exclude={"name"}), now.model_dump(exclude={"name"}))


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in sorted({**before, **now}):
        if before.get(key) != now.get(key):
            yield key, Path(str(now[key])).name if key == "from" else now.get(key)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    return re.sub(r"\s*%", "pct", value) if isinstance(value, str) else str(value)
