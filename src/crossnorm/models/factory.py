"""`create_model`: a model by name, with a variant and published weights on request."""

from __future__ import annotations

from typing import Any

from crossnorm.functional import Variant, as_variant
from crossnorm.models.compact_transformers import Model, build
from crossnorm.models.presets import configure
from crossnorm.models.published_weights import load_published
from crossnorm.models.variant_sites import add_variant, choose_sites, own_sites

__all__ = ["create_model"]


def create_model(name: str, *, pretrained: bool = False, variant: Variant | str | None = None, **config: Any) -> Model:
    """A model by name.

    Weights are drawn from torch's global generator and do not depend on the variant. A model without a variant equals
    one with any variant at α = 0 to the bit. To change α afterwards, or to remove the variant, take
    ``crossnorm.adapters.Handle(model)``. With the variant ``batch`` the logits of an example depend on the other
    examples of the batch.

    Args:
        name: One of `list_models()`.
        pretrained: Load the published weights (a download at first use).
        variant: A `Variant`, the name of one, or None.
        config: Fields of the model's configuration by keyword: `ImageConfig`, `TextConfig` or `LanguageConfig`.

    Returns:
        `CompactTransformer` (images → logits), `TextTransformer` (ids, mask → logits) or `LanguageModel`
        (ids → next-token logits), in training mode.

    Raises:
        BadInput: An unknown name or keyword, a value out of range, a site that the model does not have, or published
            weights that do not exist, cannot be fetched or do not fit.
    """
    model = build(configure(name, config))
    if variant is not None:
        variant = as_variant(variant)
        add_variant(model, choose_sites(own_sites(model), variant), variant)
    if pretrained:
        load_published(model, name)
    return model
