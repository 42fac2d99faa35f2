"""Digests of the user's code, which tell whether a stored study goes on with the code that it began with."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import symtable
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from crossnorm.functional.user_variants import user_function
from crossnorm.study.spec.plan import Plan
from crossnorm.study.workload.carried_values import carried_values
from crossnorm.study.workload.function_loading import Train, function_name

__all__ = ["code_digests", "function_digest", "source_digest"]

_LAYOUT = ("ctx", "kind", "type_comment", "type_params")  # fields that say nothing, or exist in some Pythons only


def function_digest(function: Train) -> str:
    """SHA-256 of the function's own code without comments and layout; see `source_digest` for the code it uses."""
    bare = _bare(function)
    return hashlib.sha256(_code(bare).encode()).hexdigest()


def _bare(function: Callable[..., Any]) -> Any:
    return function.func if isinstance(function, functools.partial) else function


def _code(function: Any) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # without a source file
        code = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_names, code.co_varnames)) if code else function_name(function)
    tree = _parsed(source)
    return source if tree is None else ast.dump(tree)


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
    """SHA-256 of a function's code and of all that it uses of its own module, without comments and layout.

    Covered are the statements at the top of the module that define the names the function uses, or change them by an
    assignment or a method (``CONFIG["lr"] = 2``, ``CONFIG.update(…)``), and the names that those use; and the values
    that the function carries: of `functools.partial`, of a closure, of the object of a method, of default arguments.
    What other modules contain is not covered.

    Args:
        name: ``module:function``.
        function: The function of that name.
    """
    bare = _bare(function)
    own = _parsed(_source(bare) or "a syntax error")
    if own is None:
        return hashlib.sha256((function_digest(function) + carried_values(function)).encode()).hexdigest()
    module = _parsed(_source(inspect.getmodule(bare)) or "")
    statements = [] if module is None else [part for part in module.body if not _is_script(part)]
    used = _statements_used(statements, {name.partition(":")[2].partition(".")[0], *_names(own)})
    carried = carried_values(function)
    return hashlib.sha256("\n".join([*map(_text, [own, *used]), *([carried] if carried else [])]).encode()).hexdigest()


def _source(thing: Any) -> str | None:
    """The source of a module, function, class, or object of a class; None if there is no file of it."""
    inspectable = inspect.ismodule(thing) or inspect.isroutine(thing) or inspect.isclass(thing)
    try:
        return textwrap.dedent(inspect.getsource(thing if inspectable else type(thing)))
    except (OSError, TypeError):
        return None


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:  # a lambda inside an expression
        return None


def _statements_used(statements: Iterable[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """The statements that define these names, and the names that those statements use, in the module's order."""
    statements = list(statements)
    imported = {name for part in statements if isinstance(part, ast.Import | ast.ImportFrom) for name in _defined(part)}
    defines = {
        statement: {name for name in _defined(statement) if not isinstance(statement, ast.Expr) or name not in imported}
        for statement in statements
    }
    found: set[ast.stmt] = set()
    while new := {s for s, defined in defines.items() if s not in found and defined & names}:
        found |= new
        names = names | {name for statement in new for name in _names(statement)}
    return [statement for statement in defines if statement in found]


def _defined(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module defines, or changes by an assignment or a method."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            yield from _root(node)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield from _root(statement.value.func)


def _root(node: ast.expr) -> Iterator[str]:
    """``a`` for ``a.b[c].d``, which a method of it or an assignment to it may change; nothing for a plain name."""
    inner = node
    while isinstance(inner, ast.Attribute | ast.Subscript | ast.Call):
        inner = inner.func if isinstance(inner, ast.Call) else inner.value
    if inner is not node and isinstance(inner, ast.Name):
        yield inner.id


def _names(tree: ast.AST) -> set[str]:
    """The names of its module that a piece of code uses: not the local names of its functions."""
    return set(_globals(symtable.symtable(ast.unparse(tree), "code", "exec")))


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _globals(inner)


def _is_script(statement: ast.stmt) -> bool:
    """Whether it is ``if __name__ == "__main__":``, which no import runs."""
    return isinstance(statement, ast.If) and "__name__" in _names(statement.test)


def _text(node: object) -> str:
    """A syntax tree as text that is the same in every version of Python, unlike `ast.dump`."""
    if isinstance(node, ast.AST):
        fields = [(name, value) for name, value in ast.iter_fields(node) if value or isinstance(node, ast.Constant)]
        inner = ",".join(f"{name}={_text(value)}" for name, value in fields if name not in _LAYOUT)
        return f"{type(node).__name__}({inner})"
    return f"[{','.join(map(_text, node))}]" if isinstance(node, list) else repr(node)
