"""Tokenizers: from images or words to tokens. Those for words also turn the mask over words into one over tokens.

Axes: b batch, c channels, n tokens, w width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.errors import BadInput

__all__ = [
    "ConvTokenizer",
    "PatchTokenizer",
    "WordConvTokenizer",
    "WordEmbedder",
    "WordPatchTokenizer",
    "WordTokenizer",
    "conv_length",
    "right_padding",
]

HIDDEN_PLANES = 64
PADDING_INDEX = 1

Length = TypeVar("Length", int, Tensor)


def conv_length(length: int, kernel: int, stride: int, padding: int) -> int:
    """Output length of a convolution or pooling over `length` positions."""
    return (length + 2 * padding - kernel) // stride + 1


def _conv_step(kernel: int) -> tuple[int, int]:
    """Stride and padding for a kernel, in every convolutional tokenizer of the paper."""
    return max(1, kernel // 2 - 1), max(1, kernel // 2)


class ConvTokenizer(nn.Module):
    """CCT: n × [convolution without bias → ReLU → maxpool 3, stride 2, padding 1].

    Args:
        channels: Channels of the image.
        width: Channels per token, which is the last layer's; earlier layers have 64.
        kernel: Side of the convolutions; stride max(1, k//2 - 1), padding max(1, k//2).
        layers: Number of layers.
    """

    def __init__(self, channels: int, width: int, *, kernel: int, layers: int) -> None:
        super().__init__()
        self.kernel = kernel
        planes = [channels, *[HIDDEN_PLANES] * (layers - 1), width]
        stride, padding = _conv_step(kernel)
        self.conv_layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False),
                    nn.ReLU(),
                    nn.MaxPool2d(3, stride=2, padding=1),
                )
                for before, after in pairwise(planes)
            )
        )

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tokens for an image of `size` pixels."""
        height, width = size
        for _ in self.conv_layers:
            height, width = self._length(height), self._length(width)
        return height, width

    def _length(self, pixels: int) -> int:
        return conv_length(conv_length(pixels, self.kernel, *_conv_step(self.kernel)), 3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, height, width) → (b, n, w), tokens in row-major order."""
        x = images
        for layer in self.conv_layers:
            assert isinstance(layer, nn.Sequential)
            convolution, relu, pooling = layer
            # ReLU commutes with max pooling, to the bit and in the gradient; after the pooling it costs a quarter.
            x = relu(pooling(convolution(x)))
        return x.flatten(2).transpose(1, 2)


class PatchTokenizer(nn.Module):
    """ViT, CVT: one convolution with bias, kernel = stride = patch.

    Args:
        channels: Channels of the image.
        width: Channels per token.
        patch: Side of a patch in pixels; pixels beyond the last whole patch are ignored.
    """

    def __init__(self, channels: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.conv_layers = nn.Sequential(nn.Sequential(nn.Conv2d(channels, width, patch, stride=patch)))

    def grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of tokens for an image of `size` pixels."""
        if min(size) < self.patch:
            raise BadInput("img_size", f"at least one patch of {self.patch} pixels each way", size)
        return size[0] // self.patch, size[1] // self.patch

    def forward(self, images: Tensor) -> Tensor:
        """(b, c, height, width) → (b, n, w), tokens in row-major order."""
        return self.conv_layers(images).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class WordEmbedder(nn.Module):
    """Word vectors; padded words become zero vectors.

    Args:
        vocabulary: Number of words.
        width: Channels per word.
        padding: Index of the padding word, whose vector stays zero; None: no padding word.
        trained: Whether the vectors are trained.
    """

    def __init__(
        self, vocabulary: int, width: int, *, padding: int | None = PADDING_INDEX, trained: bool = True
    ) -> None:
        super().__init__()
        vectors = torch.empty(vocabulary, width)
        if not vectors.is_meta:  # on the meta device nothing is drawn, and normal_ would load torch's compiler
            vectors.normal_()
            if padding is not None:
                vectors[padding] = 0.0
        from_vectors = nn.Embedding.from_pretrained
        self.embeddings: nn.Embedding = from_vectors(vectors, freeze=not trained, padding_idx=padding)  # type: ignore[no-untyped-call]

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """(b, words) → (b, words, width); `mask` (b, words), True = real."""
        words: Tensor = self.embeddings(ids)
        return words if mask is None else words.masked_fill(~mask[:, :, None], 0.0)


class WordTokenizer(nn.Module):
    """Transformer: every word is a token."""

    def length(self, words: Length) -> Length:
        """Number of tokens for so many words."""
        return words

    def forward(self, words: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, n, w) and the mask, unchanged."""
        return words, mask


class WordPatchTokenizer(nn.Module):
    """Text ViT, CVT: one convolution over `patch` whole words, stride = patch, no bias, no activation.

    Words are padded with zeros to a multiple of the patch.

    Args:
        word_width: Channels per word.
        width: Channels per token.
        patch: Words per token.
    """

    def __init__(self, word_width: int, width: int, *, patch: int) -> None:
        super().__init__()
        self.patch = patch
        conv = nn.Conv2d(1, width, (patch, word_width), stride=(patch, 1), bias=False)
        self.conv_layers = nn.ModuleList([conv])

    def length(self, words: Length) -> Length:
        """Number of tokens for so many words; the last patch may be partial."""
        return -(-words // self.patch)

    def forward(self, words: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, words, word width) → (b, n, w), with the mask over tokens."""
        padded = F.pad(words, (0, 0, 0, -words.shape[1] % self.patch))
        tokens = _convolve_words(self.conv_layers[0], padded)
        return tokens, None if mask is None else right_padding(self.length(mask.sum(1)), tokens.shape[1])


class WordConvTokenizer(nn.Module):
    """Text CCT: convolution over words without bias → ReLU → maxpool 2, stride 2, padding 1 (words only).

    Args:
        word_width: Channels per word.
        width: Channels per token.
        kernel: Words per convolution; stride max(1, k//2 - 1), padding max(1, k//2).
    """

    def __init__(self, word_width: int, width: int, *, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel
        stride, padding = _conv_step(kernel)
        conv = nn.Conv2d(1, width, (kernel, word_width), stride=(stride, 1), padding=(padding, 0), bias=False)
        self.conv_layers = nn.ModuleList([conv])

    def length(self, words: Length) -> Length:
        """Number of tokens for so many words."""
        return self._convolved(words) // 2 + 1

    def _convolved(self, words: Length) -> Length:
        stride, padding = _conv_step(self.kernel)
        return (words + 2 * padding - self.kernel) // stride + 1

    def forward(self, words: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, words, word width) → (b, n, w), with the mask over tokens."""
        features = _convolve_words(self.conv_layers[0], words).relu()
        real = None if mask is None else mask.sum(1)
        if real is not None:
            seen = right_padding(self._convolved(real), features.shape[1])
            features = features.masked_fill(~seen[:, :, None], 0.0)
        tokens = F.max_pool1d(features.transpose(1, 2), 2, stride=2, padding=1).transpose(1, 2)
        return tokens, None if real is None else right_padding(self.length(real), tokens.shape[1])


def _convolve_words(conv: nn.Module, words: Tensor) -> Tensor:
    """(b, words, word width) → (b, positions, w)."""
    features: Tensor = conv(words[:, None])
    return features.squeeze(-1).transpose(1, 2)


def right_padding(real: Tensor, length: int) -> Tensor:
    """The mask (b, length) whose first `real` (b,) entries are True."""
    return torch.arange(length, device=real.device) < real[:, None]
