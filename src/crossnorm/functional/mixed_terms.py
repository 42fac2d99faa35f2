"""The term F that each variant mixes in, as a function of the values, or of the values and the attention weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import Visibility
from crossnorm.functional.normalizers import (
    at_least_float32,
    log_sum_exp,
    min_max_over_tokens,
    seen_min_max,
    seen_softmax,
    softmax_over_batch,
    softmax_over_tokens,
)
from crossnorm.functional.variant import Mixing
from crossnorm.functional.weights import Weights

__all__ = ["FORMS", "Form", "is_exponential"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One term F, computed from X = τV and multiplied by the gain.

    Attributes:
        values: (X, visibility, gain) ↦ F (…, k, d), used if every query sees the same tokens. None: F is not a function
            of X alone, and `product` is always used.
        product: (A, X, visibility, gain) ↦ A·F (…, q, d), used if the mask differs by query.
        constant: N ↦ the part of F that all tokens share, for a gain of 1.
        exponential: See `is_exponential`.
    """

    values: Callable[[Tensor, Visibility, float], Tensor] | None
    product: Callable[[Weights, Tensor, Visibility, float], Tensor]
    constant: Callable[[Tensor | int], Tensor | float] | None = None
    exponential: bool = False


def _softmax(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(softmax_over_tokens(x, visible), gain)


def _softmax_seen(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(seen_softmax(weights, x, visible), gain)


def _matched(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return softmax_over_tokens(x, visible) * (visible.count(x.shape[-2], x.device) * gain)


def _matched_seen(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return seen_softmax(weights, x, visible) * (visible.count(x.shape[-2], x.device) * gain)


def _centred(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    # N S is near 1: subtracted in half precision, mostly the rounding error of S would be left.
    return _matched(at_least_float32(x), visible, gain).sub_(1).to(x.dtype)


def _centred_seen(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _matched_seen(weights, x, visible, gain) - weights.rounded_sums()


def _signed(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(min_max_over_tokens(x, visible).to(x.dtype), gain)


def _signed_seen(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(seen_min_max(weights, x, visible), gain)


def _laser(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(log_sum_exp(weights, x, visible), gain)


def _batch(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    if x.ndim < 3:
        raise BadInput("value", "a leading batch axis for the variant 'batch'", f"shape {tuple(x.shape)}")
    return _times(softmax_over_batch(x, visible), gain)


def _batch_seen(weights: Weights, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    # The sum runs over examples, not over tokens, so no token leaks and F is the same for every query.
    return weights.times(_batch(x, visible, gain).to(weights.dtype))


def _share(count: Tensor | int) -> Tensor | float:
    return 1 / count if isinstance(count, int) else 1 / count.clamp(min=1)


def _one(count: Tensor | int) -> Tensor | float:
    return 1.0


def _times(x: Tensor, gain: float) -> Tensor:
    return x if gain == 1 else x * gain


def is_exponential(mixing: Mixing | None) -> bool:
    """Whether all that a variant needs of earlier tokens are exponentials and their sums; see `Past`."""
    entry = None if mixing is None else mixing.entry
    return entry is not None and entry.form is not None and FORMS[entry.form].exponential


FORMS: dict[str, Form] = {
    "softmax": Form(values=_softmax, product=_softmax_seen, constant=_share, exponential=True),
    "matched": Form(values=_matched, product=_matched_seen, constant=_one, exponential=True),
    "centred": Form(values=_centred, product=_centred_seen, exponential=True),
    "signed": Form(values=_signed, product=_signed_seen),
    "laser": Form(values=None, product=_laser, exponential=True),
    "batch": Form(values=_batch, product=_batch_seen),
}
"""Every form by its name in `variant_registry`."""
