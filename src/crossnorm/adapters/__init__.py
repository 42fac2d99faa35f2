"""`convert` puts a variant into a model of any library and returns a handle that sets α.

One adapter each for Hugging Face, timm, torch.nn and crossnorm's own models, loaded only if its library is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.adapters.conversion import convert as convert
    from crossnorm.adapters.handle import Handle as Handle
    from crossnorm.adapters.handle import find_handle as find_handle

_HOME = {
    "Handle": "crossnorm.adapters.handle",
    "convert": "crossnorm.adapters.conversion",
    "find_handle": "crossnorm.adapters.handle",
}

__all__ = ["Handle", "convert", "find_handle"]

__getattr__ = lazy(__name__, _HOME)
