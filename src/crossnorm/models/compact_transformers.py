"""The models for images, text and language: input checks, a tokenizer, the encoder, and weight initialization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.models.config import Config, ImageConfig, LanguageConfig, TextConfig
from crossnorm.models.encoder import Classifier
from crossnorm.models.patch_embeddings import (
    ConvTokenizer,
    PatchTokenizer,
    WordConvTokenizer,
    WordEmbedder,
    WordPatchTokenizer,
    WordTokenizer,
)

__all__ = ["CompactTransformer", "LanguageModel", "Model", "TextTransformer", "build"]


class CompactTransformer(nn.Module):
    """ViT-Lite, CVT or CCT for images (arXiv 2104.05704).

    Args:
        config: The configuration.
    """

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = _image_tokenizer(config)
        self.grid = self.tokenizer.grid(config.size)
        rows, columns = self.grid
        self.classifier = Classifier(config, tokens=rows * columns, outputs=config.num_classes)
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) float → logits (batch, classes).

        Height and width are those of the configuration; a model without positions takes any.
        """
        config = self.config
        height, width = config.size
        if images.dim() != 4 or images.shape[1] != config.n_input_channels:
            raise BadInput("images", f"shape (batch, {config.n_input_channels}, height, width)", tuple(images.shape))
        if config.positional_embedding != "none" and images.shape[2:] != (height, width):
            raise BadInput("images", f"{height} × {width} pixels, the img_size", tuple(images.shape))
        return self.classifier(self.tokenizer(images))  # type: ignore[no-any-return]


class TextTransformer(nn.Module):
    """Transformer, ViT-Lite, CVT or CCT for words.

    Args:
        config: The configuration.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embedder = WordEmbedder(config.vocab_size, config.word_embedding_dim, trained=config.train_words)
        self.tokenizer = _word_tokenizer(config)
        tokens = int(self.tokenizer.length(config.seq_len))
        self.classifier = Classifier(config, tokens=tokens, outputs=config.num_classes)
        _initialize(self)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits (batch, classes) of word ids.

        Args:
            ids: (batch, words), at most seq_len real words if the model has positions.
            mask: (batch, words) boolean, True = real, padding only at the right; None: all are real.
        """
        ids, mask = self._checked(ids, mask)
        tokens, mask = self.tokenizer(self.embedder(ids, mask), mask)
        return self.classifier(tokens, mask)  # type: ignore[no-any-return]

    def _checked(self, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        _check_ids(ids)
        if mask is not None:
            _check_mask(mask, ids)
            mask = None if bool(mask.all()) else mask
        longest = self.config.seq_len
        if self.config.positional_embedding == "none" or ids.shape[1] <= longest:
            return ids, mask
        if mask is None or bool(mask[:, longest:].any()):
            raise BadInput("ids", f"at most seq_len = {longest} real words", ids.shape[1])
        return ids[:, :longest], mask[:, :longest]


class LanguageModel(nn.Module):
    """A causal language model of the same blocks: logits of the next token at every token.

    Args:
        config: The configuration.
    """

    def __init__(self, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        self.embedder = WordEmbedder(config.vocab_size, config.width, padding=None)
        self.classifier = Classifier(config, tokens=config.seq_len, outputs=config.vocab_size)
        _initialize(self)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) ids, at most seq_len tokens → logits (batch, tokens, vocabulary)."""
        _check_ids(ids)
        return self.classifier(self.embedder(ids))  # type: ignore[no-any-return]


Model = CompactTransformer | TextTransformer | LanguageModel


def build(config: Config) -> Model:
    """The model of a configuration, with weights drawn from torch's global generator."""
    if isinstance(config, ImageConfig):
        return CompactTransformer(config)
    if isinstance(config, TextConfig):
        return TextTransformer(config)
    assert isinstance(config, LanguageConfig)
    return LanguageModel(config)


def _initialize(model: nn.Module) -> None:
    """Draw the weights as published.

    Convolutions: Kaiming normal. Linear layers: truncated normal, sd 0.02. Learnable positions: truncated normal, sd
    0.2. Biases: 0. Word vectors N(0, 1), class token 0 and LayerNorm 1 and 0 are set where they are made.
    """
    if any(parameter.is_meta for parameter in model.parameters()):
        return
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
        elif isinstance(module, Classifier) and isinstance(module.positional_emb, nn.Parameter):
            nn.init.trunc_normal_(module.positional_emb, std=0.2)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def _check_mask(mask: Tensor, ids: Tensor) -> None:
    """Raise unless the mask is right padding of non-empty rows."""
    if mask.shape != ids.shape or mask.dtype != torch.bool:
        got = f"{tuple(mask.shape)} of {mask.dtype}"
        raise BadInput("mask", f"a boolean mask {tuple(ids.shape)}, True = real", got)
    if bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise BadInput("mask", "right padding: every real word before the padded ones", "a mask with holes")
    if not bool(mask[:, 0].all()):
        raise BadInput("mask", "at least one real word in every row", "a row without any")


def _check_ids(ids: Tensor) -> None:
    if ids.dim() != 2 or ids.shape[1] == 0 or ids.dtype.is_floating_point:
        raise BadInput("ids", "whole numbers of shape (batch, tokens)", f"{tuple(ids.shape)} of {ids.dtype}")


def _image_tokenizer(config: ImageConfig) -> ConvTokenizer | PatchTokenizer:
    channels, width = config.n_input_channels, config.width
    if config.patch_size is not None:
        return PatchTokenizer(channels, width, patch=config.patch_size)
    assert config.kernel_size is not None
    assert config.n_conv_layers is not None
    return ConvTokenizer(channels, width, kernel=config.kernel_size, layers=config.n_conv_layers)


def _word_tokenizer(config: TextConfig) -> WordTokenizer | WordPatchTokenizer | WordConvTokenizer:
    if config.kernel_size is not None:
        return WordConvTokenizer(config.word_embedding_dim, config.width, kernel=config.kernel_size)
    if config.patch_size is not None:
        return WordPatchTokenizer(config.word_embedding_dim, config.width, patch=config.patch_size)
    return WordTokenizer()
