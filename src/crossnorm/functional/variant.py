"""`Variant`, what a user asks for; `Mixing`, what is compiled from it. Knows no tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from crossnorm.errors import BadInput, unknown_name
from crossnorm.functional.variant_registry import VARIANTS, Entry

__all__ = ["SITES", "Mixing", "Variant", "as_variant", "finite"]

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
