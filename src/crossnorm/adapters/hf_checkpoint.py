"""A fine-tuned `TextClassifier` as a folder: what transformers reads, and the head beside it.

    config.json, model.safetensors   the pretrained Transformer; config.crossnorm says which variant, at which α
    tokenizer files                  the tokenizer's own
    head.safetensors                 the head, and how many tokens of a text were read

Knows files; knows nothing of tasks or training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crossnorm.adapters.base import doses
from crossnorm.adapters.conversion import convert
from crossnorm.adapters.handle import Handle
from crossnorm.adapters.hf_text_classifier import (
    HEAD,
    TextClassifier,
    TextEncoder,
    load_text_classifier,
    load_text_encoder,
    quiet,
)
from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.models.serialization import read_safetensors

__all__ = ["load_saved_texts", "save_texts"]


def save_texts(model: TextClassifier, handle: Handle | None, encoder: TextEncoder, classes: int, folder: Path) -> None:
    """Write a classifier; a converted one gives up its handle.

    Args:
        model: What is kept.
        handle: Its variant and α; None: not converted.
        encoder: Its tokenizer.
        classes: Number of classes.
        folder: Where to; made if missing.
    """
    from safetensors.torch import save_file

    body: Any = model.body
    folder.mkdir(parents=True, exist_ok=True)
    body.config.crossnorm = None
    if handle is not None:
        each = [dose.read() for dose in doses(body).values()]
        described = handle.as_config() | ({"alpha": each} if any(isinstance(a, tuple) for a in each) else {})
        handle.restore()
        body.config.crossnorm = described
    with quiet():
        body.save_pretrained(folder)
        encoder.save(folder)
    about = {"classes": classes, "max_tokens": encoder.max_tokens}
    weights = {} if model.head is None else model.head.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    save_file(tensors, folder / HEAD, metadata={"crossnorm": json.dumps(about)})


def load_saved_texts(folder: Path) -> tuple[nn.Module, TextEncoder]:
    """The classifier that `save_texts` wrote, its variant at its α in place, and its tokenizer.

    Raises:
        BadInput: No such folder, or a damaged one.
    """
    try:
        about = read_safetensors(folder / HEAD)[1] or {}
        classes, max_tokens = int(about["classes"]), int(about["max_tokens"])
    except (BadInput, KeyError, TypeError, ValueError):
        raise BadInput(str(folder), "a folder that crossnorm finetune wrote", f"no readable {HEAD} in it") from None
    model, encoder = load_text_classifier(folder, classes), load_text_encoder(folder, max_tokens)
    described = getattr(model.body.config, "crossnorm", None)
    if described:
        layers, alpha = described.get("layers"), described["alpha"]
        rest = {key: described[key] for key in ("gain", "temperature") if key in described}
        variant = Variant(name=described["name"], alpha=0.0, layers=None if layers is None else tuple(layers), **rest)
        handle = convert(model.body, variant, learnable=_learnable(alpha))
        with torch.no_grad():
            handle.alpha = _as_tuples(alpha)
    return model, encoder


def _learnable(alpha: object) -> str | None:
    """What has a dose of its own, as the tuples of a handle say it; only a learned one differs between heads."""
    return "head" if isinstance(alpha, list) and any(isinstance(a, list) for a in alpha) else None


def _as_tuples(alpha: Any) -> Any:
    return tuple(map(_as_tuples, alpha)) if isinstance(alpha, list) else alpha
