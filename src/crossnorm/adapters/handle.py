"""The handle of a converted model: its α, its sites and the way back.

Knows nothing of libraries beyond `crossnorm.adapters.adapter_registry`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from crossnorm.adapters.adapter_registry import adapters
from crossnorm.adapters.base import doses, remove
from crossnorm.errors import BadInput
from crossnorm.functional import Variant

__all__ = ["Alphas", "Handle"]

Alphas = float | tuple[Any, ...]
"""One α, or a tuple over the sites; where every head has its own, of tuples over heads."""


class Handle:
    """What `crossnorm.convert` gives back. A copy of a converted model has its handle too: ``Handle(copy)``.

    Args:
        model: A converted model.

    Raises:
        BadInput: The model is not converted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._doses = model, doses(model)
        self._check()

    def _check(self) -> None:
        if not self._doses:
            raise BadInput("model", "a converted model", "one that is not", "Convert it with crossnorm.convert.")

    @property
    def sites(self) -> tuple[str, ...]:
        """Paths of the converted modules, in the order of the model."""
        return tuple(self._doses)

    @property
    def variant(self) -> Variant:
        """What is done with the values, at the α it was asked for with; the dose in force is `alpha`."""
        self._check()
        return next(iter(self._doses.values())).variant

    @property
    def alpha(self) -> Alphas:
        """The dose in force: a number, or a tuple over `sites` where they differ; see `Alphas`.

        A number sets every site, a tuple each site its own; nothing is rebuilt. Learned doses can be set too.
        """
        self._check()
        values = tuple(dose.read() for dose in self._doses.values())
        alike = len(set(values)) == 1 and not isinstance(values[0], tuple)
        return values[0] if alike else values

    @alpha.setter
    def alpha(self, alpha: Alphas) -> None:
        self._check()
        found = list(self._doses.values())
        each = list(alpha) if isinstance(alpha, list | tuple) else [alpha] * len(found)
        if len(each) != len(found):
            raise BadInput("alpha", f"a number, or {len(found)} of them, one for each site", alpha)
        if len(_distinct(found)) == 1 < len(found) and len(set(each)) > 1:
            raise BadInput("alpha", "one number, since all sites share a learned one", alpha)
        numbers = [dose.checked(value) for dose, value in zip(found, each, strict=True)]  # all or none
        for dose, number in zip(found, numbers, strict=True):
            dose.write(number)

    def parameters(self) -> list[nn.Parameter]:
        """The learned doses, empty without any: give them no weight decay, which would pull α to 0."""
        return list(_distinct(self._doses.values()).values())

    def as_config(self) -> dict[str, Any]:
        """Variant and α as plain data: what `config.crossnorm` of a Hugging Face model takes."""
        variant = self.variant
        settings: dict[str, Any] = {"name": variant.name, "alpha": self.alpha}
        if variant.layers is not None:
            settings["layers"] = list(variant.layers)
        for name in ("gain", "temperature"):
            if getattr(variant, name) != 1:
                settings[name] = getattr(variant, name)
        return settings

    def restore(self) -> None:
        """Give the model back as it was: the same classes, functions and bits. The handle has no use then."""
        self._check()
        for adapter in adapters():
            adapter.undo(self._model)
        remove(self._model)
        self._doses = {}

    def __repr__(self) -> str:
        if not self._doses:
            return "Handle(restored)"
        return f"Handle({self.variant.name!r}, alpha={self.alpha}, {len(self._doses)} sites)"


def _distinct(found: Any) -> dict[int, nn.Parameter]:
    """The parameters of the doses, each once: keyed by identity."""
    return {id(dose.parameter): dose.parameter for dose in found if dose.parameter is not None}
