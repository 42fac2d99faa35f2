"""The dose α of one converted site: a number that is no weight, or a parameter that is learned.

Knows nothing of models, libraries or of what a variant does with α.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from crossnorm.errors import BadInput
from crossnorm.functional import Variant

__all__ = ["Dose", "finite", "projected"]


class Dose(nn.Module):
    """What a converted module carries: its variant and its α, which changes without rebuilding anything.

    Not learned, α is a non-persistent buffer: no state-dict key, and a compiled model that reads it is not compiled
    again for another α, but for leaving or returning to 0 (`active`). It keeps its float64 precision when the model
    changes its own.

    Learned, α is the parameter `raw` and part of the state dict, as everything that is trained; see `projected`.

    Args:
        variant: What is done with the values.
        learned: Shape of the parameter: () or (heads,); None: not learned.
        owner: The dose whose parameter this one shares; None: its own.
    """

    alpha: Tensor

    def __init__(self, variant: Variant, *, learned: tuple[int, ...] | None = None, owner: Dose | None = None) -> None:
        super().__init__()
        self.variant, self.number = variant, 0.0
        self.learned = learned is not None
        self.bounded = variant.name != "additive"
        self.register_buffer("alpha", torch.zeros((), dtype=torch.float64), persistent=False)
        own = learned is not None and owner is None
        self.raw = nn.Parameter(torch.zeros(learned or ())) if own else None
        self._owner = () if owner is None else (owner,)  # in a tuple, so that it is no submodule of this one
        self.active = self.learned

    @property
    def parameter(self) -> nn.Parameter | None:
        """What is learned, this dose's own or the shared one; None if α is a plain number."""
        return self._owner[0].parameter if self._owner else self.raw

    def value(self) -> Tensor:
        """α as the variant takes it: (), or (heads, 1, 1) where every head has its own."""
        raw = self.parameter
        if raw is None:
            return self.alpha
        value = projected(raw) if self.bounded else raw
        return value[:, None, None] if value.ndim else value

    def read(self) -> float | tuple[float, ...]:
        """α as plain numbers; a tuple over heads where every head has its own."""
        raw = self.parameter
        if raw is None:
            return self.number
        numbers = raw.detach().double()
        if self.bounded:
            numbers = numbers.clamp(0.0, 1.0)
        return tuple(numbers.tolist()) if raw.ndim else float(numbers)

    def write(self, value: object) -> None:
        """Put another α in force; numbers that `checked` let pass."""
        raw = self.parameter
        with torch.no_grad():
            if raw is not None:
                raw.copy_(torch.as_tensor(value, dtype=raw.dtype))
                return
            assert isinstance(value, float)
            self.number, self.active = value, value != 0
            self.alpha.fill_(value)

    def checked(self, value: object) -> float | tuple[float, ...]:
        """The value, as `write` takes it.

        Raises:
            BadInput: Not a finite number (or one for each head), or outside [0, 1] where a learned α is bounded.
        """
        raw = self.parameter
        if isinstance(value, list | tuple):
            heads = None if raw is None or raw.ndim == 0 else len(raw)
            if heads != len(value):
                expected = "a number" if heads is None else f"a number or {heads} numbers, one for each head"
                raise BadInput("alpha", f"{expected}, at each site", value)
            return tuple(self._inside(number) for number in value)
        return self._inside(value)

    def _inside(self, value: object) -> float:
        number = finite("alpha", value)
        if self.learned and self.bounded and not 0 <= number <= 1:
            raise BadInput("alpha", f"a number in [0, 1], to be learned with {self.variant.name!r}", value)
        return number

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Dose:
        # α is a setting: it moves with the model, but is not rounded to the type of its weights.
        self._buffers["alpha"] = self.alpha.float()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.alpha.device
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self._buffers["alpha"] = torch.tensor(self.number, dtype=dtype, device=device)
        return self

    def extra_repr(self) -> str:
        """The variant and α, for printing."""
        return f"{self.variant.name}, alpha={self.read()}" + (", learned" if self.learned else "")


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
    """α = clamp(raw, 0, 1), trainable from exactly 0: projected gradient descent without a hook in the optimiser.

    A sigmoid never reaches 0, and the gradient of a square vanishes there. Clamping alone stops learning for good
    once a step has led outside, and letting every gradient through (the straight-through estimator) lets `raw` drift
    away from α. Here a gradient passes where descent stays inside or leads back; at a bound one that leads outwards
    is 0, as in projected descent; beyond it (momentum goes on for some steps) it is turned round, which is the
    gradient of L + |∂L/∂α| · distance(raw, [0, 1]), an exact penalty: `raw` comes back to the bound.

    Args:
        raw: Of any shape.
    """
    return _Projected.apply(raw)  # type: ignore[no-any-return, no-untyped-call]


def finite(name: str, value: object) -> float:
    """The value as a float.

    Raises:
        BadInput: It is not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(name, "a finite number", value)
    return float(value)
