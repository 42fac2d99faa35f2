"""The command `list`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

import typer

from crossnorm._lazy import needs_torch
from crossnorm.cli.app import app, guarded, print_json
from crossnorm.cli.options import AsJson, import_modules
from crossnorm.errors import BadInput

__all__: list[str] = []

Row = dict[str, Any]


class Listable(str, Enum):
    """What `crossnorm list` lists."""

    models = "models"
    tasks = "tasks"
    variants = "variants"
    recipes = "recipes"
    studies = "studies"


@app.command("list")
@guarded
def list_(
    what: Annotated[Listable, typer.Argument(help="models, tasks, variants, recipes or studies.")],
    imports: Annotated[
        list[str] | None, typer.Option("--import", help="Python module whose functions are listed as variants.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List models, tasks, variants, recipes or built-in studies.

    \b
    crossnorm list tasks
    crossnorm list variants --import mine     with the functions of mine.py
    crossnorm list models --json
    """  # noqa: D301
    if imports and what is not Listable.variants:
        raise BadInput.because(f"list {what.value}", "--import applies to list variants only")
    import_modules(imports or [])
    rows = [*_LISTS[what.value](), *_own_variants(imports or [])]
    if as_json:
        print_json(json.dumps(rows, indent=2))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:{width}}  {row['summary']}".rstrip())


def _models() -> list[Row]:
    from crossnorm.models.presets import PRESETS

    rows = []
    for name, preset in PRESETS.items():
        counted = _counted(name)
        layers, heads = preset.values["num_layers"], preset.values["num_heads"]
        summary = f"{layers:2} layers, {heads} heads"
        if counted:
            million = {key: value / 1e6 for key, value in counted.items()}
            summary += f"  {million['parameters']:8.3f} M parameters  {million['multiply_adds']:9.1f} M multiply-adds"
            summary += "  (10 classes, 100000 words)" if name.startswith("text_") else ""
        rows.append({"name": name, "summary": summary, **preset.values, **counted})
    return rows


def _counted(name: str) -> dict[str, int]:
    """Parameters and multiply-adds, counted on a model without allocated weights; empty without torch."""
    try:
        import torch
    except ImportError as error:
        if needs_torch(error):
            return {}
        raise
    from crossnorm.models import count_macs, count_parameters
    from crossnorm.models.compact_transformers import build
    from crossnorm.models.presets import configure

    with torch.device("meta"):
        model = build(configure(name, {"num_classes": 10} if name.startswith("text_") else {}))
    return {"parameters": count_parameters(model), "multiply_adds": count_macs(model)}


def _tasks() -> list[Row]:
    from crossnorm.data import list_tasks

    rows = []
    for name, task in list_tasks().items():
        tokens = "tokens by the size of the images" if task.tokens is None else f"{task.tokens} tokens"
        summary = f"{task.description}; {task.model_name}, {tokens}"
        about = {"description": task.description, "kind": task.kind, "model": task.model_name, "tokens": task.tokens}
        rows.append({"name": name, "summary": summary, **about})
    return rows


def _variants() -> list[Row]:
    from crossnorm.functional import VARIANTS

    return [{"name": name, "summary": entry.summary, "control": entry.control} for name, entry in VARIANTS.items()]


def _own_variants(modules: list[str]) -> list[Row]:
    """The functions of imported modules that take what a variant takes: alpha and visible."""
    rows = []
    for module in modules:
        for name, thing in vars(sys.modules[module]).items():
            if inspect.isfunction(thing) and {"alpha", "visible"} <= set(inspect.signature(thing).parameters):
                summary = (inspect.getdoc(thing) or "").partition("\n")[0]
                rows.append({"name": f"{module}:{name}", "summary": summary, "control": None})
    return rows


def _recipes() -> list[Row]:
    from crossnorm.training.recipe.recipes import RECIPES

    usual = RECIPES["quick"].model_dump(exclude={"name"})
    rows = []
    for name, recipe in RECIPES.items():
        fields = recipe.model_dump(exclude={"name"})
        shown = fields if name == "quick" else {key: value for key, value in fields.items() if value != usual[key]}
        summary = ", ".join(f"{key} {value}" for key, value in shown.items())
        rows.append({"name": name, "summary": summary if name == "quick" else f"as quick, but {summary}", **fields})
    return rows


def _studies() -> list[Row]:
    from crossnorm.study.spec.builtin_studies import builtin_studies

    return [{"name": name, "summary": summary} for name, summary in builtin_studies().items()]


_LISTS: dict[str, Callable[[], list[Row]]] = {
    "models": _models,
    "tasks": _tasks,
    "variants": _variants,
    "recipes": _recipes,
    "studies": _studies,
}
