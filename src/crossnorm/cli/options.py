"""Parse values of options: lists of numbers, margins, settings, modules to import."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from crossnorm.errors import BadInput, unknown_name
from crossnorm.user_modules import import_named

__all__ = [
    "AsJson",
    "Device",
    "Expect",
    "Imports",
    "allowed_modules",
    "expected_words",
    "import_modules",
    "inches",
    "margin_of",
    "numbers",
    "settings_of",
    "with_options",
    "words",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

Expect = Annotated[
    str | None,
    typer.Option(help="Words that the answer may be, such as same,better; exit code 3 if it is another."),
]

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]

Imports = Annotated[
    list[str] | None,
    typer.Option("--import", help="Python module to import; its functions and variants may then be used."),
]

VERDICTS = ("same", "better", "worse", "undecided")

_MODEL_OPTIONS = {"variant": "--variant", "pretrained": "--pretrained", "name": "--model"}


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas, the value of the option ``name``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(name, "numbers separated by commas, such as 0,0.5,1", repr(text)) from None


def words(name: str, text: str) -> list[str]:
    """Names separated by commas, the value of the option ``name``."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise BadInput(name, "names separated by commas, such as convex,matched", repr(text))
    return found


def expected_words(text: str | None) -> list[str]:
    """The words of ``--expect``; empty: any.

    Raises:
        BadInput: A word that no answer can be.
    """
    given = [] if text is None else words("--expect", text)
    for word in given:
        if word not in VERDICTS:
            raise unknown_name("--expect", word, VERDICTS)
    return given


def allowed_modules(study: str, imports: Sequence[str]) -> list[str]:
    """The modules that the command line allows to import: those of --import, and that of a function it names.

    A study file or folder that is called like a function names none.
    """
    module, colon, function = study.partition(":")
    named = colon and all(part.isidentifier() for part in [*module.split("."), *function.split(".")])
    named = named and not Path(study).exists()
    return [*imports, *([module] if named and module not in imports else [])]


def margin_of(text: str) -> float | str:
    """A number, or text that the study file accepts, such as ``1 %``."""
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
        options: Keywords of the model that have an option of their own, with that option.
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
        except RecursionError:
            raise BadInput.because("--set", f"the value of {key} is nested too deeply") from None
        keyword = key.removeprefix("model.")
        if key != keyword and keyword in options:
            raise BadInput.because("--set", f"{key} cannot be changed with --set", f"Use {options[keyword]}.")
        target = keywords if key != keyword else fields
        target[keyword] = value
    return fields, keywords


def with_options(fields: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Fields of the recipe from ``--set``, together with those from options of their own (None: not given).

    Raises:
        BadInput: A field that is given twice, or the recipe's name.
    """
    if "name" in fields:
        raise BadInput.because("--set", "the recipe's name cannot be changed with --set", "Use --recipe.")
    given = {field: value for field, value in options.items() if value is not None}
    for field in given:
        if field in fields:
            option = f"--{field.replace('_', '-')}"
            raise BadInput.because("--set", f"{field} is given twice, by --set {field}={fields[field]} and by {option}")
    return {**fields, **given}


def inches(text: str) -> float | str:
    """A width in inches, or a named width."""
    try:
        return float(text)
    except ValueError:
        return text


def import_modules(modules: Sequence[str]) -> None:
    """Import the modules of ``--import``, also from the working directory."""
    for module in modules:
        try:
            import_named(module, str(Path.cwd()))
        except Exception as error:
            raise BadInput.because("--import", f"cannot import {module!r}: {error}") from None
