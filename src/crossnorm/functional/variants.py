"""`Variant`, what a user asks for; `Mixing`, what is compiled from it; `mix`, which applies a mixing at a given α."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional.masks import Visibility
from crossnorm.functional.mixed_terms import FORMS
from crossnorm.functional.user_variants import mix_by_function
from crossnorm.functional.variant_registry import VARIANTS, Alpha, Entry

__all__ = ["SITES", "Mixing", "Variant", "as_variant", "finite", "mix", "mixed_share", "observed"]

SITES = ("attention", "pool", "both")


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """How the values are mixed, at whatever α: a variant without its α, site and layers. See `Variant.mixing`.

    Attributes:
        name: Name of the variant.
        gain: g in g·S(τV).
        temperature: τ in g·S(τV).
    """

    name: str
    gain: float
    temperature: float

    @property
    def entry(self) -> Entry | None:
        """The variant's definition; None for a user's own function."""
        return VARIANTS.get(self.name)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A request for a change of what attention does with its values V.

    A model that was built or converted with a variant keeps the α in force in one place per site, see
    `crossnorm.models.site_alpha.SiteAlpha`; the α given here is only where it starts.

    Attributes:
        name: A name of ``crossnorm list variants``, or ``module:function`` for a function of an imported module
            (see `crossnorm.per_query`).
        alpha: The dose α, any finite number; at 0 every variant is plain attention.
        site: Where it acts: ``"attention"``, ``"pool"`` (sequence pooling) or ``"both"``.
        layers: Indices of the attention layers it acts in; None: all of them.
        gain: g in g·S(τV).
        temperature: τ in g·S(τV). Above 1, S is further from a linear function of V.

    Raises:
        BadInput: An unknown name or site, a number that is not finite, or a gain or temperature that has no effect
            (``attenuated`` and functions of the user).
    """

    name: str
    alpha: float = 1.0
    site: str = "attention"
    layers: tuple[int, ...] | None = None
    gain: float = 1.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.site not in SITES:
            raise unknown_name("Variant.site", self.site, SITES)
        for field in ("alpha", "gain", "temperature"):
            object.__setattr__(self, field, finite(f"Variant.{field}", getattr(self, field)))
        if self.layers is not None:
            object.__setattr__(self, "layers", _layer_indices(self.layers))
        entry = self.mixing.entry
        if (entry is None or entry.form is None) and (self.gain, self.temperature) != (1.0, 1.0):
            found = f"gain {self.gain:g}, temperature {self.temperature:g}"
            raise BadInput(f"variant {self.name!r}", "gain 1 and temperature 1, as it has no S(V) to scale", found)

    @property
    def mixing(self) -> Mixing:
        """What is left of the variant once α, site and layers are taken away."""
        return Mixing(name=self.name, gain=self.gain, temperature=self.temperature)

    @property
    def control(self) -> Variant | None:
        """The control at the same α, site and layers; None: the baseline is the control."""
        entry = self.mixing.entry
        if entry is None or entry.control is None:
            return None
        return replace(self, name=entry.control, gain=1.0, temperature=1.0)


def as_variant(variant: Variant | str, alpha: float | None = None) -> Variant:
    """A `Variant` from itself, or from a name and α (None: 1).

    Raises:
        BadInput: Both a `Variant`, which has its own α, and `alpha` are given.
    """
    if isinstance(variant, Variant):
        if alpha is not None:
            raise BadInput.because(
                "alpha", "cannot be combined with a Variant, which has an alpha", "Set Variant.alpha only."
            )
        return variant
    if not isinstance(variant, str):
        raise BadInput("variant", "a Variant or the name of one", variant)
    return Variant(name=variant, alpha=1.0 if alpha is None else alpha)


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


def finite(name: str, number: object) -> float:
    """The number as a float.

    Raises:
        BadInput: It is not a finite number.
    """
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise BadInput(name, "a finite number", number)
    return float(number)


def _check_name(name: object) -> None:
    function = isinstance(name, str) and all(part.strip() for part in name.split(":")) and name.count(":") == 1
    if not function and (not isinstance(name, str) or name not in VARIANTS):
        raise unknown_name("variant", name, VARIANTS)


def _layer_indices(layers: object) -> tuple[int, ...]:
    if not isinstance(layers, list | tuple) or not layers:
        raise BadInput("Variant.layers", "None or a non-empty sequence of layer indices", layers)
    if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in layers) or len(set(layers)) < len(layers):
        raise BadInput("Variant.layers", "different whole numbers from 0", layers)
    return tuple(sorted(layers))
