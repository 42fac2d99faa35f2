"""Where a variant acts in a model, and its dose there.

Knows the two kinds of site; knows nothing of what a variant does.
"""

from __future__ import annotations

import math

from torch import nn

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant
from crossnorm.models.layers import SelfAttention, SequencePool

__all__ = ["place", "places", "set_alpha", "sites"]

Site = SelfAttention | SequencePool
_KINDS: dict[str, tuple[type[Site], ...]] = {
    "attention": (SelfAttention,),
    "pool": (SequencePool,),
    "both": (SelfAttention, SequencePool),
}


def sites(model: nn.Module) -> list[str]:
    """The module paths at which the model's variant acts; empty without a variant."""
    return [path for path, module in places(model) if module.variant is not None]


def set_alpha(model: nn.Module, alpha: float) -> None:
    """Set the dose at every acting site.

    Raises:
        BadInput: α is not a finite number, or not 0 in a model without a variant.
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise BadInput("alpha", "a finite number", alpha)
    acting = [module for _, module in places(model) if module.variant is not None]
    if not acting and alpha != 0:
        raise BadInput("alpha", "0 in a model without a variant", alpha)
    for module in acting:
        module.alpha = float(alpha)


def place(model: nn.Module, variant: Variant | str | None) -> None:
    """Put the variant, with its α, at the sites it names, and take away what stood anywhere before.

    Args:
        model: Any model of `create_model`.
        variant: A variant, the name of one (its defaults), or None.

    Raises:
        BadInput: The model lacks the site, or a layer is out of range.
    """
    variant = Variant(name=variant) if isinstance(variant, str) else variant
    chosen = [] if variant is None else _chosen(model, variant)
    for _, module in places(model):
        module.variant, module.alpha = None, 0.0
    for module in chosen:
        assert variant is not None
        module.variant, module.alpha = variant, float(variant.alpha)


def _chosen(model: nn.Module, variant: Variant) -> list[Site]:
    if variant.site not in _KINDS:
        raise unknown_name("site", variant.site, _KINDS)
    found = [module for _, module in places(model) if isinstance(module, _KINDS[variant.site])]
    if not found:
        raise BadInput("site", "a site that the model has", variant.site, "Only sequence pooling is a pool site.")
    if variant.layers is None:
        return found
    if variant.site == "pool":
        raise BadInput("layers", "None at the site 'pool', which has no layers", variant.layers)
    attention = [module for module in found if isinstance(module, SelfAttention)]
    outside = [layer for layer in variant.layers if not 0 <= layer < len(attention)]
    if outside:
        raise BadInput("layers", f"indices of attention sites, 0 to {len(attention) - 1}", outside)
    kept = {id(attention[layer]) for layer in variant.layers}
    return [module for module in found if isinstance(module, SequencePool) or id(module) in kept]


def places(model: nn.Module) -> list[tuple[str, Site]]:
    """Every module at which a variant could act, with its path, in the order of the forward pass."""
    return [(path, module) for path, module in model.named_modules() if isinstance(module, Site)]
