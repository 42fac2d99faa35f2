"""The Compact Transformers once more, in float64 NumPy, one example at a time, from the published description.

Knows nothing of ``crossnorm``: reads weights by their published names and never pads, so a masked batch can be held
against examples that were never padded. Slow on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Remix = Callable[[Array], Array]


def same(values: Array) -> Array:
    return values


def convex(alpha: float) -> Remix:
    """V ↦ (1-α) V + α S(V), softmax over tokens, for V (tokens, channels)."""

    def remix(values: Array) -> Array:
        columns = [softmax(values[:, d]) for d in range(values.shape[1])]
        return (1 - alpha) * values + alpha * np.stack(columns, axis=1)

    return remix


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def image_logits(state: Mapping[str, Array], image: Array, *, heads: int, remix: Remix = same, kernel: int = 0):
    """Logits of one image (channels, height, width); `kernel` 0 stands for patches."""
    x, layer = image, 0
    while (name := f"tokenizer.conv_layers.{layer}.0.weight") in state:
        weight = state[name]
        if kernel:
            stride, padding = max(1, kernel // 2 - 1), max(1, kernel // 2)
            x = max_pool(np.maximum(convolve(x, weight, None, stride, padding), 0.0))
        else:
            x = convolve(x, weight, state["tokenizer.conv_layers.0.0.bias"], weight.shape[-1], 0)
        layer += 1
    height, width = x.shape[1:]
    tokens = np.array([x[:, i, j] for i in range(height) for j in range(width)])
    return head(state, tokens, heads, remix)


def word_logits(state: Mapping[str, Array], ids: list[int], *, heads: int, remix: Remix = same, kernel=0, patch=0):
    """Logits of one text, given by its real words only."""
    words = state["embedder.embeddings.weight"][ids]
    if kernel:
        words = word_convolution(words, state["tokenizer.conv_layers.0.weight"])
    elif patch:
        whole = np.zeros((math.ceil(len(ids) / patch) * patch, words.shape[1]))
        whole[: len(ids)] = words
        weight = state["tokenizer.conv_layers.0.weight"][:, 0]
        words = np.array([(weight * whole[i : i + patch]).sum((1, 2)) for i in range(0, len(whole), patch)])
    return head(state, words, heads, remix)


def word_convolution(words: Array, weight: Array) -> Array:
    """Convolution over words, ReLU, maxpool 2 with stride 2 and padding 1."""
    kernel = weight.shape[2]
    stride, padding = max(1, kernel // 2 - 1), max(1, kernel // 2)
    padded = np.pad(words, ((padding, padding), (0, 0)))
    starts = range(0, len(padded) - kernel + 1, stride)
    features = np.array([np.maximum((weight[:, 0] * padded[i : i + kernel]).sum((1, 2)), 0.0) for i in starts])
    framed = np.pad(features, ((1, 1), (0, 0)), constant_values=-np.inf)
    return np.array([framed[i : i + 2].max(0) for i in range(0, len(framed) - 1, 2)])


def head(state: Mapping[str, Array], x: Array, heads: int, remix: Remix) -> Array:
    """Class token, positions, blocks, norm, pooling, linear."""
    if "classifier.class_emb" in state:
        x = np.concatenate([state["classifier.class_emb"][0], x])
    if "classifier.positional_emb" in state:
        x = x + state["classifier.positional_emb"][0, : len(x)]
    layer = 0
    while f"classifier.blocks.{layer}.linear1.weight" in state:
        x = block(state, f"classifier.blocks.{layer}.", x, heads, remix)
        layer += 1
    x = layer_norm(state, "classifier.norm", x)
    if "classifier.attention_pool.weight" in state:
        scores = linear(state, "classifier.attention_pool", x)[:, 0]
        pooled = softmax(scores) @ remix(x)
    else:
        pooled = x[0]
    return linear(state, "classifier.fc", pooled)


def block(state: Mapping[str, Array], name: str, x: Array, heads: int, remix: Remix) -> Array:
    """The published block: the second norm replaces the residual stream."""
    x = x + attention(state, name + "self_attn.", layer_norm(state, name + "pre_norm", x), heads, remix)
    x = layer_norm(state, name + "norm1", x)
    hidden = linear(state, name + "linear1", x)
    gelu = np.vectorize(lambda z: 0.5 * z * (1 + math.erf(z / math.sqrt(2))))(hidden)
    return x + linear(state, name + "linear2", gelu)


def attention(state: Mapping[str, Array], name: str, x: Array, heads: int, remix: Remix) -> Array:
    width = x.shape[1]
    size = width // heads
    projected = x @ state[name + "qkv.weight"].T
    mixed = np.zeros_like(x)
    for h in range(heads):
        q, k, v = (projected[:, part * width + h * size : part * width + (h + 1) * size] for part in range(3))
        values = remix(v)
        for i in range(len(x)):
            scores = np.array([q[i] @ k[j] for j in range(len(x))]) / math.sqrt(size)
            mixed[i, h * size : (h + 1) * size] = softmax(scores) @ values
    return linear(state, name + "proj", mixed)


def linear(state: Mapping[str, Array], name: str, x: Array) -> Array:
    return x @ state[name + ".weight"].T + state[name + ".bias"]


def layer_norm(state: Mapping[str, Array], name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * state[name + ".weight"] + state[name + ".bias"]


def convolve(x: Array, weight: Array, bias: Array | None, stride: int, padding: int) -> Array:
    kernel = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height = (padded.shape[1] - kernel) // stride + 1
    width = (padded.shape[2] - kernel) // stride + 1
    out = np.zeros((len(weight), height, width))
    for i, j in np.ndindex(height, width):
        window = padded[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        out[:, i, j] = (weight * window).sum((1, 2, 3))
    return out if bias is None else out + bias[:, None, None]


def max_pool(x: Array) -> Array:
    """3 × 3, stride 2, padding 1."""
    framed = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    height, width = ((side + 2 - 3) // 2 + 1 for side in x.shape[1:])
    out = np.zeros((len(x), height, width))
    for i, j in np.ndindex(height, width):
        out[:, i, j] = framed[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2))
    return out
