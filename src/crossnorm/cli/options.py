"""What words on the command line mean: lists of numbers, margins, settings, modules to import."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from crossnorm.errors import BadInput

__all__ = [
    "allowed_modules",
    "import_modules",
    "inches",
    "margin_of",
    "numbers",
    "settings_of",
    "with_options",
    "words",
]

_MODEL_OPTIONS = {"variant": "--variant", "pretrained": "--pretrained", "name": "--model"}


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas, the value of the option called ``name``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(name, "numbers separated by commas, such as 0,0.5,1", repr(text)) from None


def words(name: str, text: str) -> list[str]:
    """Words separated by commas, the value of the option called ``name``."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise BadInput(name, "names separated by commas, such as convex,matched", repr(text))
    return found


def allowed_modules(study: str, imports: Sequence[str]) -> list[str]:
    """The modules that the command line allows to be imported: after --import, and of a function it names."""
    module, colon, function = study.partition(":")
    named = colon and all(part.isidentifier() for part in [*module.split("."), *function.split(".")])
    return [*imports, *([module] if named and module not in imports else [])]


def margin_of(text: str) -> float | str:
    """A number, or the words that the study file takes, such as ``1 %``."""
    try:
        return float(text)
    except ValueError:
        return text


def settings_of(
    pairs: Sequence[str], options: Mapping[str, str] = _MODEL_OPTIONS
) -> tuple[dict[str, Any], dict[str, Any]]:
    """``lr=1e-3`` and ``model.FIELD=VALUE`` as fields of the recipe and keywords of the model.

    Args:
        pairs: The values of ``--set``.
        options: Keywords of the model and the options of their own that the command has for them.
    """
    fields: dict[str, Any] = {}
    keywords: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not (key and equals and text):
            raise BadInput("--set", "FIELD=VALUE, such as lr=1e-3 or model.num_layers=4", repr(pair))
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        keyword = key.removeprefix("model.")
        if key != keyword and keyword in options:
            raise BadInput("--set", f"the option {options[keyword]} for it", repr(pair))
        target = keywords if key != keyword else fields
        target[keyword] = value
    return fields, keywords


def with_options(fields: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Fields of the recipe after ``--set``, and those for which the command has an option of its own; None: not given.

    Raises:
        BadInput: One that is given twice, or the recipe's name.
    """
    if "name" in fields:
        raise BadInput("--set", "the option --recipe for it", repr(f"name={fields['name']}"))
    given = {field: value for field, value in options.items() if value is not None}
    for field in given:
        if field in fields:
            option = f"--{field.replace('_', '-')}"
            raise BadInput("--set", f"{field} in one place", f"{f'{field}={fields[field]}'!r} beside {option}")
    return {**fields, **given}


def inches(text: str) -> float | str:
    """A width in inches, or the name of one."""
    try:
        return float(text)
    except ValueError:
        return text


def import_modules(modules: Sequence[str]) -> None:
    """Import the user's modules, as asked for on the command line, from the working directory too."""
    if modules and "" not in sys.path:
        sys.path.insert(0, "")
    for module in modules:
        try:
            import_module(module)
        except Exception as error:
            raise BadInput("--import", f"a module that can be imported, not {module!r}", str(error)) from None
