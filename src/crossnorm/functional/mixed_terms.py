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

__all__ = ["FORMS", "Form"]


@dataclass(frozen=True, kw_only=True)
class Form:
    """One term F, computed from X = τV and multiplied by the gain.

    Attributes:
        values: (X, visibility, gain) ↦ F (…, k, d), used if every query sees the same tokens. None: F is not a function
            of X alone, and `products` is always used.
        products: (A, V, X, visibility, gain) ↦ A·V and A·F (…, q, d), used if the mask differs by query. A and V have
            the same type.
    """

    values: Callable[[Tensor, Visibility, float], Tensor] | None
    products: Callable[[Tensor, Tensor, Tensor, Visibility, float], tuple[Tensor, Tensor]]


def _softmax(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(softmax_over_tokens(x, visible), gain)


def _softmax_seen(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    plain, part = seen_softmax(weights, value, x, visible)
    return plain, _times(part, gain)


def _matched(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return softmax_over_tokens(x, visible) * (visible.count(x.shape[-2]) * gain)


def _matched_seen(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    plain, part = seen_softmax(weights, value, x, visible)
    return plain, part * (visible.count(x.shape[-2]) * gain)


def _centred(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    # N S is near 1: subtracted in half precision, mostly the rounding error of S would be left.
    return _matched(at_least_float32(x), visible, gain).sub_(1).to(x.dtype)


def _centred_seen(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    plain, part = _matched_seen(weights, value, x, visible, gain)
    return plain, part - weights.sum(-1, keepdim=True, dtype=part.dtype)


def _signed(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(min_max_over_tokens(x, visible).to(x.dtype), gain)


def _signed_seen(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    plain, part = seen_min_max(weights, value, x, visible)
    return plain, _times(part, gain)


def _laser(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    plain, part = log_sum_exp(weights, value, x, visible)
    return plain, _times(part, gain)


def _batch(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    if x.ndim < 3:
        raise BadInput("value", "a leading batch axis for the variant 'batch'", f"shape {tuple(x.shape)}")
    return _times(softmax_over_batch(x, visible), gain)


def _batch_seen(weights: Tensor, value: Tensor, x: Tensor, visible: Visibility, gain: float) -> tuple[Tensor, Tensor]:
    # The sum runs over examples, not over tokens, so no token leaks and F is the same for every query.
    return weights @ value, weights @ _batch(x, visible, gain).to(weights.dtype)


def _times(x: Tensor, gain: float) -> Tensor:
    return x if gain == 1 else x * gain


FORMS: dict[str, Form] = {
    "softmax": Form(values=_softmax, products=_softmax_seen),
    "matched": Form(values=_matched, products=_matched_seen),
    "centred": Form(values=_centred, products=_centred_seen),
    "signed": Form(values=_signed, products=_signed_seen),
    "laser": Form(values=None, products=_laser),
    "batch": Form(values=_batch, products=_batch_seen),
}
"""Every form by its name in `variant_registry`."""
