"""Reading attention masks: a boolean mask, a float mask or causality becomes a `Visibility` and perhaps a bias."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.past import Past

__all__ = ["EVERYTHING", "Visibility", "may_read", "read_mask"]

# Number of elements of the largest temporary made from a mask that differs by query.
_CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Visibility:
    """Which tokens each query sees.

    At most one of the attributes is set; with none, every query sees every token.

    Attributes:
        keys: (…, k) boolean, the tokens that every query sees (a padding mask).
        pairs: (…, q, k) boolean, the tokens that each query sees.
        causal: The numbers (q, k) of queries and tokens, where query i sees tokens 0 … i; no mask is stored.
        past: The exponentials of all tokens, which every query sees.
    """

    keys: Tensor | None = None
    pairs: Tensor | None = None
    causal: tuple[int, int] | None = None
    past: Past | None = None

    @property
    def by_query(self) -> bool:
        """Whether terms are summed for each query: the queries see different tokens, or the sums are known."""
        return self.pairs is not None or self.causal is not None or self.past is not None

    def mask(self, device: torch.device) -> Tensor | None:
        """The boolean mask, broadcastable to the scores (…, q, k)."""
        if self.causal is not None:
            return torch.ones(self.causal, dtype=torch.bool, device=device).tril()
        return self.pairs if self.keys is None else self.keys.unsqueeze(-2)

    def to_any(self, device: torch.device) -> Tensor | None:
        """(…, k): the tokens that at least one query sees; None if it is certain that this is every token."""
        if self.causal is not None:
            queries, tokens = self.causal
            return None if queries >= tokens else torch.arange(tokens, device=device) < queries
        return self.keys if self.pairs is None else self.pairs.any(-2)

    def hide(self, x: Tensor) -> Tensor:
        """X (…, k, c), set to 0 at tokens that no query sees: 0 · NaN is NaN, so they must not reach a product."""
        seen = self.to_any(x.device)
        return x if seen is None else x.masked_fill(~seen.unsqueeze(-1), 0.0)

    def some(self) -> Tensor | None:
        """(…, q, 1): the queries that see a token; None if it is certain that every query does."""
        if self.pairs is not None:
            some = self.pairs.any(-1, keepdim=True)
        elif self.keys is not None:
            some = self.keys.any(-1, keepdim=True).unsqueeze(-1)
        else:
            return None
        return None if may_read(some) and bool(some.all()) else some

    def count(self, tokens: int, device: torch.device) -> Tensor | int:
        """N, the number of visible tokens: an int, (…, 1, 1) for `keys`, or (…, q, 1) if it differs by query."""
        if self.causal is not None:
            return torch.arange(1, self.causal[0] + 1, device=device).clamp(max=tokens).unsqueeze(-1)
        mask = self.mask(device)
        return tokens if mask is None else mask.sum(-1, keepdim=True)

    def sums(self, x: Tensor) -> Tensor:
        """Σ of x (…, k, c) over the tokens that each query sees: (…, q, c)."""
        if self.causal is not None:
            return _at_queries(x.cumsum(-2), self.causal[0])
        assert self.pairs is not None
        return _MaskedSums.apply(self.pairs, x)  # type: ignore[no-any-return, no-untyped-call]

    def extreme(self, x: Tensor, largest: bool) -> Tensor:
        """The smallest or largest of the numbers x (…, k) among the tokens that each query sees: (…, q, 1).

        ∓∞ for a query that sees none. The gradient goes to one position.
        """
        sign = 1 if largest else -1
        if self.causal is not None:
            running = (sign * x).cummax(-1).values.unsqueeze(-1)
            return sign * _at_queries(running, self.causal[0])
        assert self.pairs is not None
        rows = []
        for block in _row_blocks(self.pairs):
            hidden = ~block
            with torch.no_grad():
                at = (sign * x).unsqueeze(-2).masked_fill(hidden, -torch.inf).argmax(-1, keepdim=True)
            wide = x.unsqueeze(-2).expand(*at.shape[:-1], x.shape[-1])
            rows.append(wide.gather(-1, at).masked_fill(hidden.all(-1, keepdim=True), -sign * torch.inf))
        return torch.cat(rows, -2)


def _at_queries(running: Tensor, queries: int) -> Tensor:
    """The values (…, q, c), for the queries of a causal mask, of a running quantity over the tokens (…, k, c).

    Query i sees tokens 0 … i; queries beyond the last token see all tokens.
    """
    tokens = running.shape[-2]
    if queries <= tokens:
        return running[..., :queries, :]
    return torch.cat([running, running[..., -1:, :].expand(*running.shape[:-2], queries - tokens, -1)], dim=-2)


def _row_blocks(mask: Tensor) -> Iterator[Tensor]:
    """The mask (…, q, k) in blocks of queries, so that no floating-point copy of all of it is needed."""
    rows = max(1, _CHUNK * mask.shape[-2] // max(1, mask.numel()))
    return iter(torch.split(mask, rows, -2))


class _MaskedSums(torch.autograd.Function):
    """M · X for a boolean M (…, q, k), converted in blocks of queries, in the backward pass too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(mask: Tensor, x: Tensor) -> Tensor:
        return torch.cat([block.to(x.dtype) @ x for block in _row_blocks(mask)], -2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        mask, x = inputs
        ctx.save_for_backward(mask)
        ctx.shape = x.shape

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        (mask,) = ctx.saved_tensors
        total: Any = 0
        start = 0
        for block in _row_blocks(mask):
            rows = gradient[..., start : start + block.shape[-2], :]
            total = total + block.to(gradient.dtype).mT @ rows
            start += block.shape[-2]
        return None, total.sum_to_size(ctx.shape)


EVERYTHING = Visibility()


def may_read(tensor: Tensor) -> bool:
    """Whether the tensor's values may be read by the host: not in compiled code, nor in a captured CUDA graph."""
    return not torch.compiler.is_compiling() and not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def read_mask(attn_mask: Tensor | None, is_causal: bool, scores: tuple[int, ...]) -> tuple[Visibility, Tensor | None]:
    """Read torch's mask arguments into (visibility, additive bias or None).

    A boolean mask is True where a token is visible. A float mask hides a token where it is ≤ finfo(dtype).min / 2
    (−inf included) and is added to the scores otherwise. A mask with equal rows is read as a padding mask, one that
    hides nothing as no mask; in compiled code, where values are not read, only the shape tells. `is_causal` is torch's
    top-left triangle.

    Args:
        attn_mask: Broadcastable to (…, q, k), or None.
        is_causal: Whether query i sees tokens 0 … i only.
        scores: The shape (…, q, k) of the scores.

    Raises:
        BadInput: Both a mask and `is_causal`, a mask of another type, or one that does not broadcast.
    """
    if is_causal:
        if attn_mask is not None:
            raise BadInput.because(
                "attn_mask", "cannot be combined with is_causal=True", "Include the causal mask in attn_mask."
            )
        return Visibility(causal=(scores[-2], scores[-1])), None
    if attn_mask is None:
        return EVERYTHING, None
    _check_shape(attn_mask, scores)
    if attn_mask.shape[-1] != scores[-1]:  # one entry for all tokens
        attn_mask = attn_mask.expand(*attn_mask.shape[:-1], scores[-1])
    if attn_mask.dtype == torch.bool:
        return _simplest(attn_mask, scores[-2]), None
    if not attn_mask.is_floating_point():
        raise BadInput("attn_mask", "a boolean or floating-point tensor", str(attn_mask.dtype))
    visible = attn_mask > torch.finfo(attn_mask.dtype).min / 2
    return _simplest(visible, scores[-2]), attn_mask


def _check_shape(mask: Tensor, scores: tuple[int, ...]) -> None:
    try:
        fits = mask.ndim > 0 and torch.broadcast_shapes(mask.shape, scores) == scores  # type: ignore[no-untyped-call]
    except RuntimeError:
        fits = False
    if not fits:
        expected = f"a shape that broadcasts to (…, queries, tokens) = {scores}"
        raise BadInput("attn_mask", expected, f"shape {tuple(mask.shape)}")


def _simplest(visible: Tensor, queries: int) -> Visibility:
    """No mask if nothing is hidden, a padding mask if all rows are equal, otherwise a mask by query."""
    readable = may_read(visible)
    if readable and bool(visible.all()):
        return EVERYTHING
    if visible.ndim == 1:
        return Visibility(keys=visible)
    if visible.shape[-2] == 1 or (readable and bool((visible == visible[..., :1, :]).all())):
        return Visibility(keys=visible[..., 0, :])
    return Visibility(pairs=visible.expand(*visible.shape[:-2], queries, visible.shape[-1]))
