"""Scaled dot-product attention with mixed values.

`attention` stands in for torch's function. `attend` is the form that all arms of a study compute, at every α.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import EVERYTHING, Visibility, read_mask
from crossnorm.functional.mixed_terms import is_exponential
from crossnorm.functional.mixing import mix
from crossnorm.functional.past import Past
from crossnorm.functional.variant import Mixing, Variant, as_variant
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.weights import Weights, explicit_weights, fused_weights, is_fused

__all__ = ["attend", "attend_with_weights", "attention"]


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    variant: Variant | str = "convex",
    alpha: float | None = None,
) -> Tensor:
    """Attention with mixed values: softmax(scale · Q Kᵀ) V′, where V′ is a variant of V at α.

    For the default variant V′ = (1−α) V + α S(V), with S(V)_jd = exp(V_jd) / Σ_i exp(V_id) the softmax over the
    tokens. The arguments up to `enable_gqa` are those of ``torch.nn.functional.scaled_dot_product_attention``.

    At α = 0 this calls torch's function: the bits are the same, and so is the result of a query that sees no token.
    At any other α the attention weights are an operator (see `crossnorm.functional.weights`): short sequences and
    dropout take an explicit matrix, longer ones torch's fused kernels, with memory that grows with the number of
    tokens instead of its square. Dropout is applied to the weights before the values are mixed. A query that sees no
    token gets zeros. Hidden tokens take no part: changing their contents changes no bit, as long as their keys are
    finite. If the mask differs by query, as a causal mask does, S is taken over the tokens that each query sees, so
    nothing leaks.

    Args:
        query: Q (…, q, e): q queries of e channels.
        key: K (…, k, e): k tokens.
        value: V (…, k, d).
        attn_mask: Broadcastable to (…, q, k). Boolean: True = visible. Float: added to the scores; a token is hidden
            where it is ≤ finfo(dtype).min / 2, −inf included.
        dropout_p: Probability of dropping a weight; applied whenever it is not 0, as in torch.
        is_causal: Query i sees tokens 0 … i (torch's top-left triangle); excludes `attn_mask`.
        scale: Factor of the scores; None: e^-½.
        enable_gqa: Repeat the heads (axis -3) of key and value to match those of the query.
        variant: A name of ``crossnorm list variants``, ``module:function``, or a `Variant`.
        alpha: α; None: that of the `Variant`, or 1.

    Returns:
        (…, q, d).

    Raises:
        BadInput: An unknown variant, α given twice, or shapes or masks that do not fit.

    Example:
        >>> import torch, crossnorm
        >>> q = k = v = torch.zeros(1, 3, 2)
        >>> crossnorm.attention(q, k, v, alpha=1.0)[0, 0]
        tensor([0.3333, 0.3333])

    Source: M. Bukatin, "Request for Plot" (2021).
    """
    variant = as_variant(variant, alpha)
    if variant.alpha == 0:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    return attend(
        query,
        key,
        value,
        attn_mask=attn_mask,
        is_causal=is_causal,
        dropout_p=dropout_p,
        scale=scale,
        enable_gqa=enable_gqa,
        mixing=variant.mixing,
        alpha=variant.alpha,
    )


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
    scale: float | None = None,
    enable_gqa: bool = False,
    mixing: Mixing | None = None,
    alpha: Alpha = 1.0,
    draws: str = "torch",
) -> Tensor:
    """`attention` as all arms of a study compute it, in the same form at every α.

    It draws the same random numbers for every mixing, and ``mixing=None`` equals α = 0 to the bit.

    Args:
        query: Q (…, q, e).
        key: K (…, k, e).
        value: V (…, k, d).
        attn_mask: As in `attention`.
        is_causal: As in `attention`.
        dropout_p: As in `attention`; drawn from torch's global generator.
        scale: As in `attention`.
        enable_gqa: As in `attention`.
        mixing: How the values are mixed; None: plain attention.
        alpha: α, a number or a tensor that broadcasts to (…, k, d).
        draws: How dropout draws. ``"torch"``: as torch's own attention does on a CPU, so that a converted model drops
            the same weights at α = 0 and at any other α. ``"words"``: faster, for models whose every arm computes
            this form; see `crossnorm.functional.dropout.drop`.

    Returns:
        (…, q, d).
    """
    return attend_with_weights(
        query,
        key,
        value,
        attn_mask=attn_mask,
        is_causal=is_causal,
        dropout_p=dropout_p,
        scale=scale,
        enable_gqa=enable_gqa,
        mixing=mixing,
        alpha=alpha,
        draws=draws,
        needed=False,
    )[0]


def attend_with_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    dropout_p: float = 0.0,
    scale: float | None = None,
    enable_gqa: bool = False,
    mixing: Mixing | None = None,
    alpha: Alpha = 1.0,
    draws: str = "torch",
    needed: bool = True,
    past: Past | None = None,
) -> tuple[Tensor, Tensor | None]:
    """As `attend`; if they are `needed`, also the weights A (…, q, k), after dropout, which are then written out.

    `past` are the exponentials of τV, if they are known; they are used where every query sees every token.
    """
    _check_channels(query, key, value)
    if not 0 <= dropout_p <= 1:
        raise BadInput("dropout_p", "a probability", dropout_p)
    heads, groups = query.shape[-3:-2], _groups(query, key, value) if enable_gqa else 1
    called = mixing is not None and mixing.entry is None and (isinstance(alpha, Tensor) or alpha != 0)
    if groups > 1 and called:  # a function of the user gets a value for each head
        key, value, groups = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3), 1
    if groups > 1:  # the queries of a group are one more axis, along which key and value are broadcast
        query, key, value = query.unflatten(-3, (-1, groups)), key.unsqueeze(-3), value.unsqueeze(-3)  # type: ignore[no-untyped-call]
        alpha = _grouped(alpha, heads, groups) if isinstance(alpha, Tensor) else alpha
        attn_mask = _grouped(attn_mask, heads, groups) if attn_mask is not None else None
    leading = _check_leading(query, key, value)
    visible, bias = read_mask(attn_mask, is_causal, (*leading, query.shape[-2], key.shape[-2]))
    if past is not None and visible == EVERYTHING and is_exponential(mixing):
        visible = Visibility(past=past.grouped() if groups > 1 else past)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights: Weights
    if not needed and is_fused(query, key, bias, dropout_p):
        weights = fused_weights(query, key, visible, bias, scale, leading, groups)
    else:
        weights = explicit_weights(query, key, visible, bias, scale, dropout_p=dropout_p, draws=draws)
    output = mix(weights, value, visible, mixing, alpha)
    matrix = weights.dense() if needed else None
    if groups > 1:
        output, matrix = output.flatten(-4, -3), None if matrix is None else matrix.flatten(-4, -3)
    return output, matrix


def _groups(query: Tensor, key: Tensor, value: Tensor) -> int:
    """The number of query heads that share a head of keys and values."""
    for name, tensor in (("key", key), ("value", value)):
        if tensor.ndim < 3 or query.ndim < 3 or query.shape[-3] % tensor.shape[-3]:
            expected = "a head axis -3 that divides the query's"
            raise BadInput(name, expected, f"shapes {tuple(query.shape)} and {tuple(tensor.shape)}")
    if key.shape[-3] != value.shape[-3]:
        raise BadInput("value", f"{key.shape[-3]} heads, as the key has", f"shape {tuple(value.shape)}")
    return query.shape[-3] // key.shape[-3]


def _grouped(x: Tensor, heads: tuple[int, ...], groups: int) -> Tensor:
    """A mask or α with its axis of heads, -3, as two axes (groups of heads, heads of a group)."""
    if x.ndim < 3:
        return x
    return x.unflatten(-3, (-1, groups)) if x.shape[-3:-2] == heads else x.unsqueeze(-3)  # type: ignore[no-untyped-call]


def _check_channels(query: Tensor, key: Tensor, value: Tensor) -> None:
    for name, tensor in (("query", query), ("key", key), ("value", value)):
        if tensor.ndim < 2:
            raise BadInput(name, "at least the two axes (tokens, channels)", f"shape {tuple(tensor.shape)}")
    if query.shape[-1] != key.shape[-1]:
        raise BadInput("key", f"{query.shape[-1]} channels, as the query has", f"shape {tuple(key.shape)}")
    if key.shape[-2] != value.shape[-2]:
        raise BadInput("value", f"{key.shape[-2]} tokens, as the key has", f"shape {tuple(value.shape)}")


def _check_leading(query: Tensor, key: Tensor, value: Tensor) -> tuple[int, ...]:
    """The broadcast axes before (tokens, channels)."""
    try:
        shapes = (query.shape[:-2], key.shape[:-2], value.shape[:-2])
        if shapes[0] == shapes[1] == shapes[2]:  # the usual case; broadcast_shapes is slow
            return tuple(shapes[0])
        return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    except RuntimeError:
        found = ", ".join(str(tuple(tensor.shape)) for tensor in (query, key, value))
        raise BadInput("query, key, value", "axes before the last two that broadcast", f"shapes {found}") from None
