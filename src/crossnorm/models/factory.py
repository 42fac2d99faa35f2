"""`create_model`: from a name to a model, with its variant and, if asked, its published weights.

Knows presets, models, sites and weights; knows nothing of training.
"""

from __future__ import annotations

from typing import Any

from crossnorm.functional import Variant
from crossnorm.models.compact_transformers import Model, build
from crossnorm.models.presets import configure
from crossnorm.models.published_weights import load_published
from crossnorm.models.variant_sites import place

__all__ = ["create_model"]


def create_model(name: str, *, pretrained: bool = False, variant: Variant | str | None = None, **config: Any) -> Model:
    """A model by name.

    Weights are drawn from torch's global generator, the same ones for every variant; without a variant the model
    computes, to the bit, what it computes with any variant at α = 0. The variant ``batch`` normalises over the
    batch: the logits of an example then depend on the others beside it.

    Args:
        name: One of `list_models()`.
        pretrained: Load the published weights (a download at first use).
        variant: A `Variant`, the name of one, or None.
        config: Fields of the model's configuration by keyword: `ImageConfig`, `TextConfig` or `LanguageConfig`.

    Returns:
        `CompactTransformer` (images → logits), `TextTransformer` (ids, mask → logits) or `LanguageModel`
        (ids → next-token logits), in training mode.

    Raises:
        BadInput: Unknown name or keyword, a value out of range, a site that the model has not, weights that do
            not exist, cannot be fetched or do not fit.
    """
    model = build(configure(name, config))
    place(model, variant)
    if pretrained:
        load_published(model, name)
    return model
