"""Small models and inputs that the model tests share. A different prime on every axis."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossnorm.models import create_model, list_models

BATCH, CHANNELS, HEIGHT, WIDTH, CLASSES = 3, 5, 29, 19, 7
VOCABULARY, WORDS, WORD_WIDTH = 23, 17, 12
TINY = {"num_layers": 2, "dropout": 0.0}
IMAGE: dict[str, Any] = {"img_size": (HEIGHT, WIDTH), "n_input_channels": CHANNELS, "num_classes": CLASSES, **TINY}
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "seq_len": WORDS,
    "word_embedding_dim": WORD_WIDTH,
    "num_classes": CLASSES,
    **TINY,
}
LANGUAGE: dict[str, Any] = {"vocab_size": VOCABULARY, "seq_len": WORDS, **TINY}

IMAGES = [name for name in list_models() if name.startswith(("cct", "cvt", "vit"))]
TEXTS = [name for name in list_models() if name.startswith("text")]
LANGUAGES = [name for name in list_models() if name.startswith("gpt")]
ONE_OF_EACH = [
    "cct_2_3x2_32",
    "cvt_2_4_32_sine",
    "vit_2_4_32",
    "text_cct_2",
    "text_cvt_2",
    "text_vit_2",
    "text_transformer_2",
    "gpt_2",
]


def settings(name: str) -> dict[str, Any]:
    """Keywords that make a named model small."""
    return dict(IMAGE if name in IMAGES else TEXT if name in TEXTS else LANGUAGE)


def small(name: str, *, seed: int = 0, **own: Any) -> nn.Module:
    """A named model, small, its weights drawn from a seed."""
    torch.manual_seed(seed)
    return create_model(name, **{**settings(name), **own})


def images(batch: int = BATCH, height: int = HEIGHT, width: int = WIDTH, *, seed: int = 1) -> Tensor:
    return torch.randn(batch, CHANNELS, height, width, generator=torch.Generator().manual_seed(seed))


def words(batch: int = BATCH, length: int = WORDS, *, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(2, VOCABULARY, (batch, length), generator=generator)


def inputs(name: str, batch: int = BATCH, *, seed: int = 1) -> Tensor:
    return images(batch, seed=seed) if name in IMAGES else words(batch, seed=seed)


def fill(model: nn.Module) -> dict[str, np.ndarray]:
    """Give every weight an address-hashed draw of sensible size, in float64; return them for an oracle."""
    model.double()
    fixed = {name for name, _ in model.named_buffers()}
    for name, tensor in model.state_dict().items():
        if name not in fixed:
            draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
            norm = name.endswith(("norm.weight", "norm1.weight"))
            tensor.copy_(torch.from_numpy(1 + 0.1 * draw if norm else 0.1 * draw))
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
