"""`convert`: puts a variant into an existing model."""

from __future__ import annotations

from torch import nn

from crossnorm.adapters.base import loaded_adapters
from crossnorm.adapters.handle import Handle
from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant, as_variant
from crossnorm.models.site_alpha import site_alphas
from crossnorm.models.variant_sites import Site, add_variant, choose_sites

__all__ = ["LEARNABLE", "convert"]

LEARNABLE = ("model", "layer", "head")


def convert(model: nn.Module, variant: Variant | str, *, learnable: str | None = None) -> Handle:
    """Put a variant into a pretrained Transformer, in place. Its α can be changed at any time.

    Takes any module that contains Hugging Face models which use the attention interface, timm vision transformers,
    ``torch.nn.MultiheadAttention`` (so ``TransformerEncoder`` and ``TransformerDecoder``) or crossnorm's own models:
    encoders, causal decoders with their caches, encoder-decoders, cross-attention, grouped queries. If a model computes
    attention in any other way, an error names the class before anything is changed.

    At α = 0 the original function is called, so the bits are the same in training and evaluation, under autocast,
    gradient checkpointing and ``torch.compile`` (which recompiles once when α leaves 0, but not for another α). The
    weights and the keys of the state dict do not change. At any other α attention is computed as by
    `crossnorm.attention`. This reads masks and values on the host, so a compiled graph breaks there and
    ``fullgraph=True`` fails.

    A learned α starts at 0, whatever the variant's own, and stays in [0, 1] (see
    `crossnorm.models.site_alpha.projected`); that of ``additive`` is unbounded. The variant is then computed at α = 0
    too, so that α gets a gradient, and α is part of the state dict.

    Args:
        model: Changed in place; ``handle.restore()`` undoes it.
        variant: A `Variant` or the name of one (α = 1). Its `layers` are indices among the model's attention sites,
            in the order of its modules.
        learnable: What gets a learned α of its own: ``"model"``, ``"layer"`` or ``"head"``; None: α is not learned.

    Returns:
        The `Handle`: `alpha`, `sites`, `parameters`, `restore`.

    Raises:
        BadInput: A model without attention, with attention of an unknown kind, or converted already; a site or a
            layer that the model does not have.

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
    found = [(adapter, adapter.find(model)) for adapter in loaded_adapters()]
    chosen = choose_sites(_in_order(model, [site for _, sites in found for site in sites]), variant)
    add_variant(model, chosen, variant, learnable=learnable)
    paths = {site.path for site in chosen}
    for adapter, sites in found:
        adapter.install(model, [site for site in sites if site.path in paths])
    return Handle(model)


def _in_order(model: nn.Module, sites: list[Site]) -> list[Site]:
    """The sites in the order of the model's modules."""
    if not sites:
        hint = "Supported: Hugging Face (through its attention interface), timm, torch.nn and crossnorm."
        raise BadInput.because("model", f"no supported attention in {type(model).__name__}", hint)
    order = {id(module): index for index, module in enumerate(model.modules())}
    return sorted(sites, key=lambda site: order[id(site.module)])


def _check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise BadInput("model", "a torch.nn.Module", type(model).__name__)
    converted = list(site_alphas(model))
    if converted:
        hint = "Set handle.alpha, or call handle.restore() first; Handle(model) gives the handle."
        raise BadInput.because("model", f"already converted: it has a variant at {converted[0]}", hint)
