"""Number of parameters and multiply-adds of a model, counted from its layers."""

from __future__ import annotations

from torch import nn

from crossnorm.models.compact_transformers import LanguageModel, Model
from crossnorm.models.config import ImageConfig, TextConfig
from crossnorm.models.layers import SequencePool
from crossnorm.models.patch_embeddings import conv_length

__all__ = ["count_macs", "count_parameters"]


def count_parameters(model: nn.Module) -> int:
    """Number of elements in the state dict, a fixed sine table included, as in the published counts."""
    return sum(tensor.numel() for tensor in model.state_dict().values())


def count_macs(model: Model) -> int:
    """Multiply-adds of one example at full size: convolutions, linear layers and the products inside attention.

        tokenizer + Σ over blocks (n · weights of the linears + 2 n² w) + pooling 2 n w + head

    n is the number of tokens, the class token included, and w the width. Elementwise operations are not counted: norms,
    positions, softmax and what a variant adds. Nothing is computed, so the model may be on the meta device.
    """
    classifier, width = model.classifier, model.config.width
    tokens = classifier.tokens + (classifier.class_emb is not None)
    pooled = any(isinstance(module, SequencePool) for module in classifier.children())
    blocks = sum(tokens * _weights(block) + 2 * tokens**2 * width for block in classifier.blocks)
    head = classifier.fc.weight.numel() * (tokens if model.config.causal else 1)
    return _tokenizer_macs(model) + blocks + pooled * 2 * tokens * width + head


def _weights(block: nn.Module) -> int:
    return sum(module.weight.numel() for module in block.modules() if isinstance(module, nn.Linear))


def _tokenizer_macs(model: Model) -> int:
    """Multiply-adds of the tokenizer's convolutions: weights times output positions."""
    config, total = model.config, 0
    if isinstance(model, LanguageModel):
        return 0
    if isinstance(config, ImageConfig):
        height, width = config.size
    else:
        assert isinstance(config, TextConfig)
        patch = config.patch_size or 1
        height, width = -(-config.seq_len // patch) * patch, config.word_embedding_dim
    for layer in model.tokenizer.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            height, width = _positions(layer, (height, width))
        if isinstance(layer, nn.Conv2d):
            total += layer.weight.numel() * height * width
    return total


def _positions(layer: nn.Conv2d | nn.MaxPool2d, size: tuple[int, int]) -> tuple[int, int]:
    kernels, strides, paddings = (_pair(getattr(layer, key)) for key in ("kernel_size", "stride", "padding"))
    height, width = (conv_length(*each) for each in zip(size, kernels, strides, paddings, strict=True))
    return height, width


def _pair(number: int | tuple[int, int]) -> tuple[int, int]:
    return (number, number) if isinstance(number, int) else number
