"""Call a variant of the user's own on small random values, so that its faults show before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional import Variant, Visibility
from crossnorm.functional.masks import EVERYTHING
from crossnorm.functional.user_variants import mix_by_function
from crossnorm.rng import addressed

__all__ = ["try_variant"]

_SHAPES = {"attention": (2, 3, 7, 5), "pool": (2, 7, 5)}
"""Shapes of the values at the two sites: batch, heads, tokens, channels."""

_TOLERANCE = 1e-4
"""Largest change at α = 0 of values drawn from a normal distribution: rounding."""

_HINT = "A variant is a function f(value, *, alpha, visible) that returns a tensor of the shape of value."


def try_variant(variant: Variant, kind: str = "image") -> None:
    """Check a variant ``module:function``: it accepts its arguments, keeps the shape, and does nothing at α = 0.

    Args:
        variant: The variant; its function is called at its own α and at α = 0.
        kind: The kind of the task: texts have a padding mask, language has a causal one.

    Raises:
        BadInput: The function raises an exception, returns anything but finite numbers of the shape of `value`, or
            changes the values at α = 0.
    """
    visible, tokens = _visibility(kind)
    for site, shape in _SHAPES.items():
        if variant.site not in (site, "both"):
            continue
        with addressed(0, "trial"), torch.no_grad():
            value = torch.randn(shape)
            try:
                mixed = _mixed(variant.name, value, variant.alpha, visible)
                plain = _mixed(variant.name, value, 0.0, visible)
            except BadInput:
                raise
            except Exception as error:
                reason = f"calling it failed: {type(error).__name__}: {error}"
                raise BadInput.because(f"variant {variant.name!r}", reason, _HINT) from None
        if not torch.isfinite(mixed[..., :tokens, :]).all():
            found = f"nan or infinity at α = {variant.alpha:g}"
            raise BadInput(f"variant {variant.name!r}", "finite values for ordinary values", found)
        change = (plain - value)[..., :tokens, :].abs().max()
        if not change < _TOLERANCE:
            hint = "At α = 0 a variant must return the values unchanged: that arm is the baseline."
            found = f"a change of up to {float(change):.3g}"
            raise BadInput(f"variant {variant.name!r}", "the values themselves at α = 0", found, hint)


def _visibility(kind: str) -> tuple[Visibility, int]:
    """The mask that tasks of a kind have, and the number of tokens that count."""
    tokens = _SHAPES["pool"][-2]
    if kind == "text":
        return Visibility(keys=torch.arange(tokens) < tokens - 2), tokens - 2
    pairs = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return Visibility(pairs=pairs, causal=True) if kind == "language" else EVERYTHING, tokens


def _mixed(name: str, value: Tensor, alpha: float, visible: Visibility) -> Tensor:
    """The function's values; under a mask that differs by query those that each token gets for itself."""
    weights = torch.eye(value.shape[-2]).expand(*value.shape[:-1], value.shape[-2])
    return mix_by_function(weights, value.clone(), visible, name, alpha)
