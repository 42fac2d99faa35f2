"""What a study says of a variant (`Variant`), and the mixing itself (`mix`).

Knows nothing of queries, keys, scores or models.
"""

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
from crossnorm.functional.user_variants import mix_own
from crossnorm.functional.variant_registry import VARIANTS, Alpha

__all__ = ["SITES", "Variant", "as_variant", "mix", "mixed_share", "observed"]

SITES = ("attention", "pool", "both")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A named change of what attention does with V, and its settings.

    Attributes:
        name: A name of `VARIANTS`, or ``module:function`` of a module that is imported when it acts (see `per_query`).
        alpha: The dose α, any finite number; at 0 every variant is plain attention.
        site: Where it acts: ``"attention"``, ``"pool"`` (sequence pooling) or ``"both"``.
        layers: Indices of the attention layers it acts in; None: all of them.
        gain: g in g·S(τV).
        temperature: τ in g·S(τV); more than 1 leaves the linear regime.

    Raises:
        BadInput: An unknown name or site, a number that is not finite, or a gain or temperature that would have
            no effect (``attenuated``, the user's own).
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
            object.__setattr__(self, field, _finite(f"Variant.{field}", getattr(self, field)))
        if self.layers is not None:
            object.__setattr__(self, "layers", _layer_indices(self.layers))
        self._check_scaling()

    def _check_scaling(self) -> None:
        entry = VARIANTS.get(self.name)
        if entry is not None and entry.form is not None:
            return
        if (self.gain, self.temperature) != (1.0, 1.0):
            found = f"gain {self.gain:g}, temperature {self.temperature:g}"
            raise BadInput(f"variant {self.name!r}", "gain 1 and temperature 1, having no S(V) to scale", found)

    @property
    def control(self) -> Variant | None:
        """The control at the same dose, site and layers; None: the baseline is the control."""
        entry = VARIANTS.get(self.name)
        if entry is None or entry.control is None:
            return None
        return replace(self, name=entry.control, gain=1.0, temperature=1.0)


def as_variant(variant: Variant | str, alpha: float | None = None) -> Variant:
    """A `Variant` from itself or from a name and α (None: 1).

    Raises:
        BadInput: A `Variant`, which has its own α, and `alpha` too.
    """
    if isinstance(variant, Variant):
        if alpha is not None:
            raise BadInput("alpha", "None beside a Variant, which has its own", alpha, "Give α in one place.")
        return variant
    if not isinstance(variant, str):
        raise BadInput("variant", "a Variant or the name of one", variant)
    return Variant(name=variant, alpha=1.0 if alpha is None else alpha)


def mix(
    weights: Tensor, value: Tensor, visible: Visibility, variant: Variant | None, alpha: Alpha | None = None
) -> Tensor:
    """The branch's output A·V′ (…, q, d) for attention weights A (…, q, k) and values V (…, k, d).

    Args:
        weights: A, after dropout, zero where a token is hidden.
        value: V; what hidden tokens hold must be finite.
        visible: Which tokens take part.
        variant: None: plain A·V.
        alpha: The dose in force; None: the variant's own. A tensor is always mixed in, also at 0.
    """
    for observe in _OBSERVERS:
        observe(weights, value, visible, variant, alpha)
    return _mix(weights, value, visible, variant, alpha)


Observer = Callable[[Tensor, Tensor, Visibility, Variant | None, Alpha | None], None]
"""Called with the arguments of `mix`."""

_OBSERVERS: list[Observer] = []


@contextmanager
def observed(observe: Observer) -> Iterator[None]:
    """Inside the block `observe` is called at every mixing, before it happens."""
    _OBSERVERS.append(observe)
    try:
        yield
    finally:
        _OBSERVERS.remove(observe)


def mixed_share(
    weights: Tensor, value: Tensor, visible: Visibility, variant: Variant | None, alpha: Alpha | None = None
) -> float | None:
    """Share of the mixed part in the branch: ‖α A F‖ / (‖keep A V‖ + ‖α A F‖), 0 to 1; None for a variant of one's own.

    Arguments as in `mix`.
    """
    if variant is None:
        return 0.0
    entry = VARIANTS.get(variant.name)
    if entry is None:
        return None
    keep = entry.keep(variant.alpha if alpha is None else alpha)
    plain = (weights @ value).float() * keep
    total = _mix(weights, value, visible, variant, alpha).float()
    kept, mixed = float(plain.norm()), float((total - plain).norm())
    return mixed / (kept + mixed) if entry.form is not None and kept + mixed > 0 else 0.0


def _mix(weights: Tensor, value: Tensor, visible: Visibility, variant: Variant | None, alpha: Alpha | None) -> Tensor:
    if variant is None:
        return weights @ value
    if not isinstance(alpha, Tensor):
        alpha = variant.alpha if alpha is None else _finite("alpha", alpha)
        if alpha == 0:
            return weights @ value
    elif alpha.ndim and alpha.device != value.device:  # doses of heads that were read from a file
        alpha = alpha.to(value.device)
    entry = VARIANTS.get(variant.name)
    if entry is None:
        return mix_own(weights, value, visible, variant.name, alpha)
    keep = entry.keep(alpha)
    value = value.contiguous()  # once, before every pass over it stumbles over the gaps
    if entry.form is None:
        return weights @ (value * keep).to(weights.dtype)
    form = FORMS[entry.form]
    by_token = form.values if visible.pairs is None else None
    scaled = value if variant.temperature == 1 else value * variant.temperature
    if by_token is not None:
        return weights @ _sum(value, keep, by_token(scaled, visible, variant.gain), alpha).to(weights.dtype)
    weights = _as_multiplied(weights)
    kept, part = form.products(weights, value.to(weights.dtype), scaled, visible, variant.gain)
    return _sum(kept, keep, part, alpha).to(value.dtype)


def _as_multiplied(weights: Tensor) -> Tensor:
    """A in the type in which autocast would multiply it, so that A·V is the baseline's product in every arm."""
    device = weights.device.type
    autocast = torch.is_autocast_enabled(device) and weights.dtype != torch.float64
    return weights.to(torch.get_autocast_dtype(device)) if autocast else weights


def _sum(plain: Tensor, keep: Alpha, part: Tensor, alpha: Alpha) -> Tensor:
    """Keep · plain + α · part, in as few passes over memory as the numbers allow."""
    if isinstance(alpha, Tensor) or isinstance(keep, Tensor):
        return plain * keep + part * alpha
    if keep == 0:
        return part * alpha
    if keep == 1:
        return torch.add(plain, part, alpha=alpha)
    if keep == 1 - alpha and plain.dtype == part.dtype:
        return torch.lerp(plain, part, alpha)
    return torch.add(part * alpha, plain, alpha=keep)


def _check_name(name: object) -> None:
    own = isinstance(name, str) and all(part.strip() for part in name.split(":")) and name.count(":") == 1
    if not own and (not isinstance(name, str) or name not in VARIANTS):
        raise unknown_name("variant", name, VARIANTS)


def _finite(name: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise BadInput(name, "a finite number", number)
    return float(number)


def _layer_indices(layers: object) -> tuple[int, ...]:
    if not isinstance(layers, list | tuple) or not layers:
        raise BadInput("Variant.layers", "None or a non-empty sequence of layer indices", layers)
    if any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in layers) or len(set(layers)) < len(layers):
        raise BadInput("Variant.layers", "different whole numbers from 0", layers)
    return tuple(sorted(layers))
