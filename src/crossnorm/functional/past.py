"""The exponentials of the tokens so far, kept while a model adds token after token to a cache of keys and values.

Without them every new token would need the exponentials of all values; with them it needs one more product with A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from crossnorm.functional.weights import Weights

__all__ = ["Past"]

# exp of this and of its negative, times any number of tokens, are within the range of float32.
_WIDEST = 60.0


@dataclass(frozen=True, kw_only=True)
class Past:
    """Exponentials of X (…, k, d) in float32 or wider, for queries that see all k tokens.

    Attributes:
        shift: c (…, 1, d).
        terms: exp(X - c) (…, k, d).
        total: Their sums over the tokens (…, 1, d).
        room: A tensor that begins with the terms, and has room for more; None: no room.
    """

    shift: Tensor
    terms: Tensor
    total: Tensor
    room: Tensor | None = None

    @property
    def tokens(self) -> int:
        """The number k of tokens."""
        return self.terms.shape[-2]

    @staticmethod
    def of(x: Tensor) -> Past | None:
        """That of X (…, k, d), k > 0; None if the values of a channel spread too widely for one shift."""
        x = x if x.dtype == torch.float64 else x.float()
        shift = x.amax(-2, keepdim=True)
        if not bool((shift - x.amin(-2, keepdim=True) <= _WIDEST).all()):
            return None
        terms = (x - shift).exp()
        return Past(shift=shift, terms=terms, total=terms.sum(-2, keepdim=True))

    def followed_by(self, x: Tensor) -> Past | None:
        """That with the tokens X added; None if they are too far from the shift. Call it once."""
        above = x.to(self.terms.dtype) - self.shift
        if not bool((above.abs() <= _WIDEST).all()):
            return None
        terms, before = above.exp(), self.tokens
        after, room = before + terms.shape[-2], self.room
        if room is None or room.shape[-2] < after:  # a copy of all terms, but not at every token
            room = terms.new_empty(*terms.shape[:-2], after + after // 8 + 16, terms.shape[-1])
            room[..., :before, :] = self.terms
        room[..., before:after, :] = terms
        total = self.total + terms.sum(-2, keepdim=True)
        return Past(shift=self.shift, terms=room[..., :after, :], total=total, room=room)

    def grouped(self) -> Past:
        """That for heads of keys (…, h, k, d) which groups of queries share: (…, h, 1, k, d)."""
        return Past(shift=self.shift.unsqueeze(-3), terms=self.terms.unsqueeze(-3), total=self.total.unsqueeze(-3))

    def softmax(self, weights: Weights) -> Tensor:
        """A · S(X) (…, q, d)."""
        return self._above(weights) / self.total

    def log_sum_exp(self, weights: Weights) -> Tensor:
        """log(A · exp(X)) (…, q, d)."""
        return self._above(weights).log() + self.shift

    def _above(self, weights: Weights) -> Tensor:
        return weights.to(self.terms.dtype).times(self.terms)
