"""`mix` applies a variant to attention weights and values at a given α."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from crossnorm.functional.masks import Visibility
from crossnorm.functional.mixed_terms import FORMS, Form
from crossnorm.functional.user_variants import mix_by_function
from crossnorm.functional.variant import Mixing, finite
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.weights import Weights, autocast_dtype

__all__ = ["mix", "mixed_share", "observed"]


def mix(weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha) -> Tensor:
    """The output A·V′ (…, q, d) for attention weights A (…, q, k) and values V (…, k, d).

    Args:
        weights: A, after dropout, 0 where a token is hidden.
        value: V. The values of hidden tokens must be finite.
        visible: Which tokens take part.
        mixing: How V′ is made; None: V′ = V.
        alpha: α. The number 0 gives plain A·V; a tensor is always mixed in, so that gradients reach it.
    """
    for observe in _OBSERVERS:
        observe(weights, value, visible, mixing, alpha)
    return _mix(weights, value, visible, mixing, alpha)


Observer = Callable[[Weights, Tensor, Visibility, Mixing | None, Alpha], None]
"""Called with the arguments of `mix`."""

_OBSERVERS: list[Observer] = []


@contextmanager
def observed(observe: Observer) -> Iterator[None]:
    """Call `observe` before every `mix` inside the block."""
    _OBSERVERS.append(observe)
    try:
        yield
    finally:
        _OBSERVERS.remove(observe)


def mixed_share(
    weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha
) -> float | None:
    """Share of the mixed-in term in the output: ‖α A F‖ / (‖keep A V‖ + ‖α A F‖), 0 to 1; None for a user's function.

    Arguments as in `mix`.
    """
    if mixing is None:
        return 0.0
    entry = mixing.entry
    if entry is None:
        return None
    plain = weights.times(value).float() * entry.keep(alpha)
    total = _mix(weights, value, visible, mixing, alpha).float()
    kept, mixed = float(plain.norm()), float((total - plain).norm())
    return mixed / (kept + mixed) if entry.form is not None and kept + mixed > 0 else 0.0


def _mix(weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha) -> Tensor:
    if mixing is None:
        return weights.times(value)
    if not isinstance(alpha, Tensor):
        alpha = finite("alpha", alpha)
        if alpha == 0:
            return weights.times(value)
    entry = mixing.entry
    if entry is None:
        return mix_by_function(weights, value, visible, mixing.name, alpha)
    keep = entry.keep(alpha)
    value = value.contiguous()  # once, instead of slowly in each of the following passes
    if entry.form is None:
        return weights.times((value * keep).to(weights.dtype))
    form = FORMS[entry.form]
    scaled = value if mixing.temperature == 1 else value * mixing.temperature
    if not visible.by_query and form.values is not None:
        if form.constant is not None and weights.sums is not None and _is_half(weights):
            return _times_in_half(weights, value, scaled, visible, mixing.gain, keep, alpha, form)
        mixed = _sum(value, keep, form.values(scaled, visible, mixing.gain), alpha)
        return weights.times(mixed.to(weights.dtype))
    weights = weights.to(autocast_dtype(weights))  # so that every arm computes A·V as the baseline does
    part = form.product(weights, scaled, visible, mixing.gain)
    if not isinstance(keep, Tensor) and keep == 0:  # one product with A instead of two
        return (part * alpha).to(weights.dtype)
    return _sum(weights.times(value), keep, part, alpha).to(weights.dtype)


def _is_half(weights: Weights) -> bool:
    return autocast_dtype(weights) in (torch.bfloat16, torch.float16)


def _times_in_half(
    weights: Weights,
    value: Tensor,
    scaled: Tensor,
    visible: Visibility,
    gain: float,
    keep: Alpha,
    alpha: Alpha,
    form: Form,
) -> Tensor:
    """A·V′ without the constant part of F, which is added afterwards.

    Added to V in half precision, a constant below half a unit of V's last place would be lost for all tokens alike.
    """
    assert form.values is not None
    assert form.constant is not None
    constant = form.constant(visible.count(value.shape[-2], value.device)) * gain
    mixed = _sum(value.float(), keep, form.values(scaled.float(), visible, gain) - constant, alpha)
    product = weights.times(mixed.to(autocast_dtype(weights)))
    return (product + alpha * constant * weights.row_sums()).to(product.dtype)


def _sum(plain: Tensor, keep: Alpha, part: Tensor, alpha: Alpha) -> Tensor:
    """Keep · plain + α · part, in as few passes over memory as possible."""
    if isinstance(alpha, Tensor) or isinstance(keep, Tensor):
        return plain * keep + part * alpha
    if keep == 0:
        return part * alpha
    if keep == 1:
        return torch.add(plain, part, alpha=alpha)
    if keep == 1 - alpha and plain.dtype == part.dtype:
        return torch.lerp(plain, part, alpha)
    return torch.add(part * alpha, plain, alpha=keep)
