"""`mix` applies a variant to attention weights and values at a given α."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from crossnorm.functional.masks import Visibility
from crossnorm.functional.mixed_terms import FORMS
from crossnorm.functional.user_variants import mix_by_function
from crossnorm.functional.variant import Mixing, finite
from crossnorm.functional.variant_registry import Alpha

__all__ = ["mix", "mixed_share", "observed"]


def mix(weights: Tensor, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha) -> Tensor:
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


Observer = Callable[[Tensor, Tensor, Visibility, Mixing | None, Alpha], None]
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
    weights: Tensor, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha
) -> float | None:
    """Share of the mixed-in term in the output: ‖α A F‖ / (‖keep A V‖ + ‖α A F‖), 0 to 1; None for a user's function.

    Arguments as in `mix`.
    """
    if mixing is None:
        return 0.0
    entry = mixing.entry
    if entry is None:
        return None
    plain = (weights @ value).float() * entry.keep(alpha)
    total = _mix(weights, value, visible, mixing, alpha).float()
    kept, mixed = float(plain.norm()), float((total - plain).norm())
    return mixed / (kept + mixed) if entry.form is not None and kept + mixed > 0 else 0.0


def _mix(weights: Tensor, value: Tensor, visible: Visibility, mixing: Mixing | None, alpha: Alpha) -> Tensor:
    if mixing is None:
        return weights @ value
    if not isinstance(alpha, Tensor):
        alpha = finite("alpha", alpha)
        if alpha == 0:
            return weights @ value
    entry = mixing.entry
    if entry is None:
        return mix_by_function(weights, value, visible, mixing.name, alpha)
    keep = entry.keep(alpha)
    value = value.contiguous()  # once, instead of slowly in each of the following passes
    if entry.form is None:
        return weights @ (value * keep).to(weights.dtype)
    form = FORMS[entry.form]
    scaled = value if mixing.temperature == 1 else value * mixing.temperature
    if visible.pairs is None and form.values is not None:
        return weights @ _sum(value, keep, form.values(scaled, visible, mixing.gain), alpha).to(weights.dtype)
    weights = _as_autocast(weights)
    plain, part = form.products(weights, value.to(weights.dtype), scaled, visible, mixing.gain)
    return _sum(plain, keep, part, alpha).to(value.dtype)


def _as_autocast(weights: Tensor) -> Tensor:
    """A in the type that autocast would multiply it in, so that every arm computes A·V as the baseline does."""
    device = weights.device.type
    autocast = torch.is_autocast_enabled(device) and weights.dtype != torch.float64
    return weights.to(torch.get_autocast_dtype(device)) if autocast else weights


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
