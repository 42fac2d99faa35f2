"""The α in force at one site of a model: a number that is set, or a parameter that is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.functional import Variant
from crossnorm.functional.variant import finite

__all__ = ["ATTRIBUTE", "Alpha", "SiteAlpha", "projected", "site_alphas"]

ATTRIBUTE = "crossnorm"
"""The attribute of a module under which its `SiteAlpha` is found."""

Alpha = float | tuple[float, ...]
"""α of one site: a number, or one number per head."""


class SiteAlpha(nn.Module):
    """What a module with a variant has as its submodule `ATTRIBUTE`: how it mixes, and α. It starts at α = 0.

    If α is not learned it is a non-persistent buffer. It adds no key to the state dict, it stays in float64 when the
    model changes its type, and a compiled model is not recompiled when α changes, except from or to 0 (`active`).

    If α is learned it is the parameter `raw`, which is part of the state dict; see `projected`.

    Args:
        variant: The variant as it was requested. Its own α is not read here.
        learned: Shape of the parameter, () or (heads,); None: α is not learned.
        owner: The `SiteAlpha` whose parameter this one shares; None: it has its own.

    Attributes:
        mixing: How the values are mixed.
        active: Whether α is learned or not 0; if False, the site computes plain attention.
    """

    alpha: Tensor

    def __init__(
        self, variant: Variant, *, learned: tuple[int, ...] | None = None, owner: SiteAlpha | None = None
    ) -> None:
        super().__init__()
        self.variant, self.mixing = variant, variant.mixing
        self.number: Alpha = 0.0
        self.learned = self.active = learned is not None
        self.bounded = variant.name != "additive"
        self.register_buffer("alpha", torch.zeros((), dtype=torch.float64), persistent=False)
        self.raw = None if learned is None or owner is not None else nn.Parameter(torch.zeros(learned))
        self._owner = () if owner is None else (owner,)  # in a tuple, so that it is no submodule of this one

    @property
    def parameter(self) -> nn.Parameter | None:
        """The learned parameter, its own or the shared one; None if α is not learned."""
        return self._owner[0].parameter if self._owner else self.raw

    def value(self) -> Tensor:
        """α as a tensor for `mix`: (), or (heads, 1, 1) for one α per head."""
        raw = self.parameter
        if raw is None:
            return self.alpha
        value = projected(raw) if self.bounded else raw
        return value[:, None, None] if value.ndim else value

    def operand(self) -> float | Tensor:
        """α for `mix` as a number where possible, which mixes faster than a tensor, and as `value` otherwise."""
        if not self.active:
            return 0.0
        if torch.compiler.is_compiling() or self.learned or isinstance(self.number, tuple):
            return self.value()
        return self.number

    def read(self) -> Alpha:
        """α as plain numbers."""
        raw = self.parameter
        if raw is None:
            return self.number
        numbers = raw.detach().double()
        if self.bounded:
            numbers = numbers.clamp(0.0, 1.0)
        return tuple(numbers.tolist()) if raw.ndim else float(numbers)

    @torch.no_grad()
    def write(self, value: Alpha) -> None:
        """Set α; nothing is checked, see `checked`."""
        raw = self.parameter
        if raw is not None:
            raw.copy_(torch.as_tensor(value, dtype=raw.dtype))
            return
        self.number, self.active = value, value != 0
        if isinstance(value, float) and self.alpha.ndim == 0:
            self.alpha.fill_(value)  # in place: compiled code reads this very tensor
        else:
            self._buffers["alpha"] = _as_buffer(value, self.alpha.device)

    def checked(self, value: object) -> Alpha:
        """The value as `write` takes it.

        Raises:
            BadInput: Not a finite number (or one per head), or outside [0, 1] where a learned α is bounded.
        """
        raw = self.parameter
        if isinstance(value, list | tuple):
            heads = None if raw is None or raw.ndim == 0 else len(raw)
            if heads != len(value):
                expected = "a number" if heads is None else f"a number or {heads} numbers, one for each head"
                raise BadInput("alpha", f"{expected}, at each site", value)
            return tuple(self._checked_number(number) for number in value)
        return self._checked_number(value)

    def _checked_number(self, value: object) -> float:
        number = finite("alpha", value)
        if self.learned and self.bounded and not 0 <= number <= 1:
            raise BadInput("alpha", f"a number in [0, 1] for a learned α of {self.variant.name!r}", value)
        return number

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> SiteAlpha:
        # α moves to the model's device but is not rounded to the type of its weights.
        self._buffers["alpha"] = self.alpha.float()  # MPS has no float64
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._buffers["alpha"] = _as_buffer(self.number, self.alpha.device)
        return self

    def extra_repr(self) -> str:
        """The variant and α, for printing."""
        return f"{self.variant.name}, alpha={self.read()}" + (", learned" if self.learned else "")


def site_alphas(model: nn.Module) -> dict[str, SiteAlpha]:
    """The `SiteAlpha` of every module that has one, by the module's path, in the order of the model."""
    found = ((path, getattr(module, ATTRIBUTE, None)) for path, module in model.named_modules())
    return {path or type(model).__name__: alpha for path, alpha in found if isinstance(alpha, SiteAlpha)}


def _as_buffer(value: Alpha, device: torch.device) -> Tensor:
    """A number as a float64 scalar, which leaves the type of what it multiplies; one per head as float32."""
    if isinstance(value, tuple):
        return torch.tensor(value, dtype=torch.float32, device=device)[:, None, None]
    return torch.tensor(value, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)


class _Projected(torch.autograd.Function):
    """Clamp to [0, 1] whose gradient never leads further out."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor) -> Tensor:
        ctx.save_for_backward(raw)
        return raw.clamp(0.0, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (raw,), (gradient,) = ctx.saved_tensors, gradients
        outwards = ((raw <= 0) & (gradient > 0)) | ((raw >= 1) & (gradient < 0))
        beyond = (raw < 0) | (raw > 1)
        return torch.where(outwards, torch.where(beyond, -gradient, 0.0), gradient)


def projected(raw: Tensor) -> Tensor:
    """α = clamp(raw, 0, 1), trainable from exactly 0 by any optimizer: projected gradient descent without a hook.

    The gradient passes unchanged where a descent step stays inside [0, 1] or leads back into it. At a bound, a gradient
    that leads out is set to 0, as in projected descent. Beyond a bound, where momentum may carry `raw` for some steps,
    its sign is flipped, so that `raw` returns: this is the gradient of L + |∂L/∂α| · distance(raw, [0, 1]), an exact
    penalty.

    The usual alternatives fail: a sigmoid never reaches 0; the gradient of a square vanishes at 0; with clamping alone
    learning stops once `raw` is outside; with the straight-through estimator `raw` drifts away from α.

    Args:
        raw: Any shape.
    """
    return _Projected.apply(raw)  # type: ignore[no-any-return, no-untyped-call]
