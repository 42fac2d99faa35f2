"""The catalogue of variants: what attention does with the values.

The only list of them. An entry turns (A, V, visibility) into what α mixes in, mostly through a map of V alone; a new
variant is a new entry. Knows nothing of doses, sites, queries or models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import Visibility
from crossnorm.functional.normalise import (
    log_sum_exp,
    min_max_over_tokens,
    seen_min_max,
    seen_softmax,
    softmax_over_batch,
    softmax_over_tokens,
)

__all__ = ["VARIANTS", "Alpha", "Entry"]

Alpha = float | Tensor
"""A number, or a tensor that broadcasts against (…, tokens, dim)."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One variant of the catalogue: output = A · (keep(α) V + α F), F made from τV and scaled by the gain.

    Attributes:
        summary: One line: the formula and why it is there.
        control: The variant that shares its linear part but not its idea; None stands for the baseline.
        keep: α ↦ the coefficient of V.
        values: (τV, visibility, gain) ↦ F (…, k, d), where every query sees the same tokens. None: no such map.
        product: (A, τV, visibility, gain) ↦ A·F (…, q, d), where queries differ in what they see. None, with
            `values` None too: there is no F, and gain and temperature have no effect.
    """

    summary: str
    control: str | None
    keep: Callable[[Alpha], Alpha]
    values: Callable[[Tensor, Visibility, float], Tensor] | None = None
    product: Callable[[Tensor, Tensor, Visibility, float], Tensor] | None = None


def _shrink(alpha: Alpha) -> Alpha:
    return 1 - alpha


def _all(alpha: Alpha) -> Alpha:
    return 1.0


def _softmax(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(softmax_over_tokens(x, visible), gain)


def _softmax_seen(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(seen_softmax(weights, x, visible), gain)


def _matched(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return softmax_over_tokens(x, visible) * (visible.count(x.shape[-2]) * gain)


def _matched_seen(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return seen_softmax(weights, x, visible) * (visible.count(x.shape[-2]) * gain)


def _centred(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _matched(x, visible, gain) - 1


def _centred_seen(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _matched_seen(weights, x, visible, gain) - weights.sum(-1, keepdim=True)


def _signed(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(min_max_over_tokens(x, visible), gain)


def _signed_seen(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(seen_min_max(weights, x, visible), gain)


def _laser(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    return _times(log_sum_exp(weights, x, visible), gain)


def _batch(x: Tensor, visible: Visibility, gain: float) -> Tensor:
    if x.ndim < 3:
        raise BadInput("value", "a leading batch axis for the variant 'batch'", f"shape {tuple(x.shape)}")
    return _times(softmax_over_batch(x, visible), gain)


def _batch_seen(weights: Tensor, x: Tensor, visible: Visibility, gain: float) -> Tensor:
    # The sum runs over examples, not tokens, so one map of V serves every query and leaks no token.
    return weights @ _batch(x, visible, gain).to(weights.dtype)


def _times(x: Tensor, gain: float) -> Tensor:
    return x if gain == 1 else x * gain


VARIANTS: dict[str, Entry] = {
    "convex": Entry(
        summary="(1-α) V + α S(V): the request itself",
        control="attenuated",
        keep=_shrink,
        values=_softmax,
        product=_softmax_seen,
    ),
    "additive": Entry(
        summary="V + α S(V), α of any sign: nothing of V is taken away",
        control=None,
        keep=_all,
        values=_softmax,
        product=_softmax_seen,
    ),
    "matched": Entry(
        summary="(1-α) V + α N S(V): S(V) is of size 1/N, this one keeps the scale",
        control=None,
        keep=_shrink,
        values=_matched,
        product=_matched_seen,
    ),
    "centred": Entry(
        summary="(1-α) V + α (N S(V) - 1): the same without the constant",
        control=None,
        keep=_shrink,
        values=_centred,
        product=_centred_seen,
    ),
    "attenuated": Entry(summary="(1-α) V: what shrinking alone does", control=None, keep=_shrink),
    "signed": Entry(
        summary="(1-α) V + α (min-max of V to [-1, 1] per head): Bukatin's signed normalisation",
        control=None,
        keep=_shrink,
        values=_signed,
        product=_signed_seen,
    ),
    "laser": Entry(
        summary="(1-α) A V + α log(A exp V): the closest published relative, arXiv 2411.03493",
        control=None,
        keep=_shrink,
        product=_laser,
    ),
    "batch": Entry(
        summary="(1-α) V + α softmax of V over the batch axis: one example depends on the others",
        control="attenuated",
        keep=_shrink,
        values=_batch,
        product=_batch_seen,
    ),
}
"""Every variant by name, the only list of them."""
