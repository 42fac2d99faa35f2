"""Where a variant can act in somebody else's model, and how a module is exchanged in place.

What every adapter builds on: `Place`, `Adapter`, and a class that is swapped under a module without touching its
weights. Knows no library.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from crossnorm.adapters.alpha import Dose
from crossnorm.errors import BadInput

__all__ = ["DOSE", "Adapter", "Place", "check_forward", "doses", "remove", "swap", "uses"]

DOSE = "crossnorm"
"""Under this name a converted module carries its `Dose`."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A module at which a variant can act.

    Attributes:
        path: Its path in the model; the class's name for the model itself.
        module: The module.
        heads: Attention heads, of the queries; 0: unknown.
        kind: ``"attention"`` or ``"pool"``.
    """

    path: str
    module: nn.Module
    heads: int
    kind: str = "attention"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How the models of one library are converted.

    Attributes:
        find: Every place in a model; raises `BadInput` where attention is computed in a way it does not know.
        install: Makes the places obey the doses that they carry; called once they all carry one.
        undo: What removing the doses and the swapped classes leaves to be done.
    """

    find: Callable[[nn.Module], list[Place]]
    install: Callable[[nn.Module, list[Place]], None]
    undo: Callable[[nn.Module], None] = lambda model: None


def doses(model: nn.Module) -> dict[str, Dose]:
    """Every dose in the model under the path of the module that carries it."""
    carriers = ((path, getattr(module, DOSE, None)) for path, module in model.named_modules())
    return {path or type(model).__name__: dose for path, dose in carriers if isinstance(dose, Dose)}


def swap(module: nn.Module, mixin: type) -> None:
    """Let the mixin's methods and properties go before the module's own class; its contents stay as they are."""
    module.__class__ = _swapped(type(module), mixin)  # type: ignore[arg-type]


def check_forward(path: str, module: nn.Module) -> None:
    """Refuse a module whose forward was replaced on the instance: a swapped class would never be asked.

    Raises:
        BadInput: It was, as by libraries that place a model on several devices.
    """
    if "forward" in vars(module):
        raise BadInput(path, "a module that uses its class's forward", "one that was replaced on the instance")


def remove(model: nn.Module) -> None:
    """Take every dose away and give every module its own class back."""
    for module in model.modules():
        if isinstance(getattr(module, DOSE, None), Dose):
            delattr(module, DOSE)
        module.__class__ = getattr(type(module), "__crossnorm_base__", type(module))


def uses(cls: type, names: Iterable[str]) -> bool:
    """Whether a method of the class, or of one it inherits from below `nn.Module`, speaks one of the names."""
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
    """For copying and pickling: an instance to be filled."""
    cls = _swapped(base, mixin)
    return cls.__new__(cls)  # type: ignore[call-overload]
