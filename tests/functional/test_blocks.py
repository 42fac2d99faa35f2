"""Functions in blocks of heads: the values and derivatives are those of the function itself."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from crossnorm.functional import blocks
from crossnorm.functional.blocks import in_blocks, with_axes
from tests.functional.attention_cases import draw

BATCH, HEADS, TOKENS, DIM = 2, 3, 5, 7


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", 1)


def inputs():
    """A value, a tensor with twice the heads, one with one head, a mask and one number."""
    value, wide = draw(BATCH, HEADS, TOKENS, DIM, seed=1), draw(BATCH, 2 * HEADS, TOKENS, DIM, seed=2)
    shared, dose = draw(1, 1, TOKENS, 1, seed=3), draw(1, 1, 1, 1, seed=6)
    mask = draw(BATCH, HEADS, TOKENS, 1, seed=4) > 0
    return [x.requires_grad_() for x in (value, wide, shared)] + [mask, dose.requires_grad_()]


def function(value, wide, shared, mask, dose, none):
    assert none is None
    hidden = (value * dose + shared).masked_fill(mask, 0.0)
    return hidden.repeat_interleave(2, 1).exp() * wide


def counted(shapes):
    def noting(*arguments):
        shapes.append(tuple(arguments[0].shape))
        return function(*arguments)

    return noting


@pytest.mark.parametrize("elements", [1, BATCH * TOKENS * DIM, 2 * BATCH * TOKENS * DIM - 1])
def test_values_and_gradients(monkeypatch, elements):
    monkeypatch.setattr(blocks, "_BLOCK", elements)
    tensors, shapes = inputs(), []
    moved = [x for x in tensors if x.requires_grad]
    above = draw(BATCH, 2 * HEADS, TOKENS, DIM, seed=5)
    got, want = in_blocks(counted(shapes), *tensors, None), function(*tensors, None)
    torch.testing.assert_close(got, want, rtol=0, atol=0)
    found, expected = torch.autograd.grad(got, moved, above), torch.autograd.grad(want, moved, above)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)
    parts = HEADS if elements < 2 * BATCH * TOKENS * DIM - 1 else 1
    assert len(shapes) == (2 * parts if parts > 1 else 1)  # once in each pass


def test_second_derivatives():
    value, dose = draw(1, HEADS, 2, 3, seed=1).requires_grad_(), draw(1, 1, 1, 1, seed=2)

    def blocked(value, dose):
        return in_blocks(lambda x, a: (x * a).softmax(-2), value, dose)

    assert torch.autograd.gradgradcheck(blocked, (value, dose.requires_grad_()))


def test_gradients_are_computed_under_the_autocast_of_the_forward_pass():
    types = []

    def product(x):
        types.append((x @ x.mT).dtype)
        return x @ x.mT

    x = draw(1, HEADS, TOKENS, DIM, seed=1).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = in_blocks(product, x)
    out.float().sum().backward()
    assert types == [torch.bfloat16] * 2 * HEADS


class Product(torch.autograd.Function):
    """2 x, which notes whether its backward pass runs under autocast."""

    noted: ClassVar[list[bool]] = []

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        Product.noted.append(torch.is_autocast_enabled("cpu"))
        return 2 * gradient


def test_the_backward_pass_itself_runs_without_autocast():
    x = draw(1, HEADS, TOKENS, DIM, seed=1).float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = in_blocks(Product.apply, x)
    Product.noted.clear()
    out.sum().backward()
    assert Product.noted == [False] * HEADS


@pytest.mark.parametrize(
    "tensors",
    [
        (draw(HEADS, TOKENS, DIM, seed=1), None),  # no axis of heads
        (draw(BATCH, HEADS, TOKENS, DIM, seed=1), draw(BATCH, HEADS + 1, TOKENS, DIM, seed=2)),  # heads that do not fit
        (draw(BATCH, HEADS, TOKENS, DIM, seed=1), draw(BATCH, TOKENS, DIM, seed=2)),  # other axes
    ],
)
def test_what_cannot_be_divided_is_computed_at_once(tensors):
    calls = []
    in_blocks(lambda x, other: calls.append(x.shape) or x, *tensors)
    assert calls == [tensors[0].shape]


def test_transforms_of_functions_take_the_function_as_it_is():
    x = draw(BATCH, HEADS, TOKENS, DIM, seed=1)
    got = torch.func.grad(lambda x: in_blocks(lambda x: x.exp(), x).sum())(x)
    torch.testing.assert_close(got, x.exp())


def test_axes_are_added_in_front():
    assert with_axes(torch.zeros(2, 3), 4).shape == (1, 1, 2, 3)
    assert with_axes(torch.zeros(2, 3), 1).shape == (2, 3)
    assert with_axes(None, 4) is None
