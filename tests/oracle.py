"""What every variant means, written once more as plain loops in float64.

Knows nothing of ``crossnorm``: one query, one channel, one token at a time, from the definitions alone. Slow on
purpose, so that nothing clever can hide the mistake it is here to find.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["NAMES", "attention", "mix", "pool", "seen", "weights"]

NAMES = ("convex", "additive", "matched", "centred", "attenuated", "signed", "laser", "batch")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def array(tensor: torch.Tensor) -> Array:
    """The tensor's exact numbers in float64."""
    return tensor.detach().to(torch.float64).numpy()


def softmax(numbers: Sequence[float]) -> list[float]:
    """exp(x_i) / Σ exp(x), shifted by the largest; minus infinity gets exactly zero."""
    top = max(numbers, default=0.0)
    powers = [math.exp(x - top) for x in numbers]
    return [p / math.fsum(powers) for p in powers]


def seen(mask: torch.Tensor | None, is_causal: bool, shape: tuple[int, ...]) -> tuple[Mask, Array]:
    """Who sees whom, (…, queries, keys), and what is added to the scores.

    A boolean mask is True where visible. A float mask hides where it is at most half its type's minimum, and is
    added elsewhere. Causal: key j is visible to query i when j ≤ i, counted from the top left.
    """
    visible, bias = np.ones(shape, dtype=bool), np.zeros(shape)
    if mask is not None and mask.dtype == torch.bool:
        visible = np.broadcast_to(mask.numpy(), shape)
    elif mask is not None:
        floor = torch.finfo(mask.dtype).min / 2
        bias = np.broadcast_to(array(mask), shape)
        visible = np.array([x > floor for x in bias.ravel()]).reshape(shape)
    if is_causal:
        rows = [[j <= i for j in range(shape[-1])] for i in range(shape[-2])]
        visible = np.broadcast_to(np.array(rows), shape)
    return visible, bias


def weights(query: Array, key: Array, visible: Mask, bias: Array, scale: float) -> Array:
    """A = softmax over the visible keys of scale · q·k + bias, (…, queries, keys); hidden rows are zero."""
    out = np.zeros(visible.shape)
    for at in np.ndindex(*visible.shape[:-1]):
        q, K = query[at], key[at[:-1]]
        keys = [j for j in range(visible.shape[-1]) if visible[at][j]]
        scores = []
        for j in keys:
            dot = math.fsum(float(q[e]) * float(K[j][e]) for e in range(len(q)))
            scores.append(scale * dot + float(bias[at][j]))
        for j, a in zip(keys, softmax(scores), strict=True):
            out[at][j] = a
    return out


def mix(
    A: Array,
    value: Array,
    visible: Mask,
    variant: str | None,
    alpha: float,
    *,
    gain: float = 1.0,
    temperature: float = 1.0,
) -> Array:
    """Output (…, queries, dim) of weights A (…, queries, keys) on values (…, keys, dim) under one variant.

    Rows to which no key is visible are zero.
    """
    dim = value.shape[-1]
    out = np.zeros((*A.shape[:-1], dim))
    for at in np.ndindex(*A.shape[:-1]):
        lead = at[:-1]
        keys = [j for j in range(A.shape[-1]) if visible[at][j]]
        if not keys:
            continue
        a = [float(A[at][j]) for j in keys]
        V = [[float(x) for x in value[lead][j]] for j in keys]
        hot = [[temperature * x for x in row] for row in V]
        for d in range(dim):
            plain = math.fsum(w * row[d] for w, row in zip(a, V, strict=True))
            if variant is None:
                out[at][d] = plain
                continue
            if variant == "batch":
                share = [batch_share(value, visible, lead, j, d, temperature) for j in keys]
                mixed = gain * math.fsum(w * s for w, s in zip(a, share, strict=True))
            else:
                mixed = mixed_part(variant, a, hot, d, gain)
            kept = 1.0 if variant == "additive" else 1.0 - alpha
            out[at][d] = kept * plain + alpha * mixed
    return out


def mixed_part(variant: str, a: list[float], V: list[list[float]], d: int, gain: float) -> float:
    """The part of one output that α brings in; a and V hold the visible tokens only, V already times τ."""
    n = len(a)
    column = [row[d] for row in V]
    if variant in ("convex", "additive"):
        return math.fsum(w * gain * s for w, s in zip(a, softmax(column), strict=True))
    if variant == "matched":
        return math.fsum(w * gain * n * s for w, s in zip(a, softmax(column), strict=True))
    if variant == "centred":
        return math.fsum(w * (gain * n * s - 1.0) for w, s in zip(a, softmax(column), strict=True))
    if variant == "attenuated":
        return 0.0
    if variant == "signed":
        low, high = min(map(min, V)), max(map(max, V))
        if low == high:
            return 0.0
        return math.fsum(w * gain * (2.0 * (v - low) / (high - low) - 1.0) for w, v in zip(a, column, strict=True))
    if variant == "laser":
        heard = [(w, v) for w, v in zip(a, column, strict=True) if w > 0.0]
        if not heard:  # every weight dropped: nothing is attended to
            return 0.0
        top = max(v for _, v in heard)
        return gain * (top + math.log(math.fsum(w * math.exp(v - top) for w, v in heard)))
    raise KeyError(variant)


def batch_share(value: Array, visible: Mask, lead: tuple[int, ...], j: int, d: int, temperature: float) -> float:
    """Token j's share of the softmax over the examples (axis 0) in which some query sees token j.

    The sum runs over examples, so no query needs a sum of its own: nothing of another token enters it.
    """
    example, rest = lead[0], lead[1:]
    column = [temperature * float(value[b][rest][j][d]) for b in range(value.shape[0])]
    seen_in = [b for b in range(value.shape[0]) if any(row[j] for row in visible[b][rest])]
    return softmax([column[b] for b in seen_in])[seen_in.index(example)]


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    variant: str | None,
    alpha: float,
    gain: float = 1.0,
    temperature: float = 1.0,
) -> torch.Tensor:
    """The whole of it, in float64; keys and values with fewer heads are shared by consecutive query heads."""
    q, k, v = array(query), array(key), array(value)
    if q.ndim >= 3 and k.shape[-3] != q.shape[-3]:
        heads, groups = range(q.shape[-3]), q.shape[-3] // k.shape[-3]
        k = np.stack([k[..., h // groups, :, :] for h in heads], axis=-3)
        v = np.stack([v[..., h // groups, :, :] for h in heads], axis=-3)
    shape = (*q.shape[:-1], k.shape[-2])
    visible, bias = seen(attn_mask, is_causal, shape)
    A = weights(q, k, visible, bias, 1.0 / math.sqrt(q.shape[-1]) if scale is None else scale)
    return torch.from_numpy(mix(A, v, visible, variant, alpha, gain=gain, temperature=temperature))


def pool(
    tokens: torch.Tensor,
    scores: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    variant: str | None,
    alpha: float,
    gain: float = 1.0,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Sequence pooling: (batch, tokens, dim) weighted by softmax over the real tokens of (batch, tokens)."""
    batch, n = scores.shape
    visible = np.ones((batch, n), dtype=bool) if mask is None else mask.numpy()
    A = np.zeros((batch, n))
    for b in range(batch):
        real = [j for j in range(n) if visible[b, j]]
        for j, a in zip(real, softmax([float(scores[b, j]) for j in real]) if real else [], strict=True):
            A[b, j] = a
    out = mix(A[:, None], array(tokens), visible[:, None], variant, alpha, gain=gain, temperature=temperature)
    return torch.from_numpy(out[:, 0])
