"""Variant and α in the configuration of a Hugging Face model, as plain data.

    config.crossnorm = {"name": "convex", "alpha": 0.5, "layers": [0, 2], "gain": 1.0, "temperature": 1.0}

Only the name is required.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Mixing, Variant
from crossnorm.functional.variant import finite

__all__ = ["configured"]

_FIELDS = ("name", "alpha", "layers", "gain", "temperature")


def configured(module: nn.Module) -> tuple[Mixing, float | Tensor]:
    """How an attention module mixes, and its α: 0 in a layer that ``config.crossnorm`` does not list.

    In the configuration, α is a number, or a list with one entry for each of `layers` (or for every layer); an entry
    may be a list over heads. Layers are identified by ``module.layer_idx``.

    Raises:
        BadInput: No settings, an unknown one, or settings by layer in a model without layer numbers.
    """
    settings = getattr(module.config, "crossnorm", None)
    if not isinstance(settings, dict):
        hint = "Set config.crossnorm = {'name': 'convex', 'alpha': 0.5} or use crossnorm.convert."
        raise BadInput(
            "config.crossnorm", "the settings of attn_implementation='crossnorm'", settings or "nothing", hint
        )
    for field in settings:
        if field not in _FIELDS:
            raise unknown_name("config.crossnorm", field, _FIELDS)
    layers, alpha = settings.get("layers"), settings.get("alpha", 1.0)
    rest = {field: settings[field] for field in ("gain", "temperature") if field in settings}
    variant = Variant(name=settings.get("name", "convex"), layers=None if layers is None else tuple(layers), **rest)
    if variant.mixing.entry is None:
        hint = "A function of your own is applied by crossnorm.convert."
        raise BadInput("config.crossnorm.name", "a built-in variant", variant.name, hint)
    if layers is None and not isinstance(alpha, list | tuple):
        return variant.mixing, finite("config.crossnorm.alpha", alpha)
    return variant.mixing, _at(_number(module), layers, alpha)


def _number(module: nn.Module) -> int:
    number = getattr(module, "layer_idx", None)
    if number is None or getattr(module.config, "is_encoder_decoder", False):
        found = "an encoder-decoder" if number is not None else f"{type(module).__name__} without layer_idx"
        raise BadInput("config.crossnorm", "the same settings for all layers, which have no numbers", found)
    return int(number)


def _at(layer: int, layers: list[int] | None, alpha: Any) -> float | Tensor:
    """α in one layer."""
    if layers is not None and layer not in layers:
        return 0.0
    if isinstance(alpha, list | tuple):
        index = layer if layers is None else sorted(layers).index(layer)
        if index >= len(alpha):
            raise BadInput("config.crossnorm.alpha", f"an entry for layer {layer}", alpha)
        alpha = alpha[index]
    if isinstance(alpha, list | tuple):
        return torch.tensor([finite("config.crossnorm.alpha", number) for number in alpha])[:, None, None]
    return finite("config.crossnorm.alpha", alpha)
