"""Resolve, name and serialize a user's training function."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from crossnorm.errors import BadInput

__all__ = ["Train", "function_name", "load_function", "pickled_function", "unpickled_function"]

Train = Callable[[Any], Any]
"""``def train(run)``; `run` is a `FunctionRun`."""


def function_name(function: Train) -> str:
    """The name ``module:function`` of a function; of a lambda, ``module:function`` literally."""
    bare = function.func if isinstance(function, functools.partial) else function
    name = str(getattr(bare, "__qualname__", type(bare).__name__)).rpartition("<locals>.")[2]
    return f"{getattr(bare, '__module__', '__main__')}:{'function' if '<' in name else name}"


def load_function(name: str, imports: Sequence[str]) -> Train:
    """Import the function ``module:function``, if the user allows the module.

    Args:
        name: The name, as in a study file.
        imports: The modules that the user allows to be imported.

    Raises:
        BadInput: The module is not allowed or cannot be imported, or has no such function.
    """
    module, _, attribute = name.partition(":")
    if module == "__main__":
        hint = "Run Study(train, …) where the function is defined, with the same output folder."
        raise BadInput.because("function", f"{name} is defined in a script or notebook", hint)
    if module not in imports:
        hint = f"If you trust it, add --import {module} to the command (in Python: imports=[{module!r}])."
        raise BadInput.because("function", f"the module of {name} is not allowed to be imported", hint)
    try:
        found: Any = import_module(module)
    except Exception as error:
        raise BadInput.because("function", f"cannot import {module!r}: {_described(error)}") from None
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise BadInput.because("function", f"the module {module} has no function {attribute!r}")
    return found  # type: ignore[no-any-return]


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def pickled_function(function: Train) -> str:
    """The function as text for a worker process; functions of a script or notebook are serialized by value.

    Raises:
        BadInput: It refers to an object that cannot be pickled.
    """
    import cloudpickle

    try:
        return base64.b64encode(cloudpickle.dumps(function)).decode("ascii")
    except Exception as error:
        hint = "Create such objects inside the function."
        raise BadInput.because("function", f"cannot be sent to worker processes: {_described(error)}", hint) from None


def unpickled_function(text: str) -> Train:
    """The function that `pickled_function` serialized in the parent process."""
    import cloudpickle

    return cloudpickle.loads(base64.b64decode(text))  # type: ignore[no-any-return]
