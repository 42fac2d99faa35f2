"""The statements of the user's own modules that a function can depend on, found without importing anything."""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

__all__ = ["ANY_NAME", "LOOKUPS", "OwnModule", "counted_source", "is_library", "parsed", "syntax_text"]

_LAYOUT = ("ctx", "kind", "type_comment", "type_params")  # fields that say nothing, or exist in some Pythons only
_PACKAGE = Path(__file__).resolve().parents[2]
_STANDARD = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
ANY_NAME = "any name"  # stands for code that looks names up by computed text
LOOKUPS = {"dir", "eval", "exec", "getattr", "globals", "locals", "vars"}
_LOOKUP_ATTRIBUTES = {"__dict__", "attrgetter", "getmembers"}
_GUARDS = [ast.dump(ast.parse(test, mode="eval").body) for test in ("__name__ == '__main__'", "'__main__' == __name__")]
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORT = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class OwnModule:
    """A module of the user's own.

    Attributes:
        name: Its name; of a script, the name that another module would import it by.
        file: The file it was read from.
        root: The name of the module that the user named, whose neighbors count too.
        home: The folder that holds that module, or the top-level package around it.
    """

    name: str
    file: Path = field(compare=False)
    root: str = field(default="", compare=False)
    home: Path = field(default=Path(), compare=False)

    @staticmethod
    def of(name: str, scope: Mapping[str, Any]) -> OwnModule | None:
        """The module with these globals, from which others are found; None if it has no file."""
        file = Path(scope.get("__file__") or "").resolve()
        if not file.is_file():
            return None
        if name == "__main__":  # named as another module would import it
            name = f"{scope.get('__package__') or ''}.{file.stem}".lstrip(".")
        inside = file.parent if file.stem == "__init__" else file
        return OwnModule(name, file, name, [*inside.parents][: name.count(".") + 1][-1])

    @cached_property
    def statements(self) -> list[ast.stmt]:
        """The statements at its top without docstrings and script; a file that is no Python text is one constant."""
        content = self.file.read_bytes()
        try:
            body = parsed(content).body
        except (SyntaxError, ValueError):  # compiled, or edited since it was imported
            return [ast.Expr(ast.Constant(content))]
        if body and isinstance(body[-1], ast.If) and not body[-1].orelse and ast.dump(body[-1].test) in _GUARDS:
            body = body[:-1]
        return [part for statement in body for part in _one_by_one(statement)]

    def imports(self, node: ast.AST) -> Iterator[OwnModule]:
        """The modules of the user's own that a piece of its code imports."""
        for part in ast.walk(node):
            if isinstance(part, ast.Import):
                names = [alias.name for alias in part.names]
            elif isinstance(part, ast.ImportFrom):
                base = self._absolute(part)
                names = [base, *(f"{base}.{alias.name}".lstrip(".") for alias in part.names if alias.name != "*")]
            elif isinstance(part, ast.Call) and _last_name(part.func) in ("import_module", "__import__"):
                names = [arg.value for arg in part.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            else:
                continue
            for name in names:
                yield from self.found(name)

    def _absolute(self, statement: ast.ImportFrom) -> str:
        if not statement.level:
            return statement.module or ""
        up = statement.level - (self.file.stem == "__init__")
        package = self.name.split(".")[: self.name.count(".") + 1 - up]
        return ".".join([*package, *([statement.module] if statement.module else [])])

    def found(self, name: str) -> Iterator[OwnModule]:
        """The module of this name, and the packages around it, as far as they are the user's own."""
        path: Iterable[str] | None = [*sys.path, str(self.home)]
        parts = name.split(".")
        for inner in (".".join(parts[: end + 1]) for end in range(len(parts))):
            loaded = getattr(sys.modules.get(inner), "__dict__", None)
            if loaded is not None:
                file, path = loaded.get("__file__"), loaded.get("__path__")
            else:
                standard = inner in sys.stdlib_module_names
                spec = None if path is None or standard else PathFinder.find_spec(inner, list(path))
                if spec is None:
                    return
                file, path = spec.origin if spec.has_location else None, spec.submodule_search_locations
            if file and self._owns(inner, Path(file).resolve()):
                yield OwnModule(inner, Path(file).resolve(), self.root, self.home)

    def _owns(self, name: str, file: Path) -> bool:
        inside = name.partition(".")[0] == self.root.partition(".")[0]
        return file.is_relative_to(self.home) and file.is_file() and (inside or not is_library(name, str(file)))


def is_library(name: str, file: str | None) -> bool:
    """Whether a module belongs to Python, to crossnorm, or to an installed library.

    Args:
        name: Its name.
        file: Its file, if it has one.
    """
    top = name.partition(".")[0]
    if not file and top != "__main__":
        file = getattr(sys.modules.get(top), "__file__", None)
    if not file:
        return top in sys.stdlib_module_names
    path = Path(file).resolve()
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(installed) or any(path.is_relative_to(folder) for folder in (_PACKAGE, *_STANDARD))


def counted_source(modules: Iterable[OwnModule], names: Iterable[str]) -> str:
    """The statements that count, as text without comments, layout and docstrings.

    All statements at the top of a module count, and those of the user's own modules that they import. Not counted are
    imports of libraries, functions, and classes of which nothing but the definition is executed, if no counted
    statement mentions their names.

    Args:
        modules: The modules to begin with.
        names: The names that the function and its values mention.
    """
    found, known = {module.name: module for module in modules}, set(names)
    counted: set[ast.stmt] = set()
    before = -1
    while before < len(counted):
        before = len(counted)
        for module in list(found.values()):
            for statement in module.statements:
                if statement not in counted and _counts(module, statement, known):
                    counted.add(statement)
                    known.update(_mentioned(statement))
                    for imported in module.imports(statement):
                        found.setdefault(imported.name, imported)
    texts = []
    for name, module in sorted(found.items()):
        texts += [name, *(syntax_text(statement) for statement in module.statements if statement in counted)]
    return "\n".join(texts)


def _counts(module: OwnModule, statement: ast.stmt, known: set[str]) -> bool:
    if isinstance(statement, _IMPORT):
        (alias,) = statement.names
        bound = (alias.asname or alias.name).partition(".")[0]
        return bound == "*" or bound in known or any(True for _ in module.imports(statement))
    if isinstance(statement, ast.Assign) and [_last_name(target) for target in statement.targets] == ["__all__"]:
        return "*" in known
    if not isinstance(statement, (*_FUNCTION, ast.ClassDef)) or _acts(statement):
        return True
    return statement.name in known or ANY_NAME in known or statement.name.startswith("__")


def _acts(definition: ast.stmt) -> bool:
    """Whether a definition may do more than to define its name, at the time it is executed."""
    if isinstance(definition, _FUNCTION):
        return bool(definition.decorator_list) or any(isinstance(n, ast.Call) for n in ast.walk(definition.args))
    if isinstance(definition, ast.ClassDef):
        special = definition.decorator_list or definition.bases or definition.keywords
        return bool(special) or any(_acts(part) for part in definition.body)
    if not isinstance(definition, ast.Assign | ast.AnnAssign | ast.Pass | ast.Expr):
        return True
    stores = (n for n in ast.walk(definition) if isinstance(n, ast.Attribute | ast.Subscript))
    called = any(isinstance(n, ast.Call) for n in ast.walk(definition))
    return called or any(not isinstance(n.ctx, ast.Load) for n in stores)


def _mentioned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)
        elif isinstance(node, ast.Name | ast.Attribute):
            yield _last_name(node)
        if _looks_up(node):
            yield ANY_NAME


def _looks_up(node: ast.AST) -> bool:
    """Whether it may use any name: ``globals()[…]``, ``vars(module)``, ``getattr(module, name)`` of a computed name."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in LOOKUPS:
        return node.func.id != "getattr" or not all(isinstance(name, ast.Constant) for name in node.args[1:2])
    return isinstance(node, ast.Name | ast.Attribute) and _last_name(node) in _LOOKUP_ATTRIBUTES


def _last_name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _one_by_one(statement: ast.stmt) -> Iterator[ast.stmt]:
    """``from a import b, c`` as two statements."""
    if isinstance(statement, ast.Import):
        yield from (ast.Import([alias]) for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield from (ast.ImportFrom(statement.module, [alias], statement.level) for alias in statement.names)
    else:
        yield statement


def parsed(source: str | bytes) -> ast.Module:
    """The syntax tree of a module, without docstrings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (*_FUNCTION, ast.ClassDef, ast.Module)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


def syntax_text(node: object) -> str:
    """A syntax tree as text that is the same in every version of Python, unlike `ast.dump`."""
    if isinstance(node, ast.AST):
        constant = isinstance(node, ast.Constant | ast.MatchSingleton)
        fields = [(name, value) for name, value in ast.iter_fields(node) if value or constant]
        inner = ",".join(f"{name}={syntax_text(value)}" for name, value in fields if name not in _LAYOUT)
        return f"{type(node).__name__}({inner})"
    return f"[{','.join(map(syntax_text, node))}]" if isinstance(node, list) else repr(node)
