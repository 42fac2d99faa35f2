"""Sequence pooling (SeqPool) with mixed values: one query per example, its weights the softmax of a score per token.

Source: Compact Transformers, arXiv 2104.05704, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import read_mask
from crossnorm.functional.mixing import mix
from crossnorm.functional.variant import Mixing, Variant, as_variant
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.weights import Explicit

__all__ = ["pool", "sequence_pool"]


def sequence_pool(
    tokens: Tensor,
    scores: Tensor,
    mask: Tensor | None = None,
    *,
    variant: Variant | str = "convex",
    alpha: float | None = None,
) -> Tensor:
    """Weighted sum of the mixed tokens: softmax(scores)ᵀ X′, where X′ is a variant of the tokens X at α.

    Args:
        tokens: X (batch, tokens, dim).
        scores: (batch, tokens), before the softmax.
        mask: (batch, tokens), True = real. Other tokens take no part; an example without a real token gives zeros.
        variant: As in `crossnorm.attention`.
        alpha: As in `crossnorm.attention`.

    Returns:
        (batch, dim).

    Raises:
        BadInput: An unknown variant, α given twice, or shapes that do not fit.
    """
    variant = as_variant(variant, alpha)
    return pool(tokens, scores, mask=mask, mixing=variant.mixing, alpha=variant.alpha)


def pool(
    tokens: Tensor,
    scores: Tensor,
    *,
    mask: Tensor | None = None,
    mixing: Mixing | None = None,
    alpha: Alpha = 1.0,
) -> Tensor:
    """`sequence_pool` as the layers of a model call it; ``mixing=None`` equals α = 0 to the bit.

    Args:
        tokens: X (batch, tokens, dim).
        scores: (batch, tokens).
        mask: (batch, tokens), True = real.
        mixing: How the values are mixed; None: plain pooling.
        alpha: α, a number or a tensor that broadcasts to (batch, tokens, dim).

    Returns:
        (batch, dim).
    """
    _check_shapes(tokens, scores, mask)
    attn_mask = None if mask is None else mask.unsqueeze(-2)
    visible, _ = read_mask(attn_mask, False, (len(tokens), 1, tokens.shape[-2]))
    if visible.keys is None:
        weights = scores.softmax(-1)
    else:
        hidden = ~visible.keys
        weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(hidden, 0.0)
    return mix(Explicit(weights.unsqueeze(-2)), tokens, visible, mixing, alpha).squeeze(-2)


def _check_shapes(tokens: Tensor, scores: Tensor, mask: Tensor | None) -> None:
    if tokens.ndim != 3:
        raise BadInput("tokens", "the axes (batch, tokens, dim)", f"shape {tuple(tokens.shape)}")
    if scores.shape != tokens.shape[:2]:
        raise BadInput("scores", f"the shape {tuple(tokens.shape[:2])} of (batch, tokens)", tuple(scores.shape))
    if mask is not None and (mask.shape != tokens.shape[:2] or mask.dtype != torch.bool):
        expected = f"a boolean tensor of the shape {tuple(tokens.shape[:2])} of (batch, tokens)"
        raise BadInput("mask", expected, f"{mask.dtype} of shape {tuple(mask.shape)}")
