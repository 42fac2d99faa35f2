"""Configurations of the models: frozen, keyword-only, checked when they are built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar

from crossnorm.errors import BadInput, unknown_name

__all__ = ["POSITIONS", "Config", "ImageConfig", "LanguageConfig", "TextConfig", "setting"]

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


def _count(name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise BadInput(name, f"a whole number, at least {least}", value)
    return int(value)


def _rate(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise BadInput(name, "a rate in [0, 1)", value)
    return float(value)


def _ratio(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < float("inf"):
        raise BadInput(name, "a positive number", value)
    return float(value)


def _size(name: str, value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, Integral) else value
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise BadInput(name, "a number of pixels or a pair (height, width)", value)
    return _count(name, pair[0]), _count(name, pair[1])


def _positions(name: str, value: Any) -> str:
    if value not in POSITIONS:
        raise unknown_name(name, value, POSITIONS)
    return str(value)


def _family(name: str, value: Any) -> str:
    return str(value)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadInput(name, "True or False", value)
    return value


def _vocabulary(name: str, value: Any) -> int:
    return _count(name, value, least=2)


_RULES: dict[str, Callable[[str, Any], Any]] = {
    "family": _family,
    "num_layers": _count,
    "num_heads": _count,
    "mlp_ratio": _ratio,
    "embedding_dim": _count,
    "positional_embedding": _positions,
    "dropout": _rate,
    "attention_dropout": _rate,
    "stochastic_depth": _rate,
    "num_classes": _count,
    "img_size": _size,
    "n_input_channels": _count,
    "kernel_size": _count,
    "n_conv_layers": _count,
    "patch_size": _count,
    "vocab_size": _vocabulary,
    "seq_len": _count,
    "word_embedding_dim": _count,
    "train_words": _switch,
}


def setting(name: str, value: Any) -> Any:
    """A setting's value, checked and in the form that a configuration has: an image size of 32 as (32, 32).

    Args:
        name: A field of a configuration.
        value: The value as given.

    Raises:
        BadInput: The setting cannot have this value.
    """
    return _RULES[name](name, value)
