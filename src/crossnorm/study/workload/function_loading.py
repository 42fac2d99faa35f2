"""A user's own training function: found, named, told apart from an edited one, and carried to another process.

Knows nothing of what it computes or of how it is run.
"""

from __future__ import annotations

import ast
import base64
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from crossnorm.errors import BadInput

__all__ = ["Train", "function_digest", "function_name", "load_function", "pickled_function", "unpickled_function"]

Train = Callable[[Any], Any]
"""``def train(run)``; `run` is a `FunctionRun`."""


def function_name(function: Train) -> str:
    """``module:function`` of a function, as far as it has a name."""
    bare = function.func if isinstance(function, functools.partial) else function
    name = str(getattr(bare, "__qualname__", type(bare).__name__)).rpartition("<locals>.")[2]
    return f"{getattr(bare, '__module__', '__main__')}:{'function' if '<' in name else name}"


def load_function(name: str, imports: Sequence[str]) -> Train:
    """The function that ``module:function`` names, if its user allowed the module.

    Args:
        name: As in a study file; any file may name any function.
        imports: The modules that the user has asked to be imported.

    Raises:
        BadInput: The module was not allowed or cannot be imported, or has no such function.
    """
    module, _, attribute = name.partition(":")
    if module == "__main__":
        hint = "Run Study(train, …) again where it is defined, with this folder."
        raise BadInput("function", "a function of a module", f"{name}, of a script or notebook", hint)
    if module not in imports:
        hint = f"If you trust it, add --import {module}, or imports=[{module!r}] in Python."
        raise BadInput("function", "a function of a module you import", name, hint)
    try:
        found: Any = import_module(module)
    except Exception as error:
        raise BadInput("function", f"a module that can be imported, not {module!r}", _in_short(error)) from None
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise BadInput("function", f"a function of {module}", f"no function {attribute!r} in it")
    return found  # type: ignore[no-any-return]


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def function_digest(function: Train) -> str:
    """SHA-256 of the function's own code, comments and layout apart; of what it calls, nothing is noticed."""
    bare = function.func if isinstance(function, functools.partial) else function
    return hashlib.sha256(_code(bare).encode()).hexdigest()


def _code(function: Any) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # typed in, or built in
        code = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_names, code.co_varnames)) if code else function_name(function)
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:  # a lambda in the middle of an expression
        return source


def pickled_function(function: Train) -> str:
    """The function as text for a worker process of this program; one of a notebook or a script goes as a whole.

    Raises:
        BadInput: It holds something that cannot go to another process.
    """
    import cloudpickle

    try:
        return base64.b64encode(cloudpickle.dumps(function)).decode("ascii")
    except Exception as error:
        hint = "What it needs and cannot be sent should be made inside it."
        raise BadInput("function", "one that can be sent to another process", _in_short(error), hint) from None


def unpickled_function(text: str) -> Train:
    """The function that the program which started this process has sent."""
    import cloudpickle

    return cloudpickle.loads(base64.b64decode(text))  # type: ignore[no-any-return]
