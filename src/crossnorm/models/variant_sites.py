"""Sites: the modules at which a variant can act, and how a variant is added at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models.layers import SelfAttention, SequencePool
from crossnorm.models.site_alpha import ATTRIBUTE, SiteAlpha

__all__ = ["Site", "add_variant", "choose_sites", "own_sites"]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A module at which a variant can act.

    Attributes:
        path: Its path in the model; the name of its class for the model itself.
        module: The module.
        heads: Number of query heads; 0: unknown.
        kind: ``"attention"`` or ``"pool"``.
    """

    path: str
    module: nn.Module
    heads: int
    kind: str = "attention"


def own_sites(model: nn.Module) -> list[Site]:
    """The attention and sequence pooling layers of a crossnorm model, in the order of the forward pass."""
    sites = []
    for path, module in model.named_modules():
        path = path or type(module).__name__
        if isinstance(module, SelfAttention):
            sites.append(Site(path=path, module=module, heads=module.heads))
        elif isinstance(module, SequencePool):
            sites.append(Site(path=path, module=module, heads=1, kind="pool"))
    return sites


def choose_sites(sites: Sequence[Site], variant: Variant) -> list[Site]:
    """Those sites of a model at which the variant acts.

    Raises:
        BadInput: The model has no such site, or a layer is out of range.
    """
    kinds = ("attention", "pool") if variant.site == "both" else (variant.site,)
    acting = [site for site in sites if site.kind in kinds]
    if not acting:
        hint = "The site 'pool' is sequence pooling, which CCT and CVT models have."
        raise BadInput("Variant.site", "a site that the model has", variant.site, hint)
    if variant.layers is None:
        return acting
    attention = [site for site in acting if site.kind == "attention"]
    if not attention:
        raise BadInput.because("Variant.layers", "cannot be used with the site 'pool', which has no layers")
    outside = [layer for layer in variant.layers if layer >= len(attention)]
    if outside:
        raise BadInput("Variant.layers", f"indices of attention sites, 0 to {len(attention) - 1}", outside)
    chosen = {attention[layer].path for layer in variant.layers}
    return [site for site in acting if site.kind == "pool" or site.path in chosen]


def add_variant(model: nn.Module, sites: Sequence[Site], variant: Variant, *, learnable: str | None = None) -> None:
    """Add the variant at the sites: at its α, or at 0 if α is learned.

    Args:
        model: Gives the device of modules without parameters.
        sites: See `choose_sites`.
        variant: The variant.
        learnable: None, ``"model"``, ``"layer"`` or ``"head"``: what has a learned α of its own.

    Raises:
        BadInput: A learned α per head where the number of heads is unknown.
    """
    for site, alpha in zip(sites, _alphas(sites, variant, learnable), strict=True):
        if learnable is None:
            alpha.write(variant.alpha)
        site.module.add_module(ATTRIBUTE, alpha.to(_device(site.module, model)))


def _alphas(sites: Sequence[Site], variant: Variant, learnable: str | None) -> list[SiteAlpha]:
    if learnable is None:
        return [SiteAlpha(variant) for _ in sites]
    if learnable == "head":
        unknown = next((site.path for site in sites if not site.heads), None)
        if unknown is not None:
            raise BadInput("learnable", "model or layer where the number of heads is unknown", f"head at {unknown}")
        return [SiteAlpha(variant, learned=(site.heads,)) for site in sites]
    if learnable == "layer":
        return [SiteAlpha(variant, learned=()) for _ in sites]
    first = SiteAlpha(variant, learned=())
    return [first, *(SiteAlpha(variant, learned=(), owner=first) for _ in sites[1:])]


def _device(*modules: nn.Module) -> torch.device:
    """The device of the first parameter found in the modules."""
    return next((p.device for module in modules for p in module.parameters()), torch.device("cpu"))
