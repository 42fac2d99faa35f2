"""Refuse a Hugging Face folder that asks for code which transformers does not contain, before anything is loaded.

Code of the model's own (``auto_map``) is another matter: it is never run, since every loader gets
``trust_remote_code=False``; the class of the same architecture in transformers is used where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossnorm.errors import BadInput

__all__ = ["refuse_foreign_code"]

_FILES = ("config.json", "tokenizer_config.json")
_BUILT_IN = {
    "attn_implementation": ("eager", "flex_attention", "sdpa"),
    "experts_implementation": ("batched_mm", "eager", "grouped_mm"),
}
"""What transformers computes itself; any other name may be fetched from the hub."""

_REFUSED = {
    "configuration_files": "one configuration, config.json",
    "fast_tokenizer_files": "one tokenizer",
    "kernel_config": "no kernels from a hub",
    "quantization_config": "weights that are not quantized",
    "use_kernels": "no kernels from a hub",
}

_MOST_LAYERS = 1000

_HINT = "Remove it from the file if the model works without it, or choose another model."


def refuse_foreign_code(folder: Path) -> None:
    """Check that the configuration of a model and of its tokenizer ask for no kernels or weights from elsewhere.

    And that the model is of a size that can be built.

    Args:
        folder: As `save_pretrained` writes it. A file that cannot be read is left to transformers.

    Raises:
        BadInput: An attention implementation or a kernel that is not built in, quantized
            weights (whose kernels come from a hub), or weights on top of another model.
    """
    if (folder / "adapter_config.json").exists():
        raise BadInput("model.from", "a model", f"{folder}, which has an adapter for another one (adapter_config.json)")
    for name in _FILES:
        try:
            content = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        for key, value in _entries(content):
            if "layers" in key and isinstance(value, int | float) and value > _MOST_LAYERS:
                raise BadInput(f"{folder / name}: {key}", f"at most {_MOST_LAYERS}", value)
            _check(f"{folder / name}: {key}", key, value)


def _check(where: str, key: str, value: Any) -> None:
    if key in _REFUSED and value:
        raise BadInput(where, _REFUSED[key], value, _HINT)
    known = _BUILT_IN.get(key.removeprefix("_").removesuffix("_internal"))
    if known is None:
        return
    for name in value.values() if isinstance(value, dict) else [value]:
        if name is not None and name not in known:
            raise BadInput(where, "one of " + ", ".join(known), name, _HINT)


def _entries(content: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a JSON document, at every depth."""
    waiting = [content]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield from found.items()
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
