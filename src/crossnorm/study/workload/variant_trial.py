"""Call a variant of the user's own on small random values, so that its faults show before anything is trained."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from crossnorm.data import Task, prepare
from crossnorm.errors import BadInput
from crossnorm.functional import Variant, Visibility, observed
from crossnorm.functional.masks import EVERYTHING
from crossnorm.functional.user_variants import mix_by_function, user_function
from crossnorm.functional.weights import Explicit, Weights
from crossnorm.rng import addressed
from crossnorm.training.loop.losses import logits_of

__all__ = ["Shapes", "try_variant", "value_shapes"]

Shapes = Mapping[str, tuple[int, ...]]
"""Shapes of the values by site: (batch, heads, tokens, channels) in attention, without heads in pooling."""

_USUAL: Shapes = {"attention": (2, 3, 7, 5), "pool": (2, 7, 5)}

_TOLERANCE = 1e-4
"""Largest change at α = 0 of values drawn from a normal distribution: rounding."""

_HINT = "A variant is a function f(value, *, alpha, visible) that returns a tensor of the shape of value."


def value_shapes(model: nn.Module, task: Task) -> Shapes:
    """The shapes of the values in a model that sees two examples; empty for a model of another library."""
    found: dict[str, tuple[int, ...]] = {}

    def note(weights: Weights, value: Tensor, *about: object) -> None:
        found["attention" if value.ndim == 4 else "pool"] = tuple(value.shape)

    with addressed(0, "trial"), torch.no_grad(), observed(note):
        logits_of(model.eval(), prepare(task.train.inputs[:2], task))
    model.train()
    return found


def try_variant(variant: Variant, kind: str = "image", shapes: Shapes | None = None) -> None:
    """Check a variant ``module:function``: it accepts its arguments, keeps the shape, and does nothing at α = 0.

    Args:
        variant: The variant; its function is called at its own α and at α = 0.
        kind: The kind of the task: texts have a padding mask, language has a causal one.
        shapes: Of the values in the study's model; None or empty: not known. The function may then rightly raise an
            exception for the values of the trial, and only its arguments are checked.

    Raises:
        BadInput: The function raises an exception, returns anything but finite numbers of the shape of `value`, or
            changes the values at α = 0.
    """
    _check_arguments(variant.name)
    for site, shape in (shapes or _USUAL).items():
        if variant.site not in (site, "both"):
            continue
        visible, tokens = _visibility(kind, shape[-2])
        with addressed(0, "trial"), torch.no_grad():
            value = torch.randn(shape)
            try:
                mixed = _mixed(variant.name, value, variant.alpha, visible)
                plain = _mixed(variant.name, value, 0.0, visible)
            except BadInput:
                raise
            except Exception as error:
                if not shapes:
                    return
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


def _check_arguments(name: str) -> None:
    try:
        inspect.signature(user_function(name)).bind(None, alpha=0.0, visible=None)
    except TypeError as error:
        raise BadInput.because(f"variant {name!r}", f"it does not take the arguments: {error}", _HINT) from None


def _visibility(kind: str, tokens: int) -> tuple[Visibility, int]:
    """The mask that tasks of a kind have, and the number of tokens that count."""
    if kind == "text" and tokens > 2:
        return Visibility(keys=torch.arange(tokens) < tokens - 2), tokens - 2
    return Visibility(causal=(tokens, tokens)) if kind == "language" else EVERYTHING, tokens


def _mixed(name: str, value: Tensor, alpha: float, visible: Visibility) -> Tensor:
    """The function's values; under a mask that differs by query those that each token gets for itself."""
    weights = torch.eye(value.shape[-2]).expand(*value.shape[:-1], value.shape[-2])
    return mix_by_function(Explicit(weights), value.clone(), visible, name, alpha)
