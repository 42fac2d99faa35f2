"""Sequence pooling (SeqPool) whose values may be remixed.

One query per example, whose weights are the softmax of a learned score of each token. Knows nothing of models.

Source: Compact Transformers, arXiv 2104.05704, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import read_mask
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.variants import Variant, as_variant, mix

__all__ = ["pool", "sequence_pool"]


def sequence_pool(
    tokens: Tensor,
    scores: Tensor,
    mask: Tensor | None = None,
    *,
    variant: Variant | str = "convex",
    alpha: float | None = None,
) -> Tensor:
    """Weighted sum of the remixed tokens: softmax(scores)ᵀ X′, X′ a variant of the tokens X at dose α.

    Args:
        tokens: X (batch, tokens, dim).
        scores: (batch, tokens), before the softmax.
        mask: (batch, tokens), True = real; hidden tokens take no part, an example without any gives zeros.
        variant: As in `crossnorm.attention`.
        alpha: As in `crossnorm.attention`.

    Returns:
        (batch, dim).

    Raises:
        BadInput: An unknown variant, α given twice, shapes that do not fit.
    """
    return pool(tokens, scores, mask=mask, variant=as_variant(variant, alpha))


def pool(
    tokens: Tensor,
    scores: Tensor,
    *,
    mask: Tensor | None = None,
    variant: Variant | None = None,
    alpha: Alpha | None = None,
) -> Tensor:
    """`sequence_pool` as the models of a study call it: ``variant=None`` equals α = 0 to the bit.

    Args:
        tokens: X (batch, tokens, dim).
        scores: (batch, tokens).
        mask: (batch, tokens), True = real.
        variant: None: plain pooling.
        alpha: The dose in force; None: the variant's own.

    Returns:
        (batch, dim).
    """
    _check_shapes(tokens, scores, mask)
    attn_mask = None if mask is None else mask.unsqueeze(-2)
    visible, _ = read_mask(attn_mask, False, (len(tokens), 1, tokens.shape[-2]), tokens.device)
    if visible.keys is None:
        weights = scores.softmax(-1)
    else:
        hidden = ~visible.keys
        weights = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(hidden, 0.0)
        tokens = tokens.masked_fill(hidden.unsqueeze(-1), 0.0)
    return mix(weights.unsqueeze(-2), tokens, visible, variant, alpha).squeeze(-2)


def _check_shapes(tokens: Tensor, scores: Tensor, mask: Tensor | None) -> None:
    if tokens.ndim != 3:
        raise BadInput("tokens", "the axes (batch, tokens, dim)", f"shape {tuple(tokens.shape)}")
    if scores.shape != tokens.shape[:2]:
        raise BadInput("scores", f"the shape {tuple(tokens.shape[:2])} of (batch, tokens)", tuple(scores.shape))
    if mask is not None and (mask.shape != tokens.shape[:2] or mask.dtype != torch.bool):
        expected = f"a boolean tensor of the shape {tuple(tokens.shape[:2])} of (batch, tokens)"
        raise BadInput("mask", expected, f"{mask.dtype} of shape {tuple(mask.shape)}")
