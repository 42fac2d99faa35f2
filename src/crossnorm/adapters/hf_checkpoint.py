"""A fine-tuned `TextClassifier` as a folder that transformers can read.

    config.json, model.safetensors   the Transformer; config.crossnorm holds variant and α
    tokenizer files                  as the tokenizer writes them
    head.safetensors                 the head; its header holds max_tokens and the number of classes

Everything is in transformers' own format except `head.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crossnorm.adapters.conversion import convert
from crossnorm.adapters.handle import find_handle
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
from crossnorm.functional.user_variants import check_allowed
from crossnorm.models.serialization import read_safetensors
from crossnorm.models.site_alpha import site_alphas

__all__ = ["load_saved_texts", "save_texts"]


def save_texts(model: TextClassifier, encoder: TextEncoder, classes: int, folder: Path) -> None:
    """Write a classifier with its variant and α; its handle is restored.

    Args:
        model: The classifier.
        encoder: Its tokenizer.
        classes: Number of classes.
        folder: Created if missing.
    """
    from safetensors.torch import save_file

    body: Any = model.body
    folder.mkdir(parents=True, exist_ok=True)
    body.config.crossnorm = None
    handle = find_handle(body)
    if handle is not None:
        each = [alpha.read() for alpha in site_alphas(body).values()]
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


def load_saved_texts(folder: Path, imports: Sequence[str] = ()) -> tuple[nn.Module, TextEncoder]:
    """The classifier that `save_texts` wrote, with its variant and α, and its tokenizer.

    Args:
        folder: The folder.
        imports: Modules whose functions may act as its variant.

    Raises:
        BadInput: No such folder, a damaged one, or one whose variant is of another module.
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
        check_allowed(variant.name, imports, str(folder))
        handle = convert(model.body, variant, learnable=_learnable(alpha))
        with torch.no_grad():
            handle.alpha = _as_tuples(alpha)
    return model, encoder


def _learnable(alpha: object) -> str | None:
    """``"head"`` if α differs between heads, which only a learned α does."""
    return "head" if isinstance(alpha, list) and any(isinstance(a, list) for a in alpha) else None


def _as_tuples(alpha: Any) -> Any:
    return tuple(map(_as_tuples, alpha)) if isinstance(alpha, list) else alpha
