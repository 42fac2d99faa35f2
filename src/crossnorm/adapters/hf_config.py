"""Variant and α as a model's configuration keeps them: plain data that survives JSON.

    config.crossnorm = {"name": "convex", "alpha": 0.5, "layers": [0, 2], "gain": 1.0, "temperature": 1.0}

Knows nothing of transformers beyond ``module.config`` and ``module.layer_idx``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from crossnorm.adapters.alpha import finite
from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional import Variant

__all__ = ["configured"]

_FIELDS = ("name", "alpha", "layers", "gain", "temperature")


def configured(module: nn.Module) -> tuple[Variant, float | Tensor]:
    """The variant of an attention module and its α there, 0 in a layer that the configuration leaves out.

    `alpha` is a number, or a list with one entry for each of `layers` (for each layer, without them); an entry may
    be a list over heads. Layers are told apart by `layer_idx`.

    Raises:
        BadInput: No or unknown settings, or settings by layer in a model whose layers are not numbered.
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
    if layers is None and not isinstance(alpha, list | tuple):
        return variant, finite("config.crossnorm.alpha", alpha)
    return variant, _at(_number(module), layers, alpha)


def _number(module: nn.Module) -> int:
    number = getattr(module, "layer_idx", None)
    if number is None or getattr(module.config, "is_encoder_decoder", False):
        found = "an encoder-decoder" if number is not None else f"{type(module).__name__} without layer_idx"
        raise BadInput("config.crossnorm", "settings for all layers alike where they are not numbered", found)
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
