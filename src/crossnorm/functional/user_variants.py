"""Variants that are functions of the user, named ``module:function``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from crossnorm.errors import BadInput
from crossnorm.functional.masks import Visibility
from crossnorm.functional.variant_registry import Alpha
from crossnorm.functional.weights import Weights

__all__ = ["check_allowed", "mix_by_function", "per_query", "user_function"]

Function = TypeVar("Function", bound=Callable[..., Tensor])


def per_query(function: Function) -> Function:
    """Decorate a variant of your own that handles masks which differ by query, such as causal ones.

    A variant f(value, *, alpha, visible) gets `value` (…, tokens, dim) and, without a mask or with a padding mask,
    `visible` (…, tokens) or None. It returns values of the same shape. With a mask that differs by query an undecorated
    function raises an error, because a sum over all tokens would leak the future. A decorated one then gets `visible`
    (…, queries, tokens) and returns (…, queries, tokens, dim): the values for each query.
    """
    function.__crossnorm_per_query__ = True  # type: ignore[attr-defined]
    return function


def check_allowed(name: str, imports: Sequence[str], where: str) -> None:
    """Check that a variant which a file names is built in, or of a module that the user allows.

    Args:
        name: The variant's name.
        imports: The modules that the user allows to be imported.
        where: What names it, for the error.

    Raises:
        BadInput: It is of another module.
    """
    module, colon, _ = name.partition(":")
    if colon and module not in imports:
        hint = f"If you trust it, add --import {module} to the command (in Python: imports=[{module!r}])."
        raise BadInput(where, "a built-in variant or one of an imported module", name, hint)


def user_function(name: str) -> Callable[..., Any]:
    """The function that ``module:function`` names, in a module that is already imported.

    Nothing is imported here: a study file may name a function, but only its user may run it.

    Raises:
        BadInput: The module is not imported, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None:
        hint = f"Import the module first, or add {module_name!r} to imports."
        raise BadInput.because(f"variant {name!r}", f"the module {module_name!r} is not imported", hint)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise BadInput.because(f"variant {name!r}", f"the module {module_name!r} has no function {function_name!r}")
    return cast("Callable[..., Any]", function)


def mix_by_function(weights: Weights, value: Tensor, visible: Visibility, name: str, alpha: Alpha) -> Tensor:
    """The output (…, q, d) for the variant ``module:function``; other arguments as in `mix`."""
    function = user_function(name)
    if not visible.by_query:
        keys = None if visible.keys is None else visible.keys.expand(value.shape[:-1])
        mixed = _call(function, name, value, alpha, keys, value.shape)
        return weights.times(mixed.to(weights.dtype))
    if not getattr(function, "__crossnorm_per_query__", False):
        hint = "A sum over all tokens would leak the future. See crossnorm.per_query."
        raise BadInput.because(f"variant {name!r}", "it does not support masks that differ by query", hint)
    matrix, mask = weights.dense(), visible.mask(value.device)
    assert mask is not None
    pairs = mask.expand(*value.shape[:-2], *matrix.shape[-2:])
    mixed = _call(function, name, value, alpha, pairs, (*pairs.shape, value.shape[-1]))
    return torch.einsum("...qk,...qkd->...qd", matrix, mixed.to(matrix.dtype))


def _call(
    function: Callable[..., Any],
    name: str,
    value: Tensor,
    alpha: Alpha,
    visible: Tensor | None,
    shape: tuple[int, ...],
) -> Tensor:
    mixed = function(value, alpha=alpha, visible=visible)
    if not isinstance(mixed, Tensor) or mixed.shape != shape:
        found = f"shape {tuple(mixed.shape)}" if isinstance(mixed, Tensor) else type(mixed).__name__
        raise BadInput(f"variant {name!r}", f"a tensor of shape {tuple(shape)}", found)
    return mixed
