"""The products of the attention weights with V and with something wider that is made from V.

Knows nothing of what that is.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["products"]


def products(
    weights: Tensor, value: Tensor, columns: Tensor, *, causal: bool = False, wide_gradient: bool = False
) -> tuple[Tensor, Tensor]:
    """A·V in A's type and A·C (…, q, d) in that of C (…, k, d), float32 at least; call it where autocast is off.

    Args:
        weights: A (…, q, k).
        value: V (…, k, d), of A's type.
        columns: C (…, k, d).
        causal: Whether A is 0 beyond its diagonal.
        wide_gradient: Whether C's gradient must not be rounded to bfloat16 where A has that type.
    """
    if weights.dtype != torch.bfloat16:
        return weights @ value, weights.to(columns.dtype) @ columns
    plain, wide = _BfloatProducts.apply(weights, value.expand_as(columns), columns, causal, wide_gradient)
    return plain, wide


class _BfloatProducts(torch.autograd.Function):
    """A·V and A·C for A and V in bfloat16 and C wider.

    A's gradient will be rounded to bfloat16 in any case, so it is one product of that type. Wide products are several
    times as dear, so of a causal A they leave out most of what is 0.
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
    """An axis in at most four stretches of at least 64 where there is something to leave out, else in one."""
    step = max(64, -(-length // 4)) if causal else max(1, length)
    return [(start, min(start + step, length)) for start in range(0, max(1, length), step)]
