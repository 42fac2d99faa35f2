"""Configurations of the models: frozen, keyword-only, checked when they are built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, TypeAdapter, ValidationError

from crossnorm.errors import BadInput, unknown_name

__all__ = ["POSITIONS", "Config", "ImageConfig", "LanguageConfig", "TextConfig", "setting"]

_MOST_LAYERS, _MOST_RATIO = 1000, 1000
_SIZES = (
    *("num_layers", "mlp_ratio", "embedding_dim", "num_classes", "img_size", "kernel_size", "patch_size"),
    *("vocab_size", "seq_len", "word_embedding_dim"),
)
_MOST_WEIGHTS = 2_000_000_000
"""A larger model does not fit a machine of the usual size: training takes 16 bytes a weight."""

POSITIONS = ("learnable", "sine", "none")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of the encoder, common to all models; abstract: see `ImageConfig`, `TextConfig`, `LanguageConfig`.

    Attributes:
        family: ``"cct"``, ``"cvt"``, ``"vit"``, ``"transformer"`` or ``"gpt"``: decides tokenizer and pooling.
        num_layers: Number of blocks, at least 1.
        num_heads: Number of attention heads; divides the width.
        mlp_ratio: Hidden width of the MLP divided by the width.
        embedding_dim: The width: channels per token.
        positional_embedding: ``"learnable"``, ``"sine"`` (a fixed table) or ``"none"``.
        dropout: Rate after the positions, the projection and both linear layers of the MLP; in [0, 1).
        attention_dropout: Rate on the attention weights; in [0, 1).
        stochastic_depth: Rate at which the last block drops a branch, in [0, 1); it rises linearly from 0 at the first.
    """

    lacks: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    family: str
    num_layers: int
    num_heads: int
    mlp_ratio: float
    embedding_dim: int | None = None
    positional_embedding: str = "learnable"
    dropout: float = 0.0
    attention_dropout: float = 0.1
    stochastic_depth: float = 0.1

    def __post_init__(self) -> None:
        if self.family not in self.lacks:
            raise unknown_name("family", self.family, self.lacks)
        for field in fields(self):
            self._check(field.name)
        if self.width % self.num_heads:
            expected = f"a multiple of num_heads = {self.num_heads}"
            raise BadInput(self._width_name, expected, self.width)

        if self.least_weights > _MOST_WEIGHTS:
            sizes = {field.name: getattr(self, field.name) for field in fields(self) if field.name in _SIZES}
            given = ", ".join(f"{name} {value}" for name, value in sizes.items() if value is not None)
            raise BadInput("model", f"at most {_MOST_WEIGHTS:,} weights", f"{self.least_weights:,} ({given})")

    def _check(self, name: str) -> None:
        value = getattr(self, name)
        if name in self.lacks[self.family]:
            if value is not None:
                raise BadInput(name, f"None, as a {self.family} model has no such setting", value)
        else:
            object.__setattr__(self, name, setting(name, value))

    @property
    def width(self) -> int:
        """Channels per token, as the encoder sees them."""
        return int(getattr(self, self._width_name))

    @property
    def _width_name(self) -> str:
        return "word_embedding_dim" if self.family == "transformer" else "embedding_dim"

    @property
    def hidden(self) -> int:
        """Hidden width of the MLP."""
        return max(1, int(self.width * self.mlp_ratio))

    @property
    def least_weights(self) -> int:
        """Number of weights in the blocks and the tables of a model, counted before it is built."""
        width = self.width
        blocks = self.num_layers * (4 * width**2 + 2 * width * self.hidden)
        return blocks + sum(rows * columns for rows, columns in self._tables())

    def _tables(self) -> list[tuple[int, int]]:
        """Rows and columns of embeddings, tokenizer, positions and head."""
        raise NotImplementedError

    @property
    def causal(self) -> bool:
        """Whether a token sees only itself and the ones before it."""
        return self.family == "gpt"

    @property
    def pooling(self) -> str:
        """How tokens become one vector: ``"class"`` token, ``"sequence"`` pooling, or ``"none"`` (not at all)."""
        return {"vit": "class", "transformer": "class", "gpt": "none"}.get(self.family, "sequence")


@dataclass(frozen=True, kw_only=True)
class ImageConfig(Config):
    """ViT-Lite (``vit``), CVT (``cvt``) or CCT (``cct``) for images (batch, channels, height, width).

    Attributes:
        num_classes: Number of classes.
        img_size: (height, width) in pixels, or one number for both.
        n_input_channels: Channels of the image.
        kernel_size: CCT: side of the convolutions.
        n_conv_layers: CCT: number of convolutions, each followed by ReLU and pooling.
        patch_size: ViT, CVT: side of a patch; pixels beyond the last whole patch are ignored.
    """

    lacks: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "cct": ("patch_size",),
        "cvt": ("kernel_size", "n_conv_layers"),
        "vit": ("kernel_size", "n_conv_layers"),
    }

    num_classes: int
    img_size: int | tuple[int, int] = 32
    n_input_channels: int = 3
    kernel_size: int | None = None
    n_conv_layers: int | None = None
    patch_size: int | None = None

    def _tables(self) -> list[tuple[int, int]]:
        (height, width), channels = self.size, self.n_input_channels
        side = self.patch_size or self.kernel_size or 1
        shrink = self.patch_size or (2 * max(1, side // 2 - 1)) ** (self.n_conv_layers or 0)
        tokens = 0 if self.positional_embedding == "none" else (height // shrink) * (width // shrink)
        before = channels if self.n_conv_layers in (None, 1) else 1
        return [(before * side**2 + tokens + self.num_classes, self.width)]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        assert isinstance(self.img_size, tuple)
        return self.img_size


@dataclass(frozen=True, kw_only=True)
class TextConfig(Config):
    """Transformer, ViT, CVT or CCT for word ids (batch, words).

    Attributes:
        num_classes: Number of classes.
        vocab_size: Number of words, including the padding word (index 1).
        seq_len: Length of the longest input in words; without positions any length is taken.
        word_embedding_dim: Channels per word; the width of a ``transformer``.
        train_words: Whether the word vectors are trained.
        kernel_size: CCT: words per convolution.
        patch_size: ViT, CVT: words per patch.
    """

    lacks: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "cct": ("patch_size",),
        "cvt": ("kernel_size",),
        "vit": ("kernel_size",),
        "transformer": ("kernel_size", "patch_size", "embedding_dim"),
    }

    num_classes: int
    vocab_size: int = 100_000
    seq_len: int = 64
    word_embedding_dim: int = 300
    train_words: bool = True
    kernel_size: int | None = None
    patch_size: int | None = None

    def _tables(self) -> list[tuple[int, int]]:
        side = self.kernel_size or self.patch_size or 0
        shrink = self.patch_size or (2 * max(1, side // 2 - 1) if self.kernel_size else 1)
        tokens = 0 if self.positional_embedding == "none" else self.seq_len // shrink
        words = self.word_embedding_dim
        return [(self.vocab_size, words), (side * words + tokens + self.num_classes, self.width)]


@dataclass(frozen=True, kw_only=True)
class LanguageConfig(Config):
    """A causal language model (``gpt``) over characters, bytes or other small vocabularies.

    Attributes:
        vocab_size: Number of symbols; 256 for bytes.
        seq_len: Length of the context in tokens.
    """

    lacks: ClassVar[Mapping[str, tuple[str, ...]]] = {"gpt": ()}

    vocab_size: int = 256
    seq_len: int = 128

    def _tables(self) -> list[tuple[int, int]]:
        tokens = 0 if self.positional_embedding == "none" else self.seq_len
        return [(2 * self.vocab_size, self.width), (tokens, self.width)]


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's, an image size of 32 or [32, 32] as (32, 32)."""
    return tuple(value) if isinstance(value, list) else value.item() if isinstance(value, np.generic) else value


_Count = Annotated[int, BeforeValidator(_plain), Field(strict=True, ge=1, le=10**15)]
_Rate = Annotated[float, BeforeValidator(_plain), Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
_Ratio = Annotated[float, BeforeValidator(_plain), Field(strict=True, gt=0, le=_MOST_RATIO, allow_inf_nan=False)]
_Size = Annotated[tuple[_Count, _Count], BeforeValidator(_plain), Field(strict=True)]
_Side = Annotated[_Count, AfterValidator(lambda side: (side, side))]
_Vocabulary = Annotated[_Count, Field(ge=2)]

_COUNT = "a whole number, at least 1", TypeAdapter[Any](_Count)
_LAYERS = (
    f"a whole number, at least 1 and at most {_MOST_LAYERS}",
    TypeAdapter[Any](Annotated[_Count, Field(le=_MOST_LAYERS)]),
)
_RATE = "a rate in [0, 1)", TypeAdapter[Any](_Rate)
_RULES: dict[str, tuple[str, TypeAdapter[Any]]] = {
    "num_layers": _LAYERS,
    "num_heads": _COUNT,
    "mlp_ratio": (f"a positive number, at most {_MOST_RATIO}", TypeAdapter(_Ratio)),
    "embedding_dim": _COUNT,
    "dropout": _RATE,
    "attention_dropout": _RATE,
    "stochastic_depth": _RATE,
    "num_classes": _COUNT,
    "img_size": ("a number of pixels or a pair (height, width), each at least 1", TypeAdapter(_Side | _Size)),
    "n_input_channels": _COUNT,
    "kernel_size": _COUNT,
    "n_conv_layers": _LAYERS,
    "patch_size": _COUNT,
    "vocab_size": ("a whole number, at least 2", TypeAdapter(_Vocabulary)),
    "seq_len": _COUNT,
    "word_embedding_dim": _COUNT,
    "train_words": ("True or False", TypeAdapter(StrictBool)),
}


def setting(name: str, value: Any) -> Any:
    """A setting's value, checked and in the form that a configuration has: an image size of 32 as (32, 32).

    Args:
        name: A field of a configuration.
        value: The value as given.

    Raises:
        BadInput: The setting cannot have this value.
    """
    if name == "positional_embedding" and value not in POSITIONS:
        raise unknown_name(name, value, POSITIONS)
    if name not in _RULES:
        return value
    expected, rule = _RULES[name]
    try:
        return rule.validate_python(value)
    except ValidationError:
        raise BadInput(name, expected, value) from None
