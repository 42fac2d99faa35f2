"""The attention weights A (…, q, k) as an operator: what mixes values sees A·X and the row sums of A.

A·X is ``weights @ X``; the library itself writes ``weights.times(X)``, which torch can compile.

Two forms. `Explicit` holds the matrix. `Fused` computes A·X by ``torch.nn.functional.scaled_dot_product_attention``,
whose kernels never write A: memory grows with q + k instead of q · k. `is_fused` chooses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from crossnorm.functional.blocks import in_blocks, with_axes
from crossnorm.functional.dropout import drop
from crossnorm.functional.masks import Visibility

__all__ = ["Explicit", "Fused", "Weights", "autocast_dtype", "explicit_weights", "fused_weights", "is_fused"]

_EXPLICIT_UP_TO = {"cpu": 64 * 64, "cpu, half": 256 * 256, "cuda": 64 * 64, "cuda, half": 64 * 64}
"""Scores per head up to which the matrix is written out, by device and precision.

Measured: float32 on a CPU; half precision on a CPU with bfloat16 units at 64 tokens, where two products take a quarter
of the kernel's time. The rest is a guess.
"""

_WIDENED = {"cpu": (torch.float16, torch.bfloat16), "cuda": (torch.float16,)}
"""Types of A in which a fused product with float32 values is computed in float32.

On a CPU the kernels are as fast in float32 as in bfloat16, and more precise. Exponentials exceed the range of float16.
"""


@dataclass(frozen=True)
class Explicit:
    """A as a matrix.

    Attributes:
        matrix: A.
        sums: The sums of its rows before rounding, where they are known; None: they are added up.
    """

    matrix: Tensor
    sums: Tensor | float | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The type of A and of its products."""
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        """The device of A."""
        return self.matrix.device

    @property
    def rounds(self) -> bool:
        """Whether products with float32 values are computed in bfloat16."""
        return self.dtype == torch.bfloat16

    def times(self, x: Tensor) -> Tensor:
        """A·X (…, q, c) for X (…, k, c); if A is in half precision and X is not, the result has X's type."""
        if self.rounds and x.dtype == torch.float32:
            return _product(self.matrix, x, _HalfProduct.apply)
        if self.dtype == torch.float16 and x.dtype == torch.float32:
            return _product(self.matrix.to(x.dtype), x)  # exponentials exceed the range of float16
        return _product(self.matrix, x)

    __matmul__ = times

    def row_sums(self) -> Tensor | float:
        """The sums of A's rows (…, q, 1), in float32 or wider."""
        return self.rounded_sums() if self.sums is None else self.sums

    def rounded_sums(self) -> Tensor | float:
        """The sums of A's rows as they are rounded to its type: products with them cancel where A is uniform.

        No gradient where the true sums are constant: in half precision it would bury that of the rest of A.
        """
        matrix = self.matrix if self.sums is None else self.matrix.detach()
        return matrix.sum(-1, keepdim=True, dtype=torch.promote_types(self.dtype, torch.float32))

    def dense(self) -> Tensor:
        """The matrix (…, q, k)."""
        return self.matrix

    def by_heads(self, function: Callable[..., Tensor], *tensors: Tensor | None) -> Tensor:
        """``function(*tensors)`` for a function that treats every head alone; see `in_blocks`."""
        return function(*tensors)

    def to(self, dtype: torch.dtype) -> Explicit:
        """A in another type."""
        return self if dtype == self.dtype else replace(self, matrix=self.matrix.to(dtype))


@dataclass(frozen=True, kw_only=True)
class Fused:
    """A as queries, keys and a mask.

    Attributes:
        query: Q (b, h, q, e).
        key: K (b, h, k, e).
        mask: Boolean or additive, broadcastable to (b, h, q, k), with no row that hides everything; None.
        is_causal: Whether query i sees tokens 0 … i, without a mask.
        scale: Factor of the scores.
        some: (…, q, 1), the queries that see a token; None: all.
        leading: The axes before (q, k).
        groups: The size of the last of these axes, if it is that of the query heads that share a key; else 1.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float
    some: Tensor | None
    leading: tuple[int, ...]
    groups: int

    @property
    def dtype(self) -> torch.dtype:
        """The type of A and of its products."""
        return self.query.dtype

    @property
    def device(self) -> torch.device:
        """The device of A."""
        return self.query.device

    @property
    def has_heads(self) -> bool:
        """Whether the axes before (q, k) are (b, h), or (b, groups, heads of a group)."""
        return len(self.leading) == (3 if self.groups > 1 else 2)

    @property
    def widens(self) -> bool:
        """Whether products with float32 values are computed in float32 though A has half precision."""
        return self.dtype in _WIDENED[self.device.type]

    @property
    def rounds(self) -> bool:
        """Whether products with float32 values are computed in bfloat16."""
        return self.dtype == torch.bfloat16 and not self.widens

    def times(self, x: Tensor) -> Tensor:
        """A·X (…, q, c) for X (…, k, c); if A is in half precision and X is not, the result has X's type."""
        if x.dtype == torch.float32 and self.widens:
            return self.to(x.dtype).times(x)
        query, key, channels, dtype = self.query, self.key, x.shape[-1], torch.promote_types(self.dtype, x.dtype)
        x = _four_axes(x.to(self.dtype), self.leading, self.groups)
        if x.shape[1] != key.shape[1]:  # the queries of a group see different values
            key = key.repeat_interleave(self.groups, 1)
        missing = query.shape[-1] - channels  # the kernels take equal numbers of channels only
        if missing > 0:
            x = F.pad(x, (0, missing))
        elif missing < 0:
            query, key = F.pad(query, (0, -missing)), F.pad(key, (0, -missing))
        mask = self.mask if self.mask is None or self.mask.dtype == torch.bool else self.mask.to(self.dtype)
        out = F.scaled_dot_product_attention(
            query, key, x, mask, is_causal=self.is_causal, scale=self.scale, enable_gqa=key.shape[1] != query.shape[1]
        )
        out = out[..., :channels].reshape(*self.leading, -1, channels).to(dtype)
        return out if self.some is None else out.masked_fill(~self.some, 0.0)

    __matmul__ = times

    def row_sums(self) -> Tensor | float:
        """The sums of A's rows."""
        return self.sums

    rounded_sums = row_sums

    @property
    def sums(self) -> Tensor | float:
        """The sums of A's rows: 1, or 0 for a query that sees no token."""
        return _sums(self.some, self.dtype)

    def dense(self) -> Tensor:
        """The matrix (…, q, k)."""
        key = self.key if self.key.shape[1] == self.query.shape[1] else self.key.repeat_interleave(self.groups, 1)
        boolean = self.mask is not None and self.mask.dtype == torch.bool
        causal = (self.query.shape[-2], key.shape[-2]) if self.is_causal else None
        visible = Visibility(pairs=self.mask if boolean else None, causal=causal)
        matrix = explicit_weights(self.query, key, visible, None if boolean else self.mask, self.scale).matrix
        matrix = matrix.reshape(*self.leading, *matrix.shape[-2:])
        return matrix if self.some is None else matrix.masked_fill(~self.some, 0.0)

    def by_heads(self, function: Callable[..., Tensor], first: Tensor, *others: Tensor | None) -> Tensor:
        """``function(first, *others)`` for a function that treats every head alone; see `in_blocks`."""
        return in_blocks(function, first, *others)

    def of_heads(self, query: Tensor, key: Tensor, mask: Tensor | None, some: Tensor | None) -> Fused:
        """A of some of the heads, from their parts of `query`, `key`, `mask` and `some`."""
        heads = (query.shape[1] // self.groups, self.groups) if self.groups > 1 else (query.shape[1],)
        return replace(self, query=query, key=key, mask=mask, some=some, leading=(*self.leading[:1], *heads))

    def to(self, dtype: torch.dtype) -> Fused:
        """A in another type."""
        if dtype == self.dtype:
            return self
        return replace(self, query=self.query.to(dtype), key=self.key.to(dtype))


Weights: TypeAlias = Explicit | Fused
"""A, after dropout, 0 where a token is hidden."""


def _product(left: Tensor, right: Tensor, multiply: Callable[..., Any] = torch.matmul) -> Tensor:
    """The product of two stacks of matrices; if many on the left share one on the right, it is not copied for them."""
    if left.ndim < 4 or left.ndim != right.ndim or right.shape[-3] != 1:
        return multiply(left, right)  # type: ignore[no-any-return]
    shared: Tensor = multiply(left.flatten(-3, -2), right.squeeze(-3))
    return shared.unflatten(-2, left.shape[-3:-1])  # type: ignore[no-any-return, no-untyped-call]


class _HalfProduct(torch.autograd.Function):
    """A·X for A in bfloat16 and X in float32, multiplied in bfloat16; X's gradient is multiplied in float32.

    The gradients that reach X through A·exp(X) and through the sums of exp(X) nearly cancel where A is nearly uniform.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor, x: Tensor) -> Tensor:
        return (matrix @ x.to(matrix.dtype)).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        matrix, x = ctx.saved_tensors
        with torch.autocast(matrix.device.type, enabled=False):
            to_matrix = gradient.to(matrix.dtype) @ x.to(matrix.dtype).mT
            to_x = matrix.to(x.dtype).mT @ gradient
        return to_matrix.sum_to_size(matrix.shape), to_x.sum_to_size(x.shape)


def is_fused(query: Tensor, key: Tensor, bias: Tensor | None, dropout_p: float) -> bool:
    """Whether A stays an operator; the rule knows nothing of the variant, so that all arms of a study take one form.

    Explicit are: few scores per head (up to 64 × 64, in half precision on a CPU 256 × 256), fast to write out;
    dropout, which must drop the same weights in every product; an additive mask that takes a gradient, as learned
    positions do; devices other than CPU and CUDA; and calls without queries or tokens.
    """
    device = query.device.type
    if device not in _EXPLICIT_UP_TO:
        return False
    half = autocast_dtype(query) in (torch.bfloat16, torch.float16)
    limit = _EXPLICIT_UP_TO[f"{device}, half" if half else device]
    learned = bias is not None and bias.requires_grad
    return query.shape[-2] * key.shape[-2] > limit and not dropout_p and not learned


def explicit_weights(
    query: Tensor,
    key: Tensor,
    visible: Visibility,
    bias: Tensor | None,
    scale: float,
    *,
    dropout_p: float = 0.0,
    draws: str = "torch",
) -> Explicit:
    """A = softmax(scale · Q Kᵀ + bias) over the visible tokens; the weights of a query that sees none are 0."""
    # Contiguous before scaling: scaling a strided tensor is slow, and the product would copy it anyway.
    scores = _product(query.contiguous() * scale, key.transpose(-2, -1))
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    mask = visible.mask(query.device)
    if mask is None:
        matrix = scores.softmax(-1)
    else:
        # finfo.min instead of −inf: a row without a visible token gets no NaN, in the gradient either.
        matrix = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1).masked_fill(~mask, 0.0)
    if dropout_p:
        return Explicit(drop(matrix, dropout_p) if draws == "words" else F.dropout(matrix, dropout_p))
    return Explicit(matrix, sums=_sums(visible.some(), matrix.dtype))


def fused_weights(
    query: Tensor,
    key: Tensor,
    visible: Visibility,
    bias: Tensor | None,
    scale: float,
    leading: tuple[int, ...],
    groups: int = 1,
) -> Fused:
    """The same without the matrix; no dropout. `leading` and `groups` as in `Fused`."""
    some = visible.some()
    mask = bias if bias is not None else None if visible.causal is not None else visible.mask(query.device)
    if some is not None:
        assert mask is not None
        # Queries that see no token see all of them here, and get zeros afterwards: a kernel would return NaN.
        mask = mask | ~some if mask.dtype == torch.bool else mask.masked_fill(~some, 0.0)
    dtype = autocast_dtype(query)
    return Fused(
        query=_four_axes(query.to(dtype), leading, groups),
        key=_four_axes(key.to(dtype), leading, groups),
        mask=None if mask is None else _mask_axes(mask, leading, groups),
        is_causal=visible.causal is not None,
        scale=scale,
        some=some,
        leading=leading,
        groups=groups,
    )


def autocast_dtype(x: Tensor | Weights) -> torch.dtype:
    """The type in which autocast would multiply a tensor; its own outside of autocast."""
    device = x.device.type
    autocast = torch.is_autocast_enabled(device) and x.dtype != torch.float64
    return torch.get_autocast_dtype(device) if autocast else x.dtype


def _sums(some: Tensor | None, dtype: torch.dtype) -> Tensor | float:
    """The sums of the rows of A without dropout: 1, or 0 for a query that sees no token."""
    return 1.0 if some is None else some.to(torch.promote_types(dtype, torch.float32))


def _four_axes(x: Tensor, leading: tuple[int, ...], groups: int) -> Tensor:
    """(…, n, c) as (b, h, n, c), which the kernels take: further axes are merged, missing ones added.

    With groups, h is the number of query heads, or that of the groups where all queries of a group share x.
    """
    if groups > 1:
        shared = x.shape[-3:-2] if x.ndim > 2 else (1,)
        x = x.expand(*leading[:-1], *shared, *x.shape[-2:]).flatten(-4, -3)
        return x.reshape(-1, *x.shape[-3:])
    x = x.expand(*leading, *x.shape[-2:])
    if len(leading) == 2:
        return x
    return x.reshape(-1, 1 if len(leading) < 2 else leading[-1], *x.shape[-2:])


def _mask_axes(mask: Tensor, leading: tuple[int, ...], groups: int) -> Tensor:
    """A mask that broadcasts to (…, q, k), as one that broadcasts to (b, h, q, k)."""
    if mask.ndim == 2:
        return with_axes(mask, 4)
    if groups > 1 and mask.shape[-4:-2] == (1, 1):
        return with_axes(mask.squeeze(-4), 4)
    if len(leading) == 2:
        return with_axes(mask, 4)
    if groups > 1:
        mask = mask.expand(*leading, *mask.shape[-2:])
    return _four_axes(mask, leading, groups)
