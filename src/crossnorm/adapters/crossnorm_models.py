"""crossnorm's own models: attention and sequence pooling that already know what a variant is.

Knows the two kinds of site of `crossnorm.models`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from crossnorm.adapters.alpha import Dose, finite
from crossnorm.adapters.base import Adapter, Place, check_forward, swap
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models import places
from crossnorm.models.layers import SelfAttention
from crossnorm.models.variant_sites import sites

__all__ = ["ADAPTER"]


class _Dosed:
    """Reads variant and α from the dose instead of the attributes that `crossnorm.models` keeps."""

    if TYPE_CHECKING:
        crossnorm: Dose

    @property
    def variant(self) -> Variant | None:
        return self.crossnorm.variant

    @variant.setter
    def variant(self, variant: Variant | None) -> None:
        raise BadInput("model", "one that is not converted", "a converted one", "Call handle.restore() first.")

    @property
    def alpha(self) -> float | Tensor:
        return self.crossnorm.value() if self.crossnorm.active else 0.0

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.crossnorm.write(self.crossnorm.checked(finite("alpha", alpha)))


def _find(model: nn.Module) -> list[Place]:
    taken = sites(model)
    if taken:
        hint = "Build it with variant=None, or take it away with crossnorm.models.place(model, None)."
        raise BadInput("model", "one without a variant", f"a variant at {', '.join(taken)}", hint)
    for path, module in places(model):
        check_forward(path, module)
    return [
        Place(path=path or type(model).__name__, module=module, heads=module.heads)
        if isinstance(module, SelfAttention)
        else Place(path=path or type(model).__name__, module=module, heads=1, kind="pool")
        for path, module in places(model)
    ]


def _install(model: nn.Module, found: list[Place]) -> None:
    for place in found:
        swap(place.module, _Dosed)


ADAPTER = Adapter(find=_find, install=_install)
