"""Products of the attention weights A with V and with a matrix C that is kept in a wider type than A."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["products"]


def products(
    weights: Tensor, value: Tensor, columns: Tensor, *, causal: bool = False, wide_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """A·V in A's type and A·C (…, q, d) in C's type, float32 or wider. Autocast must be off.

    Args:
        weights: A (…, q, k).
        value: V (…, k, d), of A's type.
        columns: C (…, k, d).
        causal: Whether A is 0 beyond its diagonal.
        wide_gradient: Whether to keep C's gradient in C's type if A is bfloat16, rather than round it to bfloat16.
    """
    if weights.dtype != torch.bfloat16:
        return weights @ value, weights.to(columns.dtype) @ columns
    plain, wide = _BfloatProducts.apply(weights, value.expand_as(columns), columns, causal, wide_gradient)
    return plain, wide


class _BfloatProducts(torch.autograd.Function):
    """A·V and A·C for A and V in bfloat16 and C wider.

    A's gradient is rounded to bfloat16 in any case, so one product in bfloat16 computes it. Products in the wider type
    cost several times as much, so with a causal A they skip most of its zeros.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        weights: Tensor, value: Tensor, columns: Tensor, causal: bool, wide_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        parts = []
        for start, stop in _blocks(weights.shape[-2], causal):
            seen = stop if causal else None
            parts.append(weights[..., start:stop, :seen].to(columns.dtype) @ columns[..., :seen, :])
        return weights @ value, torch.cat(parts, -2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        weights, value, columns, ctx.causal, ctx.wide_gradient = inputs
        ctx.save_for_backward(weights, value, columns)

    @staticmethod
    def backward(ctx: Any, of_plain: Tensor, of_wide: Tensor) -> tuple[Tensor | None, ...]:
        weights, value, columns = ctx.saved_tensors
        with torch.autocast(weights.device.type, enabled=False):
            both = torch.cat([of_plain, of_wide.to(weights.dtype)], -1)
            to_weights = both @ torch.cat([value, columns.to(weights.dtype)], -1).mT
            if ctx.wide_gradient:
                to_value = weights.mT @ of_plain
                parts = [
                    weights[..., start:, start:stop].to(columns.dtype).mT @ of_wide[..., start:, :]
                    for start, stop in _blocks(weights.shape[-1], ctx.causal)
                ]
                to_columns = torch.cat(parts, -2)
            else:
                to_value, to_columns = (weights.mT @ both).chunk(2, -1)
        return (
            to_weights.sum_to_size(weights.shape),
            to_value.sum_to_size(value.shape),
            to_columns.to(columns.dtype).sum_to_size(columns.shape),
            None,
            None,
        )


def _blocks(length: int, causal: bool) -> list[tuple[int, int]]:
    """(start, stop) of at most four blocks, of 64 or more, along an axis; one block if A is not causal."""
    step = max(64, -(-length // 4)) if causal else max(1, length)
    return [(start, min(start + step, length)) for start in range(0, max(1, length), step)]
