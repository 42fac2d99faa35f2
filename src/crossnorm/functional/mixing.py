"""`mix` applies a variant to attention weights and values at a given α."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from crossnorm.functional.blocks import with_axes
from crossnorm.functional.masks import Visibility
from crossnorm.functional.mixed_terms import FORMS, Form
from crossnorm.functional.user_variants import mix_by_function
from crossnorm.functional.variant import Mixing, finite
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.weights import Fused, Weights, autocast_dtype

__all__ = ["mix", "mixed_share", "observed"]


def mix(weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha) -> Tensor:
    """The output A·V′ (…, q, d) for attention weights A (…, q, k) and values V (…, k, d).

    Args:
        weights: A, after dropout, 0 where a token is hidden.
        value: V. What hidden tokens contain does not matter.
        visible: Which tokens take part.
        mixing: How V′ is made; None: V′ = V.
        alpha: α. The number 0 gives plain A·V; a tensor is always mixed in, so that gradients reach it.
    """
    if _OBSERVERS:
        hidden = visible.hide(value)
        for observe in _OBSERVERS:
            observe(weights, hidden, visible, mixing, alpha)
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
        return weights.times(visible.hide(value))
    if not isinstance(alpha, Tensor):
        alpha = finite("alpha", alpha)
        if alpha == 0:
            return weights.times(visible.hide(value))
    entry = mixing.entry
    if entry is None:
        return mix_by_function(weights, visible.hide(value), visible, mixing.name, alpha)
    form = None if entry.form is None else FORMS[entry.form]
    if form is None or (not visible.by_query and form.values is not None):
        return _product_of_mixed(weights, value, visible, mixing, alpha)
    value, keep = visible.hide(value).contiguous(), entry.keep(alpha)
    scaled = value if mixing.temperature == 1 else value * mixing.temperature
    weights = weights.to(autocast_dtype(weights))  # so that every arm computes A·V as the baseline does
    part = _product_of_term(weights, scaled, visible, form, mixing.gain)
    if not isinstance(keep, Tensor) and keep == 0:  # one product with A instead of two
        return (part * alpha).to(weights.dtype)
    return _sum(weights.times(value), keep, part, alpha).to(weights.dtype)


def _product_of_mixed(weights: Weights, value: Tensor, visible: Visibility, mixing: Mixing, alpha: Alpha) -> Tensor:
    """A·V′, if every query sees the same tokens.

    In half precision the constant part of F is added after the product: added to V, a constant below half a unit of V's
    last place would be lost for all tokens alike.
    """
    entry = mixing.entry
    assert entry is not None
    form = None if entry.form is None else FORMS[entry.form]
    half = autocast_dtype(weights) in (torch.bfloat16, torch.float16)
    constant = form.constant if form is not None and half and weights.sums is not None else None

    def mixed(value: Tensor, keys: Tensor | None, moving: Tensor | None) -> Tensor:
        seen = Visibility(keys=None if keys is None else keys.squeeze(-1))
        value = seen.hide(value).contiguous()  # once, instead of slowly in each of the following passes
        dose = alpha if moving is None else moving
        keep, dtype = entry.keep(dose), weights.dtype if constant is None else autocast_dtype(weights)
        if form is None:
            return (value * keep).to(dtype)
        assert form.values is not None
        value = value if constant is None else value.float()
        scaled = value if mixing.temperature == 1 else value * mixing.temperature
        term = form.values(scaled, seen, mixing.gain)
        if constant is not None:
            term = term - constant(seen.count(value.shape[-2], value.device)) * mixing.gain
        return _sum(value, keep, term, dose).to(dtype)

    keys, moving = visible.to_any(value.device), alpha if isinstance(alpha, Tensor) else None
    axes = max(value.ndim, 0 if keys is None else keys.ndim + 1, 0 if moving is None else moving.ndim)
    keys = None if keys is None else with_axes(keys.unsqueeze(-1), axes)
    values = weights.by_heads(mixed, with_axes(value, axes), keys, with_axes(moving, axes))
    product = weights.times(values)
    if constant is None:
        return product
    shared = alpha * constant(visible.count(value.shape[-2], value.device)) * mixing.gain * weights.row_sums()
    return product + (shared.to(product.dtype) if isinstance(shared, Tensor) else shared)


def _product_of_term(weights: Weights, x: Tensor, visible: Visibility, form: Form, gain: float) -> Tensor:
    """A·F, if the queries see different tokens. In blocks of heads where this is computed in a wider type than A's."""
    if not isinstance(weights, Fused) or not weights.widens or not weights.has_heads or visible.past is not None:
        return form.product(weights, x, visible, gain)

    def product(
        x: Tensor, query: Tensor, key: Tensor, mask: Tensor | None, some: Tensor | None, pairs: Tensor | None
    ) -> Tensor:
        part = weights.of_heads(query, key, mask, some)
        return form.product(part, x, replace(visible, pairs=pairs), gain).to(weights.dtype)

    axes = len(weights.leading) + 2
    some, pairs = with_axes(weights.some, axes), with_axes(visible.pairs, axes)
    return weights.by_heads(product, with_axes(x, axes), weights.query, weights.key, weights.mask, some, pairs)


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
