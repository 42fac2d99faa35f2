"""`convert`: puts a variant into a model that somebody else built.

Chooses among the places that the adapters find; knows no library itself.
"""

from __future__ import annotations

import torch
from torch import nn

from crossnorm.adapters.adapter_registry import adapters
from crossnorm.adapters.alpha import Dose
from crossnorm.adapters.base import DOSE, Place, doses
from crossnorm.adapters.handle import Handle
from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant, as_variant

__all__ = ["LEARNABLE", "convert"]

LEARNABLE = ("model", "layer", "head")


def convert(model: nn.Module, variant: Variant | str, *, learnable: str | None = None) -> Handle:
    """Put a variant into a pretrained Transformer, in place; its α can be turned at any time.

    Takes any module that contains Hugging Face models which honour the attention interface, timm vision
    transformers, ``torch.nn.MultiheadAttention`` (so ``TransformerEncoder``, ``TransformerDecoder``) or crossnorm's
    own models: encoders, causal decoders with their caches, encoder-decoders, cross-attention, grouped queries.
    Attention that is computed in another way is refused by its class's name, before anything is changed.

    At α = 0 the original function is called, hence the same bits in training and evaluation, under autocast,
    gradient checkpointing and ``torch.compile`` (which compiles anew once, when α leaves 0, and not for another α).
    Weights and state dict stay as they are. Elsewhere attention is computed openly, as `crossnorm.attention` does; it
    looks at masks and values, so a compiled graph breaks there (``fullgraph=True`` will not do).

    A learned α starts at 0, whatever the variant's own: one for the whole model, one for each site or one for each
    head. It stays in [0, 1] (see `crossnorm.adapters.alpha.projected`); with ``additive`` it is free. The variant is
    then computed at α = 0 too, so that a gradient flows, and α is part of the state dict.

    Args:
        model: Changed in place; ``handle.restore()`` gives it back as it was.
        variant: A `Variant` (its α is the first dose, its `layers` are indices among the model's attention sites,
            in the order of its modules), or the name of one (α = 1).
        learnable: None, ``"model"``, ``"layer"`` or ``"head"``.

    Returns:
        The `Handle`: `alpha`, `sites`, `parameters`, `restore`.

    Raises:
        BadInput: A model with nothing to convert, with attention of an unknown kind, or converted already; a site
            or a layer that the model has not.

    Example:
        >>> import torch, crossnorm
        >>> layer = torch.nn.TransformerEncoderLayer(d_model=8, nhead=2, batch_first=True).eval()
        >>> handle = crossnorm.convert(layer, crossnorm.Variant(name="convex", alpha=0.0))
        >>> handle.sites
        ('self_attn',)
        >>> handle.alpha = 0.5
    """
    variant = as_variant(variant)
    if learnable is not None and learnable not in LEARNABLE:
        raise unknown_name("learnable", learnable, LEARNABLE)
    _check_model(model)
    found = [(adapter, adapter.find(model)) for adapter in adapters()]
    chosen = _chosen(model, [place for _, places in found for place in places], variant)
    for place, dose in zip(chosen, _doses(chosen, variant, learnable), strict=True):
        place.module.add_module(DOSE, dose.to(_device(place.module, model)))
    kept = {place.path for place in chosen}
    for adapter, places in found:
        adapter.install(model, [place for place in places if place.path in kept])
    handle = Handle(model)
    if learnable is None:
        handle.alpha = variant.alpha
    return handle


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise BadInput("model", "a torch.nn.Module", type(model).__name__)
    converted = list(doses(model))
    if converted:
        hint = "Set handle.alpha, or call handle.restore() before converting anew; Handle(model) finds the handle."
        raise BadInput("model", "one that is not converted yet", f"a variant at {converted[0]}", hint)


def _chosen(model: nn.Module, found: list[Place], variant: Variant) -> list[Place]:
    """The places at which the variant is to act, in the order of the model's modules."""
    order = {id(module): index for index, module in enumerate(model.modules())}
    found = sorted(found, key=lambda place: order[id(place.module)])
    if not found:
        raise BadInput(
            "model",
            "attention of Hugging Face (through its attention interface), timm, torch.nn or crossnorm",
            f"none in {type(model).__name__}",
        )
    kinds = ("attention", "pool") if variant.site == "both" else (variant.site,)
    acting = [place for place in found if place.kind in kinds]
    if not acting:
        raise BadInput("Variant.site", "a site that the model has", variant.site, "Only sequence pooling is a pool.")
    if variant.layers is None:
        return acting
    attention = [place for place in acting if place.kind == "attention"]
    outside = [layer for layer in variant.layers if layer >= len(attention)]
    if outside or not attention:
        expected = f"indices of attention sites, 0 to {len(attention) - 1}" if attention else "None at this site"
        raise BadInput("Variant.layers", expected, outside or variant.layers)
    kept = {attention[layer].path for layer in variant.layers}
    return [place for place in acting if place.kind == "pool" or place.path in kept]


def _device(*modules: nn.Module) -> torch.device:
    """Where the first parameter of the first module that has any lies."""
    return next((p.device for module in modules for p in module.parameters()), torch.device("cpu"))


def _doses(chosen: list[Place], variant: Variant, learnable: str | None) -> list[Dose]:
    if learnable is None:
        return [Dose(variant) for _ in chosen]
    if learnable == "head":
        unknown = next((place.path for place in chosen if not place.heads), None)
        if unknown is not None:
            raise BadInput("learnable", "model or layer where the number of heads is unknown", f"head at {unknown}")
        return [Dose(variant, learned=(place.heads,)) for place in chosen]
    if learnable == "layer":
        return [Dose(variant, learned=()) for _ in chosen]
    first = Dose(variant, learned=())
    return [first, *(Dose(variant, learned=(), owner=first) for _ in chosen[1:])]
