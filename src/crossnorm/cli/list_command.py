"""The command `list`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated

import typer

from crossnorm.cli.app import app, guarded

__all__: list[str] = []


class Listable(str, Enum):
    """What `crossnorm list` lists."""

    models = "models"
    tasks = "tasks"
    variants = "variants"
    recipes = "recipes"
    studies = "studies"


@app.command("list")
@guarded
def list_(what: Annotated[Listable, typer.Argument(help="models, tasks, variants, recipes or studies.")]) -> None:
    """List models, tasks, variants, recipes or built-in studies.

    \b
    crossnorm list tasks
    crossnorm list variants
    """  # noqa: D301
    rows = _LISTS[what.value]()
    width = max(map(len, rows))
    for name, summary in rows.items():
        typer.echo(f"{name:{width}}  {summary}".rstrip())


def _models() -> dict[str, str]:
    from crossnorm.models import list_models

    return {name: _size_of(name) for name in list_models()}


def _size_of(name: str) -> str:
    """Parameters and multiply-adds, counted on a model without allocated weights."""
    import torch

    from crossnorm.models import count_macs, count_parameters
    from crossnorm.models.compact_transformers import build
    from crossnorm.models.presets import configure

    classes = {"num_classes": 10} if name.startswith("text_") else {}
    with torch.device("meta"):
        model = build(configure(name, classes))
    note = "  (10 classes, 100000 words)" if classes else ""
    return f"{count_parameters(model) / 1e6:8.3f} M parameters  {count_macs(model) / 1e6:9.1f} M multiply-adds{note}"


def _tasks() -> dict[str, str]:
    from crossnorm.data import list_tasks

    return list_tasks()


def _variants() -> dict[str, str]:
    from crossnorm.functional import VARIANTS

    return {name: entry.summary for name, entry in VARIANTS.items()}


def _recipes() -> dict[str, str]:
    from crossnorm.training.recipe.recipes import RECIPES

    return {
        name: ", ".join(f"{k} {v}" for k, v in r.model_dump(exclude={"name"}).items()) for name, r in RECIPES.items()
    }


def _studies() -> dict[str, str]:
    from crossnorm.study.spec.builtin_studies import builtin_studies

    return builtin_studies()


_LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "models": _models,
    "tasks": _tasks,
    "variants": _variants,
    "recipes": _recipes,
    "studies": _studies,
}
