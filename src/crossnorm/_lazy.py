"""Names of a package that are imported on first use, so that what needs no torch never imports it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["TORCH_EXTRA", "lazy", "needs_torch"]

TORCH_EXTRA = ("torch", "torchvision", "safetensors", "sklearn", "mnist1d")
"""What the extra ``torch`` installs."""

_EXTRAS = {"torch": TORCH_EXTRA, "hf": ("accelerate", "transformers"), "lightning": ("lightning",)}
"""Libraries by extra."""


def lazy(package: str, home: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    Args:
        package: Its name.
        home: The module of every public name.

    Raises:
        ImportError: When a name is used that needs the library of an extra, and it is not installed.
    """

    def find(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(home[name]), name)
        except ImportError as error:
            reason = next(filter(None, (_needs(extra, error) for extra in _EXTRAS)), None)
            if reason is None:
                raise
            raise ImportError(f"{package}.{name} {reason}", name=error.name) from None
        setattr(sys.modules[package], name, value)
        return value

    return find


def needs_torch(error: ImportError) -> str:
    """What to say if a library of the extra ``torch`` is missing; empty for any other import error."""
    return _needs("torch", error)


def _needs(extra: str, error: ImportError) -> str:
    missing = (error.name or "").partition(".")[0]
    if missing not in _EXTRAS[extra]:
        return ""
    return f"needs {missing}, which is not installed: pip install 'crossnorm[{extra}]'"
