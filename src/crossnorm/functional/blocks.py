"""`in_blocks` computes a function of tensors in blocks of heads, in the backward pass again.

Only its inputs are kept, and the memory of its temporaries is that of one block, in both passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

__all__ = ["in_blocks", "with_axes"]

_BLOCK = 1 << 17
"""Elements of the first tensor above which there is more than one block."""


def in_blocks(function: Callable[..., Tensor], first: Tensor, *others: Tensor | None) -> Tensor:
    """``function(first, *others)`` for a function that treats every index of axis 1, the heads, alone.

    Small tensors, tensors with other axes or numbers of heads, compiled code, which plans its memory itself, and
    transforms of torch.func take the function as it is.

    Args:
        function: Returns a tensor with as many heads as one of its arguments. It may be called again in the backward
            pass.
        first: (b, h, …), at least four axes. Its elements and heads determine the blocks.
        others: Tensors (b, h, …) with a multiple of h heads, which are divided, or with one head, which are not; None
            is passed on.
    """
    parts = min(first.shape[1], first.numel() // _BLOCK) if first.ndim > 3 else 1
    dividable = all(x is None or (x.ndim > 3 and (x.shape[1] == 1 or not x.shape[1] % first.shape[1])) for x in others)
    # torch.func cannot transform a function that calls autograd.
    if parts <= 1 or not dividable or torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return function(first, *others)
    return _InBlocks.apply(function, parts, first, *others)  # type: ignore[no-any-return, no-untyped-call]


@overload
def with_axes(x: Tensor, axes: int) -> Tensor: ...
@overload
def with_axes(x: Tensor | None, axes: int) -> Tensor | None: ...
def with_axes(x: Tensor | None, axes: int) -> Tensor | None:
    """The tensor with new leading axes of size 1, so that it has as many axes; None as it is."""
    return None if x is None else x[(None,) * (axes - x.ndim)]


class _InBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], parts: int, *tensors: Tensor | None) -> Tensor:  # type: ignore[override]
        output = None
        for at in _parts(tensors, parts):
            output = at.put(output, function(*(at.of(x) for x in tensors)))
        assert output is not None
        device = output.device.type
        ctx.autocast = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
        ctx.function, ctx.parts = function, parts
        ctx.save_for_backward(*tensors)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        tensors = ctx.saved_tensors
        moved = [i for i, needed in enumerate(ctx.needs_input_grad[2:]) if needed]
        gradients: list[Tensor | None] = [None] * len(tensors)
        again = torch.is_grad_enabled()  # a second derivative is wanted
        for at in _parts(tensors, ctx.parts):
            with torch.enable_grad():
                block = [at.of(x) for x in tensors]
                given = [x.view_as(x) if x is not None and i in moved else x for i, x in enumerate(block)]
                with torch.autocast(*ctx.autocast):
                    output = ctx.function(*given)
                found = torch.autograd.grad(output, [given[i] for i in moved], at.of(gradient), create_graph=again)  # type: ignore[arg-type]
            for i, part in zip(moved, found, strict=True):
                whole = gradients[i]
                if _is_divided(tensors[i]):
                    gradients[i] = at.put(whole, part)
                else:
                    gradients[i] = part if whole is None else whole + part
        return None, None, *gradients


@dataclass(frozen=True)
class _Part:
    """Heads `start` to `end` of so many heads."""

    start: int
    end: int
    heads: int

    def of(self, x: Tensor | None) -> Tensor | None:
        """These heads of a tensor; one that is not divided as it is."""
        if x is None or not _is_divided(x):
            return x
        each = x.shape[1] // self.heads
        return x[:, self.start * each : self.end * each]

    def put(self, whole: Tensor | None, part: Tensor) -> Tensor:
        """A tensor of all heads, made at the first call, with the part as these heads: no second copy is needed."""
        each = part.shape[1] // (self.end - self.start)
        whole = part.new_empty(part.shape[0], self.heads * each, *part.shape[2:]) if whole is None else whole
        whole[:, self.start * each : self.end * each] = part
        return whole


def _parts(tensors: tuple[Tensor | None, ...], parts: int) -> Iterator[_Part]:
    first = tensors[0]
    assert first is not None
    heads = first.shape[1]
    return (_Part(heads * part // parts, heads * (part + 1) // parts, heads) for part in range(parts))


def _is_divided(x: Tensor) -> bool:
    return x.shape[1] > 1
