"""Which adapters there are, each loaded only if its library is.

Knows the names of the libraries and nothing else of them.
"""

from __future__ import annotations

import sys
from importlib import import_module

from crossnorm.adapters.base import Adapter

__all__ = ["adapters"]

# A model of a library cannot exist before the library is imported, so nothing has to be imported to look for one.
_MODULES = {
    "torch": "crossnorm.adapters.torch_nn",
    "crossnorm": "crossnorm.adapters.crossnorm_models",
    "timm": "crossnorm.adapters.timm_vit",
    "transformers": "crossnorm.adapters.hf_attention",
}


def adapters() -> list[Adapter]:
    """The adapters of every library that is loaded."""
    return [import_module(module).ADAPTER for library, module in _MODULES.items() if library in sys.modules]
