"""Digests of the user's code, which tell whether a stored study goes on with the code that it began with."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable
from typing import Any

from crossnorm.functional.user_variants import user_function
from crossnorm.study.spec.plan import Plan
from crossnorm.study.workload.carried_values import value_digest
from crossnorm.study.workload.function_loading import Train, function_name
from crossnorm.study.workload.own_modules import OwnModule, counted_source

__all__ = ["code_digests", "function_digest", "source_digest"]


def function_digest(function: Train) -> str:
    """SHA-256 of the function's own code without comments and layout; see `source_digest` for the code it uses."""
    bare = function.func if isinstance(function, functools.partial) else function
    return hashlib.sha256(_own_code(bare).encode()).hexdigest()


def _own_code(function: Any) -> str:  # versions since 0.2 store the digest of this text
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # without a source file
        code = getattr(function, "__code__", None)
        return value_digest(code).digest if code else function_name(function)
    try:
        return ast.dump(ast.parse(source))
    except SyntaxError:  # a lambda inside an expression
        return source


def code_digests(plan: Plan, function: Train | None = None) -> dict[str, str]:
    """`source_digest` of the training function and of every variant of the user's own, by ``module:function``.

    Args:
        plan: The plan; the modules of its variants are imported.
        function: The training function of the plan, if it has one.
    """
    used = {} if function is None else {str(plan.spec.function): function}
    for arm in plan.arms:
        if arm.variant is not None and ":" in arm.variant.name:
            used[arm.variant.name] = user_function(arm.variant.name)
    return {name: source_digest(name, found) for name, found in sorted(used.items())}


def source_digest(name: str, function: Callable[..., Any]) -> str:
    """SHA-256 of a function's code, of the user's own code that it can depend on, and of the values that it carries.

    Covered are the statements of its module, and of the modules beside it that are imported (see `counted_source`);
    the values of a `functools.partial`, a closure, the object of a method, default arguments; and, for a function that
    is sent to workers by value, as from a notebook, the globals that it mentions (see `value_digest`). Installed
    libraries are not covered.

    Args:
        name: ``module:function``.
        function: The function of that name.
    """
    module, _, path = name.partition(":")
    carried = value_digest(function)
    modules = set(carried.modules)
    if module != "__main__":  # named by the user, so that it counts wherever it is installed
        found = OwnModule.of(module, getattr(sys.modules.get(module), "__dict__", {}))
        modules.update([found] if found else [])
    source = counted_source(modules, {*carried.names, *path.split(".")})
    return hashlib.sha256(f"{carried.digest}\n{source}".encode()).hexdigest()
