"""The handle of a model with a variant: reads and sets its α, lists its sites, removes the variant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from crossnorm.adapters.base import loaded_adapters, remove
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models.site_alpha import SiteAlpha, site_alphas

__all__ = ["Alphas", "Handle", "find_handle"]

Alphas = float | tuple[Any, ...]
"""One α, or a tuple over the sites; with one α per head, a tuple of tuples."""


class Handle:
    """Reads and sets α of a model with a variant; `crossnorm.convert` returns one.

    ``Handle(model)`` is the handle of any model that was converted, built with a variant, or copied from such a model.

    Args:
        model: A model with a variant.

    Raises:
        BadInput: The model has none.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._alphas = model, site_alphas(model)
        self._check()

    def _check(self) -> None:
        if not self._alphas:
            raise BadInput.because("model", "it has no variant", "Convert it with crossnorm.convert.")

    @property
    def sites(self) -> tuple[str, ...]:
        """Paths of the modules at which the variant acts, in the order of the model."""
        return tuple(self._alphas)

    @property
    def variant(self) -> Variant:
        """The variant as it was requested. Its own α is the one it started at; the α in force is `alpha`."""
        self._check()
        return next(iter(self._alphas.values())).variant

    @property
    def alpha(self) -> Alphas:
        """The α in force: a number, or a tuple over `sites` if they differ; see `Alphas`.

        Setting a number sets all sites, a tuple sets each to its own. A learned α can be set too.
        """
        self._check()
        values = tuple(alpha.read() for alpha in self._alphas.values())
        alike = len(set(values)) == 1 and not isinstance(values[0], tuple)
        return values[0] if alike else values

    @alpha.setter
    def alpha(self, alpha: Alphas) -> None:
        self._check()
        found = list(self._alphas.values())
        each = list(alpha) if isinstance(alpha, list | tuple) else [alpha] * len(found)
        if len(each) != len(found):
            raise BadInput("alpha", f"a number, or {len(found)} of them, one for each site", alpha)
        if len(_parameters(found)) == 1 < len(found) and len(set(each)) > 1:
            raise BadInput("alpha", "one number, since all sites share a learned one", alpha)
        numbers = [site.checked(value) for site, value in zip(found, each, strict=True)]  # all, before any is set
        for site, number in zip(found, numbers, strict=True):
            site.write(number)

    def parameters(self) -> list[nn.Parameter]:
        """The learned α; empty if α is not learned. Train them without weight decay, which would pull α to 0."""
        return _parameters(self._alphas.values())

    def as_config(self) -> dict[str, Any]:
        """Variant and α as plain data, for `config.crossnorm` of a Hugging Face model."""
        variant = self.variant
        settings: dict[str, Any] = {"name": variant.name, "alpha": self.alpha}
        if variant.layers is not None:
            settings["layers"] = list(variant.layers)
        for name in ("gain", "temperature"):
            if getattr(variant, name) != 1:
                settings[name] = getattr(variant, name)
        return settings

    def restore(self) -> None:
        """Remove the variant: the model has its former classes, functions and bits. The handle cannot be used again."""
        self._check()
        remove(self._model)
        for adapter in loaded_adapters():
            adapter.undo(self._model)
        self._alphas = {}

    def __repr__(self) -> str:
        if not self._alphas:
            return "Handle(restored)"
        return f"Handle({self.variant.name!r}, alpha={self.alpha}, {len(self._alphas)} sites)"


def find_handle(model: nn.Module) -> Handle | None:
    """The handle of the model; None if it has no variant."""
    return Handle(model) if site_alphas(model) else None


def _parameters(alphas: Iterable[SiteAlpha]) -> list[nn.Parameter]:
    """The learned parameters, each once."""
    return list({id(p): p for p in (alpha.parameter for alpha in alphas) if p is not None}.values())
