"""The values that a Python function carries beside its code: bound arguments, a closure, the object of a method."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

__all__ = ["carried_values"]

_DEPTH = 6
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


def carried_values(function: Callable[..., Any]) -> str:
    """The values as text, equal for equal values; empty if there are none.

    Arrays and tensors are covered by their bytes, other objects by their attributes, functions by their names and by
    what they carry themselves.
    """
    found = _carried(function)
    return _text(found, _DEPTH) if found else ""


def _carried(function: Any) -> dict[str, Any]:
    if isinstance(function, functools.partial):
        return {"args": function.args, "keywords": function.keywords, **_carried(function.func)}
    if inspect.ismethod(function):
        return {"self": function.__self__, **_carried(function.__func__)}
    if not inspect.isfunction(function):
        return {} if inspect.isroutine(function) or inspect.isclass(function) else {"self": function}
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closure = {name: cell.cell_contents for name, cell in cells if not _is_empty(cell)}
    defaults = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
    return {name: value for name, value in (defaults | closure).items() if value is not None}


def _is_empty(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return True
    return False


def _text(value: Any, depth: int) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, _PLAIN):
        return f"{kind} {value!r}"
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return f"{kind} {_array(value)}"
    if depth == 0:
        return kind
    if inspect.ismodule(value) or inspect.isclass(value):
        return f"{kind} {value.__name__}"
    if callable(value) and (inspect.isroutine(value) or isinstance(value, functools.partial)):
        name = getattr(value, "__qualname__", kind)
        return f"{kind} {name} {_text(_carried(value), depth - 1)}"
    if isinstance(value, Mapping):
        return f"{kind} {sorted((_text(key, depth - 1), _text(item, depth - 1)) for key, item in value.items())}"
    if isinstance(value, list | tuple):
        return f"{kind} {[_text(item, depth - 1) for item in value]}"
    if isinstance(value, set | frozenset):
        return f"{kind} {sorted(_text(item, depth - 1) for item in value)}"
    return f"{kind} {_text(getattr(value, '__dict__', {}), depth - 1)}"


def _array(value: Any) -> str:
    """Type, shape and digest of an array; a tensor is read through its bytes, whatever its type."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    else:
        plain = np.ascontiguousarray(value)
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(plain.tobytes()).hexdigest()}"
