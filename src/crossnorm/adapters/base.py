"""What every adapter builds on: `Adapter`, the list of adapters, and changing a module's class in place."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import nn

from crossnorm.errors import BadInput
from crossnorm.models.site_alpha import ATTRIBUTE, SiteAlpha
from crossnorm.models.variant_sites import Site

__all__ = ["Adapter", "check_forward", "loaded_adapters", "remove", "swap", "uses"]

# A model of a library exists only if the library is loaded, so nothing is imported to look for one.
_MODULES = {
    "torch": "crossnorm.adapters.torch_nn",
    "crossnorm": "crossnorm.adapters.crossnorm_models",
    "timm": "crossnorm.adapters.timm_vit",
    "transformers": "crossnorm.adapters.hf_attention",
}


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How the models of one library are converted.

    Attributes:
        find: Every site in a model; raises `BadInput` if it computes attention in an unknown way.
        install: Makes the sites read their `SiteAlpha`, which they have by then.
        undo: What is left to restore after `remove`.
    """

    find: Callable[[nn.Module], list[Site]]
    install: Callable[[nn.Module, list[Site]], None] = lambda model, sites: None
    undo: Callable[[nn.Module], None] = lambda model: None


def loaded_adapters() -> list[Adapter]:
    """The adapters of every library that is loaded."""
    return [import_module(module).ADAPTER for library, module in _MODULES.items() if library in sys.modules]


def swap(module: nn.Module, mixin: type) -> None:
    """Put the mixin before the module's class: its methods and properties win; the module's contents stay."""
    module.__class__ = _swapped(type(module), mixin)  # type: ignore[arg-type]


def check_forward(path: str, module: nn.Module) -> None:
    """Check that the module uses the forward of its class, which `swap` relies on.

    Raises:
        BadInput: Its forward was replaced on the instance, as libraries do that split a model over several devices.
    """
    if "forward" in vars(module):
        raise BadInput.because(path, "cannot be converted: its forward was replaced on the instance")


def remove(model: nn.Module) -> None:
    """Delete every `SiteAlpha` and give every module its own class back."""
    for module in model.modules():
        if isinstance(getattr(module, ATTRIBUTE, None), SiteAlpha):
            delattr(module, ATTRIBUTE)
        module.__class__ = getattr(type(module), "__crossnorm_base__", type(module))


def uses(cls: type, names: Iterable[str]) -> bool:
    """Whether code of the class, or of its bases below `nn.Module`, mentions one of the names."""
    wanted = set(names)
    own = [c for c in cls.__mro__ if issubclass(c, nn.Module) and c is not nn.Module]
    return any(wanted & _names(member) for c in own for member in vars(c).values())


def _names(member: object) -> set[str]:
    code = getattr(inspect.unwrap(member) if callable(member) else member, "__code__", None)
    return set() if code is None else set(code.co_names)


@functools.cache
def _swapped(base: type, mixin: type) -> type:
    body = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__crossnorm_base__": base,
        "__reduce__": lambda self: (_empty, (base, mixin), self.__getstate__()),
    }
    return type(base.__name__, (mixin, base), body)


def _empty(base: type, mixin: type) -> Any:
    """An empty instance, which copy and pickle fill."""
    cls = _swapped(base, mixin)
    return cls.__new__(cls)  # type: ignore[call-overload]
