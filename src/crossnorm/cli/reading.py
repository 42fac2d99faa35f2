"""What words on the command line mean: lists of numbers, margins, modules to import."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from crossnorm.errors import BadInput

__all__ = ["allowed_modules", "import_modules", "inches", "margin_of", "numbers", "words"]


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
