"""Convert nested Python state, the argument of `run.save`, to tensors and JSON, and back.

Supports dicts, lists, tuples, numbers, text, None, torch tensors and numpy arrays. Anything else is an error, so that
loading never executes code.
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
    True: "Save its state_dict() instead.",
    False: "Supported are dicts, lists, tuples, numbers, text, None, tensors and arrays.",
}


def flatten(value: object, name: str = "state", prefix: str = "") -> tuple[Any, dict[str, Tensor]]:
    """The structure of a value as JSON, and its tensors by the names used there.

    Args:
        value: Nested dicts (keys: text, numbers, None), lists and tuples of numbers, text, None, tensors, arrays.
        name: Of the value, for errors.
        prefix: Of the tensor names, if several values share a file.

    Raises:
        BadInput: An unsupported type; the message contains its path in the value.
    """
    tensors: dict[str, Tensor] = {}
    structure = _flat(value, name, tensors, prefix)
    return structure, tensors


def restore(structure: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `flatten`."""
    kind, content = next(iter(structure.items())) if isinstance(structure, dict) else ("plain", structure)
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
        return {"float": repr(value)}  # JSON has neither nan nor infinity
    if isinstance(value, dict):
        return {
            "dict": [[_key(key, name), _flat(item, f"{name}[{key!r}]", tensors, prefix)] for key, item in value.items()]
        }
    if type(value) in (list, tuple):
        items: Sequence[object] = value  # type: ignore[assignment]
        return {type(value).__name__: [_flat(item, f"{name}[{i}]", tensors, prefix) for i, item in enumerate(items)]}
    kind, tensor = _tensor(value, name)
    key = f"{prefix}{len(tensors)}"
    tensors[key] = tensor
    return {kind: key}


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
    raise BadInput(name, "a value that can be stored without pickle", _description(value), advice)


def _description(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of layout {value.layout}"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"an object of type {type(value).__module__}.{type(value).__qualname__}"
