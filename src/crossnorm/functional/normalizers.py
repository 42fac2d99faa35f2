"""Normalizers of values X (…, k, d), k tokens of d channels.

The `…_over_…` functions apply where every query sees the same tokens; they return normalized values of X's shape. The
other functions apply where the mask differs by query. They also take the attention weights A (…, q, k) and V, and
return A·V and the product of A with X normalized, for each query, over the tokens that this query sees.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from crossnorm.functional.masks import Visibility
from crossnorm.functional.matmul import products

__all__ = [
    "at_least_float32",
    "log_sum_exp",
    "min_max_over_tokens",
    "seen_min_max",
    "seen_softmax",
    "softmax_over_batch",
    "softmax_over_tokens",
]

# For |x| ≤ LIMIT, exp(x), its sums and their quotients have full relative precision without subtracting a maximum.
_LIMIT = {torch.float32: 40.0, torch.float64: 300.0}
# Number of elements of the largest temporary, (…, rows, k, d), in `_exact_sums`.
_CHUNK = 1 << 22


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, converted to float32 if its type is a half-precision one."""
    return x if x.dtype in _LIMIT else x.float()


def softmax_over_tokens(x: Tensor, visible: Visibility) -> Tensor:
    """S(X)_jd = exp(X_jd) / Σ_i exp(X_id) over the visible tokens; hidden tokens get 0."""
    return _masked_softmax(x, visible.keys, dim=-2)


def softmax_over_batch(x: Tensor, visible: Visibility) -> Tensor:
    """exp(X_bjd) / Σ_c exp(X_cjd): softmax over the examples c in which token j is visible.

    The result of one example depends on the other examples of the batch.
    """
    return _masked_softmax(x, visible.to_any(), dim=0)


def _masked_softmax(x: Tensor, keys: Tensor | None, dim: int) -> Tensor:
    """Softmax over the visible entries, in X's type: torch sums in float32 and rounds only the result."""
    if keys is None:
        return x.softmax(dim)
    hidden = ~keys.unsqueeze(-1)
    # finfo.min instead of −inf: an axis without a visible token gets no NaN, in the gradient either.
    return x.masked_fill(hidden, torch.finfo(x.dtype).min).softmax(dim).masked_fill(hidden, 0.0)


def min_max_over_tokens(x: Tensor, visible: Visibility) -> Tensor:
    """2 (X - lo) / (hi - lo) - 1 with lo, hi over the visible tokens and all channels; 0 where hi = lo."""
    x = at_least_float32(x)
    low, high = _extremes(x, visible.keys)
    span = high - low
    # hi = lo, or so nearly that 2 / span would overflow, or no visible token.
    flat = ~(span > 4 * torch.finfo(x.dtype).tiny)
    scale = (2 / span.masked_fill(flat, 1.0)).masked_fill(flat, 0.0)
    lowest = torch.where(flat, 0.0, -1.0).to(x.dtype)
    return torch.addcmul(lowest, x - low.masked_fill(flat, 0.0), scale)


def _extremes(x: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
    """Minimum and maximum (…, 1, 1) over the visible tokens and all channels; equal if no token is visible.

    Their positions are found without gradients and their values gathered, so that each gets its gradient at one
    position. The backward pass of torch's amin and amax searches for all equal values, which would double the time that
    `signed` adds to a training step.
    """
    with torch.no_grad():
        lows = highs = x
        if keys is not None:
            hidden = ~keys.unsqueeze(-1)
            lows, highs = x.masked_fill(hidden, torch.inf), x.masked_fill(hidden, -torch.inf)
        positions = [lows.flatten(-2).argmin(-1, keepdim=True), highs.flatten(-2).argmax(-1, keepdim=True)]
    picked = x.expand_as(lows).flatten(-2).gather(-1, torch.cat(positions, -1))  # a mask may have more leading axes
    return picked[..., :1, None], picked[..., 1:, None]


def seen_min_max(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility) -> tuple[Tensor, Tensor]:
    """A·V and Σ_j A_ij (2 (X_jd - lo_i) / (hi_i - lo_i) - 1), lo_i and hi_i over the tokens i sees and all channels."""
    assert visible.pairs is not None
    with torch.autocast(x.device.type, enabled=False):
        x = _from_first_seen(at_least_float32(x), visible)
        plain, above = products(weights, value, x, causal=visible.causal)
        low, high = _seen_range(x, visible)
        flat = ~(high > low)
        low, span = low.masked_fill(flat, 0.0), (high - low).masked_fill(flat, 1.0)
        total = weights.sum(-1, keepdim=True, dtype=x.dtype)
        return plain, (2 * (above - low * total) / span - total).masked_fill(flat, 0.0)


def _seen_range(x: Tensor, visible: Visibility) -> tuple[Tensor, Tensor]:
    """Minimum and maximum (…, q, 1) over the tokens each query sees and all channels; +∞ and -∞ if it sees none."""
    assert visible.pairs is not None
    low, high = (x.gather(-1, at) for at in (x.argmin(-1, keepdim=True), x.argmax(-1, keepdim=True)))
    if visible.causal:  # each query sees one token more than the last: a running minimum needs no (q, k) temporary
        queries = visible.pairs.shape[-2]
        return _by_query(low.cummin(-2).values, queries), _by_query(high.cummax(-2).values, queries)
    hidden = ~visible.pairs
    low = low.mT.masked_fill(hidden, torch.inf).amin(-1, keepdim=True)
    return low, high.mT.masked_fill(hidden, -torch.inf).amax(-1, keepdim=True)


def _from_first_seen(x: Tensor, visible: Visibility) -> Tensor:
    """X minus one number per head, the minimum of the first token that any query sees, to avoid cancellation.

    Min-max normalization is invariant to the shift. Under a causal mask every query sees that token, so nothing leaks.
    """
    seen = visible.to_any()
    if seen is None:
        return x - x.detach()[..., :1, :].amin(-1, keepdim=True)
    first = seen.int().argmax(-1)[..., None, None].expand(*x.shape[:-2], 1, x.shape[-1])
    return _seen(x - x.detach().gather(-2, first).amin(-1, keepdim=True), visible)


def seen_softmax(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility) -> tuple[Tensor, Tensor]:
    """A·V and Σ_j A_ij S_i(X)_jd = (A · e^X)_id / (M · e^X)_id, M the boolean mask; 0 for a query that sees no token.

    The type is float32 or wider. Three cases, by the largest |X|:

    1. It is small: exp(X) needs no shift, and each sum is one matrix product.
    2. It is within the range of float64: the same in float64.
    3. Beyond: each query subtracts the maximum over the tokens that it sees. This is done in blocks of queries, which
       are recomputed in the backward pass.

    In all three, a token that a query does not see does not enter its sums.
    """
    mask = visible.mask()
    assert mask is not None
    with torch.autocast(x.device.type, enabled=False):
        x = _seen(at_least_float32(x), visible)
        dtype = _plain_dtype(x)
        if dtype is None:
            plain, (above, below, _) = weights @ value, _exact_sums(weights.to(x.dtype), x, mask)
        else:
            exp_x = x.to(dtype).exp()
            # X's gradients through A·exp(X) and through M·exp(X) nearly cancel, hence wide_gradient.
            plain, above = products(weights, value, exp_x, causal=visible.causal, wide_gradient=True)
            if visible.causal:  # every query sees a token, so no sum is 0
                return plain, above / _by_query(exp_x.cumsum(-2), mask.shape[-2])
            below = mask.to(dtype) @ exp_x
        return plain, above / below.masked_fill(below == 0, 1.0)


def _by_query(running: Tensor, queries: int) -> Tensor:
    """The values (…, q, c), for the queries of a causal mask, of a running quantity over the tokens (…, k, c).

    Query i sees tokens 0 … i; queries beyond the last token see all tokens.
    """
    tokens = running.shape[-2]
    if queries <= tokens:
        return running[..., :queries, :]
    return torch.cat([running, running[..., -1:, :].expand(*running.shape[:-2], queries - tokens, -1)], dim=-2)


def log_sum_exp(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility) -> tuple[Tensor, Tensor]:
    """A·V and log Σ_j A_ij exp(X_jd), 0 where all weights are 0. The same three cases as in `seen_softmax`."""
    with torch.autocast(x.device.type, enabled=False):
        x = _seen(at_least_float32(x), visible)
        dtype = _plain_dtype(x)
        shift: Tensor | float = 0.0
        if dtype is None:
            plain, weights = weights @ value, weights.to(x.dtype)
            above, _, shift = _exact_sums(weights, x, weights != 0)
        else:
            plain, above = products(weights, value, x.to(dtype).exp(), causal=visible.causal)
        empty = above == 0
        return plain, (above.masked_fill(empty, 1.0).log() + shift).masked_fill(empty, 0.0)


def _seen(x: Tensor, visible: Visibility) -> Tensor:
    """X, set to 0 at tokens that no query sees."""
    seen = visible.to_any()
    return x if seen is None else x.masked_fill(~seen.unsqueeze(-1), 0.0)


def _plain_dtype(x: Tensor) -> torch.dtype | None:
    """The type in which exp(X) needs no shift: X's own, else float64 if the device has it, else None."""
    bound = float(x.detach().abs().amax()) if x.numel() else 0.0
    if bound <= _LIMIT[x.dtype]:
        return x.dtype
    return torch.float64 if bound <= _LIMIT[torch.float64] and x.device.type != "mps" else None


def _exact_sums(weights: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σ_j A_ij exp(X_jd - c_id), Σ_{l visible to i} exp(X_ld - c_id) and the shift c, all (…, q, d)."""
    mask = mask.expand(*mask.shape[:-2], *weights.shape[-2:])
    rows = max(1, _CHUNK // x.numel())
    blocks = [
        checkpoint(_exact_rows, w, x, m, use_reentrant=False, preserve_rng_state=False)
        for w, m in zip(torch.split(weights, rows, -2), torch.split(mask, rows, -2), strict=True)
    ]
    above, below, shift = (torch.cat(parts, -2) for parts in zip(*blocks, strict=True))
    return above, below, shift


def _exact_rows(weights: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    spread = x.unsqueeze(-3).masked_fill(~mask.unsqueeze(-1), -torch.inf)  # (…, rows, k, d)
    shift = spread.detach().amax(-2)
    shift = shift.masked_fill(shift == -torch.inf, 0.0)
    terms = (spread - shift.unsqueeze(-2)).exp()
    return (weights.unsqueeze(-1) * terms).sum(-2), terms.sum(-2), shift
