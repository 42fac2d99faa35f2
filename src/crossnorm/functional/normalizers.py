"""Normalizers of values X (…, k, d), k tokens of d channels, 0 where no query sees the token.

The `…_over_…` functions apply where every query sees the same tokens; they return normalized values of X's shape. The
other functions apply where the mask differs by query. They also take the attention weights A (…, q, k) and return the
product of A with X normalized, for each query, over the tokens that this query sees; a token that a query does not see
does not enter its sums.

Exponentials by levels. exp(X) of widely spread values exceeds every floating type, and a maximum over all tokens would
make the sums of early queries vanish. So the values of a channel are divided into levels, intervals of a fixed width
around shifts c, and the sums are taken of exp(X - c), level by level. What counts for a query are the highest level of
a token that it sees and the level below. Ordinary values need one level. Values that would need many levels, as in a
training that diverges, are summed query by query. Where values may not be read (see
`crossnorm.functional.masks.may_read`) the number of levels is fixed: it suffices for values of ±80, and tokens beyond
do not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from crossnorm.functional.blocks import with_axes
from crossnorm.functional.masks import Visibility, may_read
from crossnorm.functional.weights import Weights

__all__ = [
    "at_least_float32",
    "log_sum_exp",
    "min_max_over_tokens",
    "seen_min_max",
    "seen_softmax",
    "softmax_over_batch",
    "softmax_over_tokens",
]


# Half the width of a level: exp(±half) times any number of tokens is within the range of the type.
_HALF = {torch.float32: 60.0, torch.float64: 500.0}
_MOST_LEVELS = 8
# Number of elements of the largest temporary, (…, rows, k, d), in `_query_by_query`.
_CHUNK = 1 << 22
# Sums of exp(X - c) below this lose too much precision as 1 + the sums of exp(X - c) - 1.
_IMPRECISE = math.exp(-2)
# Values of channels that lie beyond this are shifted, which costs their last bits in bfloat16.
_DISTANT = 16.0


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor, converted to float32 if its type is a half-precision one."""
    return x if x.dtype in _HALF else x.float()


def softmax_over_tokens(x: Tensor, visible: Visibility) -> Tensor:
    """S(X)_jd = exp(X_jd) / Σ_i exp(X_id) over the visible tokens; hidden tokens get 0."""
    return _masked_softmax(x, visible.keys, dim=-2)


def softmax_over_batch(x: Tensor, visible: Visibility) -> Tensor:
    """exp(X_bjd) / Σ_c exp(X_cjd): softmax over the examples c in which token j is visible.

    The result of one example depends on the other examples of the batch.
    """
    return _masked_softmax(x, visible.to_any(x.device), dim=0)


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
    lowest = torch.where(flat, 0.0, -1.0).to(x.dtype) - low.masked_fill(flat, 0.0) * scale
    return torch.addcmul(lowest, x, scale)


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
        positions = [_position(lows, torch.amin, torch.argmin), _position(highs, torch.amax, torch.argmax)]
    picked = x.expand_as(lows).flatten(-2).gather(-1, torch.cat(positions, -1))  # a mask may have more leading axes
    return picked[..., :1, None], picked[..., 1:, None]


def _position(x: Tensor, extreme: Callable[..., Tensor], where: Callable[..., Tensor]) -> Tensor:
    """The position (…, 1) in the flattened last two axes (k, d) of an extreme.

    The channel first: torch searches for positions slowly, in all values for ten times as long as for their extremes.
    """
    channel = where(extreme(x, -2), -1, keepdim=True).unsqueeze(-2)
    token = where(x.gather(-1, channel.expand(*x.shape[:-1], 1)), -2, keepdim=True)
    return (token * x.shape[-1] + channel).squeeze(-1)


def seen_min_max(weights: Weights, x: Tensor, visible: Visibility) -> Tensor:
    """Σ_j A_ij (2 (X_jd - lo_i) / (hi_i - lo_i) - 1), lo_i and hi_i over the tokens that i sees and all channels."""
    with torch.autocast(x.device.type, enabled=False):
        x = at_least_float32(x)
        first = _first_seen(x, visible).amin(-1, keepdim=True)
        # The result does not depend on a shift; a shift of distant values avoids cancellation.
        x = x - torch.where(first.abs() > _DISTANT, first, 0.0)
        above = weights.times(x)
        lows, highs = (x.gather(-1, at).squeeze(-1) for at in (x.argmin(-1, keepdim=True), x.argmax(-1, keepdim=True)))
        low, high = visible.extreme(lows, largest=False), visible.extreme(highs, largest=True)
        flat = ~(high > low)
        low, span = low.masked_fill(flat, 0.0), (high - low).masked_fill(flat, 1.0)
        total = weights.row_sums()
        return (2 * (above - low * total) / span - total).masked_fill(flat, 0.0)


def seen_softmax(weights: Weights, x: Tensor, visible: Visibility) -> Tensor:
    """Σ_j A_ij S_i(X)_jd = (A · e^X)_id / (M · e^X)_id, M the boolean mask; 0 for a query that sees no token.

    The type is float32 or wider.
    """
    with torch.autocast(x.device.type, enabled=False):
        if visible.past is not None:
            return visible.past.softmax(weights)
        x = at_least_float32(x)
        # Under a causal mask every query sees the first token: what lies far below it counts for none.
        levels = _Levels.of(weights, x, visible, below=visible.causal is None)
        if levels.too_many:
            mask = visible.mask(x.device)
            assert mask is not None
            above, below, _ = _query_by_query(weights.dense().to(x.dtype), x, mask)
            return above / below.masked_fill(below == 0, 1.0)

        def ratio(above: Tensor, term: Tensor, pairs: Tensor | None) -> Tensor:
            seen = replace(visible, pairs=pairs)
            return above / _or_one(seen.sums(term), seen)

        def exact(level: int) -> tuple[Tensor, Tensor]:
            term = levels.term(x, level)
            return weights.times(term), visible.sums(term)

        def sums(level: int) -> tuple[Tensor, Tensor]:
            if not levels.centred or level != 0:
                return exact(level)
            term = levels.centred_term(x)
            count = visible.count(x.shape[-2], x.device)
            below = visible.sums(term) + count
            imprecise = below < _IMPRECISE * count
            above = weights.times(term) + weights.rounded_sums()
            if not levels.may_be_imprecise(imprecise):
                return above, below
            precise_above, precise_below = exact(level)
            return torch.where(imprecise, precise_above, above), torch.where(imprecise, precise_below, below)

        if levels.plain:
            term = levels.term(x, levels.numbers[0])
            above = weights.times(term)
            return weights.by_heads(ratio, above, with_axes(term, above.ndim), with_axes(visible.pairs, above.ndim))
        above, below = sums(levels.numbers[0])
        result = above / _or_one(below, visible)
        for level in levels.numbers[1:]:
            (lower_above, lower_below), (above, below) = (above, below), sums(level)
            reached = below > 0
            total = levels.joined(below, lower_below).masked_fill(~reached, 1.0)
            result = torch.where(reached, levels.joined(above, lower_above) / total, result)
        return result


def log_sum_exp(weights: Weights, x: Tensor, visible: Visibility) -> Tensor:
    """Log Σ_j A_ij exp(X_jd), 0 where all weights are 0."""
    with torch.autocast(x.device.type, enabled=False):
        if visible.past is not None:
            return visible.past.log_sum_exp(weights)
        x = at_least_float32(x)
        levels = _Levels.of(weights, x, visible, below=True)
        if levels.too_many:
            matrix = weights.dense().to(x.dtype)
            above, _, shift = _query_by_query(matrix, x, matrix != 0)
            empty = above == 0
            return (above.masked_fill(empty, 1.0).log() + shift).masked_fill(empty, 0.0)

        def sums(level: int) -> Tensor:
            if not levels.centred or level != 0:
                return weights.times(levels.term(x, level))
            total = weights.times(levels.centred_term(x)) + weights.row_sums()
            imprecise = total < _IMPRECISE
            if not levels.may_be_imprecise(imprecise):
                return total
            return torch.where(imprecise, weights.times(levels.term(x, level)), total)

        if levels.plain:
            only = levels.numbers[0]
            total = weights.times(levels.term(x, only))
            return weights.by_heads(_logs, total, with_axes(levels.shift(only), total.ndim))
        lower, result = None, torch.zeros_like(x[..., :1, :])
        for level in levels.numbers:
            total = sums(level)
            reached = total > 0
            joined = total if lower is None else levels.joined(total, lower)
            logs = joined.masked_fill(~reached, 1.0).log() + levels.shift(level)
            result, lower = torch.where(reached, logs, result), total
        return result


def _or_one(sums: Tensor, visible: Visibility) -> Tensor:
    """Sums of exponentials as a divisor: 1 for a query that sees no token."""
    return sums if visible.causal is not None else sums.masked_fill(sums == 0, 1.0)


def _logs(total: Tensor, shift: Tensor) -> Tensor:
    reached = total > 0
    return torch.where(reached, total.masked_fill(~reached, 1.0).log() + shift, 0.0)


@dataclass(frozen=True, kw_only=True)
class _Levels:
    """The levels at which sums of exponentials are taken.

    Attributes:
        anchor: The shift of level 0, (…, 1, d).
        half: Half the width of a level.
        numbers: The levels, in ascending order.
        centred: Whether level 0 sums exp(X - c) - 1 and adds 1, which keeps its precision in bfloat16.
        by_pairs: Whether the mask is neither causal nor the same for all queries.
    """

    anchor: Tensor
    half: float
    numbers: range
    centred: bool
    by_pairs: bool

    @staticmethod
    def of(weights: Weights, x: Tensor, visible: Visibility, *, below: bool) -> _Levels:
        """The levels of values X.

        Args:
            weights: A.
            x: In float32 or wider.
            visible: Which tokens each query sees.
            below: Whether values far below the anchor count.
        """
        known, width = x.detach(), 2 * _HALF[x.dtype]
        first = _first_seen(known, visible)
        anchor = torch.where((first < -1) | (first > _DISTANT), first, 0.0)
        low, high = (-width, width) if below else (0.0, width)
        if may_read(x):
            low, high = torch.stack(torch.aminmax(known - anchor)).tolist() if x.numel() else (0.0, 0.0)
            low, high = (low if below else 0.0, high) if math.isfinite(high - low) else (0.0, 0.0)
        numbers = range(*(math.floor(end / width + 0.5) + i for i, end in enumerate((low, high))))
        return _Levels(
            anchor=anchor,
            half=width / 2,
            numbers=numbers,
            centred=weights.rounds and 0 in numbers,
            by_pairs=visible.pairs is not None,
        )

    @property
    def plain(self) -> bool:
        """Whether there is one level, summed as it is."""
        return len(self.numbers) == 1 and not self.centred

    @property
    def too_many(self) -> bool:
        """Whether there are more levels than it is worth to sum one by one."""
        return self.numbers.stop - self.numbers.start > _MOST_LEVELS  # more than `len` can count

    def shift(self, level: int) -> Tensor:
        """The shift c of a level."""
        return self.anchor + 2 * self.half * level

    def term(self, x: Tensor, level: int) -> Tensor:
        """exp(X - c) for the values of the level, 0 for others."""
        above = x - self.shift(level)
        if len(self.numbers) == 1:
            return above.exp()
        others = self._others(above)
        return above.masked_fill(others, 0.0).exp().masked_fill(others, 0.0)

    def centred_term(self, x: Tensor) -> Tensor:
        """exp(X - c) - 1 for the values of level 0, -1 for others."""
        above = x - self.anchor
        if len(self.numbers) == 1:
            return above.expm1()
        others = self._others(above)
        return above.masked_fill(others, 0.0).expm1().masked_fill(others, -1.0)

    def _others(self, above: Tensor) -> Tensor:
        return (above < -self.half) | (above >= self.half)  # nan is none of the others, so that it stays nan

    def may_be_imprecise(self, imprecise: Tensor) -> bool:
        """Whether sums so small that adding 1 lost their precision have to be expected."""
        return bool(imprecise.any()) if may_read(imprecise) else self.by_pairs

    def joined(self, sums: Tensor, lower: Tensor) -> Tensor:
        """Sums of a level together with those of the level below, in two factors that are within range."""
        return sums + (lower * math.exp(-self.half)) * math.exp(-self.half)


def _query_by_query(weights: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σ_j A_ij exp(X_jd - c_id), Σ_{l visible to i} exp(X_ld - c_id), c the maximum of the visible: all (…, q, d).

    In blocks of queries, which are computed again in the backward pass.
    """
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


def _first_seen(x: Tensor, visible: Visibility) -> Tensor:
    """The values (…, 1, d), without gradient, of the first token that any query sees.

    Under a causal mask, with or without padding, every query sees that token, so that what depends on it leaks nothing.
    """
    if visible.pairs is None:
        return x.detach()[..., :1, :]
    first = visible.pairs.any(-2).int().argmax(-1)[..., None, None]
    leading = torch.broadcast_shapes(first.shape[:-2], x.shape[:-2])  # type: ignore[no-untyped-call]
    return x.detach().expand(*leading, *x.shape[-2:]).gather(-2, first.expand(*leading, 1, x.shape[-1]))
