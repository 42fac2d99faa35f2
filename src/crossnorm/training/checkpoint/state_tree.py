"""Nested Python state as tensors and plain JSON, and back: what `run.save` takes.

Dicts, lists, tuples, numbers, text, None, torch tensors and numpy arrays. Everything else is refused by name: what is
read back later must never be able to run code. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossnorm.errors import BadInput

__all__ = ["flatten", "restore"]

_PLAIN = (type(None), bool, int, str)
_ADVICE = {
    True: "Save what its state_dict() returns.",
    False: "Dicts, lists, tuples, numbers, text, None, tensors and arrays can be stored.",
}


def flatten(value: object, name: str = "state", prefix: str = "") -> tuple[Any, dict[str, Tensor]]:
    """The value's shape as JSON, and its tensors by the names that stand in it.

    Args:
        value: Nested dicts (keys: text, numbers, None), lists and tuples of numbers, text, None, tensors, arrays.
        name: What the value is called in errors.
        prefix: Begins the tensors' names, where several values share a file.

    Raises:
        BadInput: Something that cannot be stored; the name says where in the value it is.
    """
    tensors: dict[str, Tensor] = {}
    shape = _flat(value, name, tensors, prefix)
    return shape, tensors


def restore(shape: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `flatten` took apart."""
    kind, content = next(iter(shape.items())) if isinstance(shape, dict) else ("plain", shape)
    if kind == "float":
        return float(content)
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return tensors[content].numpy()
    if kind == "dict":
        return {restore(key, tensors): restore(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [restore(item, tensors) for item in content]
        return items if kind == "list" else tuple(items)
    return content


def _flat(value: object, name: str, tensors: dict[str, Tensor], prefix: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in _PLAIN:
        return value
    if type(value) is float:
        return {"float": repr(value)}  # JSON knows neither nan nor infinity
    if isinstance(value, dict):
        return {
            "dict": [[_key(key, name), _flat(item, f"{name}[{key!r}]", tensors, prefix)] for key, item in value.items()]
        }
    if type(value) in (list, tuple):
        items: Sequence[object] = value  # type: ignore[assignment]
        return {type(value).__name__: [_flat(item, f"{name}[{i}]", tensors, prefix) for i, item in enumerate(items)]}
    kind, tensor = _tensor(value, name)
    place = f"{prefix}{len(tensors)}"
    tensors[place] = tensor
    return {kind: place}


def _key(key: object, name: str) -> Any:
    if type(key) not in (*_PLAIN, float):
        raise BadInput(f"a key of {name}", "text, a number or None", type(key).__name__)
    return _flat(key, name, {}, "")


def _tensor(value: object, name: str) -> tuple[str, Tensor]:
    if isinstance(value, Tensor) and value.layout is torch.strided and not value.is_quantized:
        return "tensor", value.resolve_conj().resolve_neg()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        try:
            return "array", torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
        except TypeError:
            pass
    advice = _ADVICE[hasattr(value, "state_dict")]
    raise BadInput(name, "something that can be stored without pickle", _what(value), advice)


def _what(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of layout {value.layout}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"an object of type {type(value).__module__}.{type(value).__qualname__}"
