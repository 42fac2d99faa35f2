"""Digests of functions and other values, equal in every process; and the user's own modules that they lead to."""

from __future__ import annotations

import ast
import copyreg
import dis
import hashlib
import linecache
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from crossnorm.study.workload.own_modules import ANY_NAME, LOOKUPS, OwnModule, is_library, parsed, syntax_text

__all__ = ["CarriedValues", "value_digest"]

_PLAIN = (bool, float, complex, str, bytes, type(None))
_UNPICKLED = "<dynamic-code>"  # the file of functions that cloudpickle has loaded
_READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}


class CarriedValues(NamedTuple):
    """What a value is, and where the code is that gives it its behavior.

    Attributes:
        digest: SHA-256, equal for equal values.
        modules: The user's own modules that define functions and classes of it.
        names: The names that they have there, and that functions without a place in a module mention.
    """

    digest: str
    modules: set[OwnModule]
    names: set[str]


class _Part(NamedTuple):
    """A value's own description, and the values that it consists of."""

    text: str
    values: Iterable[Any] = ()
    ordered: bool = True


def value_digest(value: object) -> CarriedValues:
    """The digest of a value.

    Arrays and tensors count by their bytes; functions and classes of the user's own by their place in a module, or by
    their code where they are sent to workers by value, with the globals they mention and the values they carry;
    libraries by names; other objects by what `pickle` would store of them, or by their type if it cannot.
    """
    modules: set[OwnModule] = set()
    names: set[str] = set()
    values, positions = [value], {id(value): 0}  # `values` keeps them alive, so that no other value gets their id
    texts: list[str] = []
    inner: list[tuple[list[int], bool]] = []
    for each in values:
        part = _described(each, modules, names)
        children = list(part.values)
        for child in children:
            if id(child) not in positions:
                positions[id(child)] = len(values)
                values.append(child)
        texts.append(part.text)
        inner.append(([positions[id(child)] for child in children], part.ordered))
    return CarriedValues(_graph_digest(texts, inner), modules, names)


def _graph_digest(texts: list[str], inner: list[tuple[list[int], bool]]) -> str:
    """The digest of the first of values with the values inside them, which may contain each other."""

    def refined(place: int) -> str:
        children, ordered = inner[place]
        found = [texts[child] for child in children]
        whole = "\n".join([texts[place], *(found if ordered else sorted(found))])
        return hashlib.sha256(whole.encode()).hexdigest()

    outer: list[list[int]] = [[] for _ in texts]
    waiting = [len(children) for children, _ in inner]
    for place, (children, _) in enumerate(inner):
        for child in children:
            outer[child].append(place)
    ready = [place for place, count in enumerate(waiting) if not count]
    for place in ready:  # from the innermost values outwards
        texts[place] = refined(place)
        for around in outer[place]:
            waiting[around] -= 1
            if not waiting[around]:
                ready.append(around)
    loops, kinds = [place for place, count in enumerate(waiting) if count], 0
    while kinds < len(now := {texts[place] for place in loops}):  # until no two that differ have the same text
        kinds, new = len(now), [refined(place) for place in loops]
        for place, text in zip(loops, new, strict=True):
            texts[place] = text
    return hashlib.sha256("\n".join([texts[0], *sorted(now)]).encode()).hexdigest()


def _described(value: Any, modules: set[OwnModule], names: set[str]) -> _Part:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if type(value) in _PLAIN:
        return _Part(f"{kind} {value!r}")
    if type(value) is int:
        return _Part(f"{kind} {value:x}")
    if isinstance(value, torch.Tensor):
        return _tensor(kind, value)
    if type(value) is np.ndarray or isinstance(value, np.generic):
        return _array(kind, np.asarray(value))
    if type(value) in (list, tuple):
        return _Part(kind, value)
    if type(value) in (set, frozenset):
        return _Part(kind, value, ordered=False)
    if type(value) in (dict, MappingProxyType):
        return _Part(kind, value.items(), ordered=False)
    if isinstance(value, CodeType):
        counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
        known = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars, value.co_consts)
        return _Part(f"{kind} {value.co_code.hex()} {counts}", known)
    if isinstance(value, ModuleType):
        _add(value.__name__, vars(value), modules)
        return _Part(f"{kind} {value.__name__}")
    if isinstance(value, FunctionType):
        return _function(value, modules, names)
    if isinstance(value, type):
        return _class(value, modules, names)
    if isinstance(value, BuiltinFunctionType):
        of = value.__self__
        return _Part(f"{kind} {value.__module__} {value.__qualname__}", () if isinstance(of, ModuleType) else (of,))
    return _reduced(kind, value, modules, names)


def _function(function: FunctionType, modules: set[OwnModule], names: set[str]) -> _Part:
    text = f"function {function.__module__} {function.__qualname__}"
    scope, importable = function.__globals__, _importable(function)
    library = is_library(str(scope.get("__name__")), scope.get("__file__"))
    if library and importable:
        return _Part(text)
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = {name: cell.cell_contents for name, cell in cells if not _is_empty(cell)}
    carried = [function.__defaults__, function.__kwdefaults__, closure, vars(function)]
    if library:
        return _Part(text, carried)
    names.update(re.findall(r"\w+", function.__qualname__))
    found = _add(str(scope.get("__name__")), scope, modules)
    written = function.__code__.co_filename
    in_file = found is not None and (written == _UNPICKLED or found.file == Path(written).resolve())
    if importable:
        _add(function.__module__, vars(sys.modules[function.__module__]), modules)
    if importable and in_file:
        return _Part(text, carried)
    codes = list(_codes(function.__code__))
    if not in_file:
        _add_mentions(codes, modules, names)
    used = {step.argval for code in codes for step in dis.get_instructions(code) if step.opname in _READS}
    live = {name: scope[name] for name in used & {*scope} if not name.startswith("__")}
    source = _source(function, str(found.file) if found and in_file else written)
    return _Part(f"{text} {source}", [*carried, live, *([] if source else [function.__code__])])


def _add_mentions(codes: list[CodeType], modules: set[OwnModule], names: set[str]) -> None:
    """Add the names that code of no module mentions, and the modules in the working directory that it imports."""
    here = OwnModule("", Path(), "", Path.cwd())
    for code in codes:
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME":
                modules.update(here.found(step.argval))
            elif step.opname in _READS and step.argval in LOOKUPS:
                names.add(ANY_NAME)
        texts = [constant for constant in code.co_consts if isinstance(constant, str)]
        names.update(code.co_names, *(re.findall(r"\w+", text) for text in texts))


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _source(function: FunctionType, file: str) -> str:
    """The function's source without comments, layout and docstrings; empty if it is not known."""
    linecache.checkcache(file)
    try:
        tree = parsed("".join(linecache.getlines(file, function.__globals__)))
    except (SyntaxError, ValueError):
        return ""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    lines = ([part.lineno for part in (node, *getattr(node, "decorator_list", ()))] for node in functions)
    found = [node for node, line in zip(functions, lines, strict=True) if min(line) == function.__code__.co_firstlineno]
    return syntax_text(found[0]) if len(found) == 1 else ""


def _class(found: type, modules: set[OwnModule], names: set[str]) -> _Part:
    text = f"class {found.__module__} {found.__qualname__}"
    scope = {} if found.__module__ == "__main__" else getattr(sys.modules.get(found.__module__), "__dict__", {})
    if is_library(found.__module__, scope.get("__file__")):
        return _Part(text)
    names.update(re.findall(r"\w+", found.__qualname__))
    if _add(found.__module__, scope, modules) and _importable(found):
        return _Part(text)
    members: dict[str, Any] = {}
    for name, member in vars(found).items():
        inner = getattr(member, "__func__", member)
        if isinstance(member, property):
            members[name] = (member.fget, member.fset, member.fdel)
        elif isinstance(inner, FunctionType) or not name.startswith("__"):  # others are written by Python and libraries
            members[name] = inner
    return _Part(text, [found.__bases__, members])


def _importable(thing: Any) -> bool:
    """Whether workers import it instead of getting its code: it is what its module has by this name."""
    found: Any = None if thing.__module__ == "__main__" else sys.modules.get(thing.__module__)
    for part in thing.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(part)
        found = getattr(found, "__func__", found)
    return found is thing


def _add(name: str, scope: Mapping[str, Any], modules: set[OwnModule]) -> OwnModule | None:
    """Add the module with these globals, if it is the user's own and has a file."""
    found = None if is_library(name, scope.get("__file__")) else OwnModule.of(name, scope)
    modules.update([found] if found else [])
    return found


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _reduced(kind: str, value: Any, modules: set[OwnModule], names: set[str]) -> _Part:
    reduce: Callable[[Any], Any] | None = copyreg.dispatch_table.get(type(value))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = value.__reduce_ex__(2) if reduce is None else reduce(value)
            if isinstance(found, str):
                wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
                return _Part(f"{kind} {found}", () if wrapped is None else (wrapped,))
            made, args, state, items, pairs, setter = [*found, None, None, None, None][:6]
            return _Part(kind, (made, args, state, list(items or ()), dict(pairs or ()), setter))
    except Exception:  # such as locks and open files
        return _Part(f"{kind} that cannot be stored", (type(value),))


def _array(kind: str, array: Any) -> _Part:
    text = f"{kind} {array.dtype} {array.shape}"
    if array.dtype.hasobject or array.dtype.names:  # whose bytes are addresses, or have gaps
        return _Part(text, [array.tolist()])
    return _Part(f"{text} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}")


def _tensor(kind: str, tensor: torch.Tensor) -> _Part:
    text = f"{kind} {tensor.dtype} {tuple(tensor.shape)}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = tensor.detach().cpu()
            plain = plain.dequantize() if plain.is_quantized else plain.resolve_conj().resolve_neg()
            if plain.layout != torch.strided:
                plain = plain.to_sparse().coalesce()
                return _Part(text, [plain.indices(), plain.values()])
            content = plain.contiguous().reshape(-1).view(torch.uint8).numpy()
            return _Part(f"{text} {hashlib.sha256(content.tobytes()).hexdigest()}")
    except Exception:  # such as tensors without storage
        return _Part(text)
