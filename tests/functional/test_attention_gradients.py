"""Gradients of every variant against finite differences, in float64."""

from __future__ import annotations

import pytest
import torch

from tests import oracle
from tests.functional.attention_cases import (
    FUNCTIONS,
    Shape,
    draw,
    masked,
    own,
    pool_at,
    tensors,
)

every_variant = pytest.mark.parametrize("name", oracle.NAMES)
TINY = Shape(batch=2, heads=0, queries=3, keys=5, width=2, dim=3)
SQUARE = Shape(batch=2, heads=0, queries=3, keys=3, width=2, dim=5)
LIMITS = {"eps": 1e-6, "atol": 1e-6, "rtol": 1e-5}


def leaves(shape, **settings):
    return [t.requires_grad_() for t in tensors(shape, **settings)]


def settings(name):
    return {} if name == "attenuated" else {"gain": 2.0, "temperature": 1.3}


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query", "hidden-rows"])
@every_variant
def test_attention(kind, name):
    variant = own(name, 0.7, **settings(name))

    def call(q, k, v):
        return FUNCTIONS["attention"](q, k, v, **masked(kind, TINY), variant=variant)

    assert torch.autograd.gradcheck(call, leaves(TINY), **LIMITS)


@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
def test_the_study_kernels_baseline(kind):
    def call(q, k, v):
        return FUNCTIONS["attend"](q, k, v, **masked(kind, TINY))

    assert torch.autograd.gradcheck(call, leaves(TINY), **LIMITS)


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query"])
@pytest.mark.parametrize("spread", [80.0, 200.0])
@pytest.mark.parametrize("name", ["convex", "centred", "laser"])
def test_values_that_spread_widely(kind, spread, name):
    def call(q, k, v):
        return FUNCTIONS["attention"](q, k, v, **masked(kind, SQUARE), variant=own(name, 0.7))

    assert torch.autograd.gradcheck(call, leaves(SQUARE, spread=spread), eps=1e-5, atol=1e-5, rtol=1e-4)


@every_variant
def test_grouped_queries(name):
    shape = Shape(batch=2, heads=2, queries=3, keys=3, width=1, dim=2, groups=2)

    def call(q, k, v):
        return FUNCTIONS["attention"](q, k, v, is_causal=True, enable_gqa=True, variant=own(name, 0.7))

    assert torch.autograd.gradcheck(call, leaves(shape), **LIMITS)


@pytest.mark.parametrize("name", ["convex", "laser", "batch"])
def test_a_learned_bias(name):
    """A float mask may be a parameter: relative positions are."""
    q, k, v = tensors(TINY)
    bias = draw(TINY.queries, TINY.keys, seed=61).requires_grad_()

    def call(bias):
        hidden = torch.zeros_like(bias)
        hidden[0, 1] = -torch.inf
        return FUNCTIONS["attention"](q, k, v, attn_mask=bias + hidden, variant=own(name, 0.7))

    assert torch.autograd.gradcheck(call, (bias,), **LIMITS)


@pytest.mark.parametrize("kind", ["none", "causal"])
@every_variant
def test_dropout(kind, name):
    def call(q, k, v):
        torch.manual_seed(19)
        return FUNCTIONS["attention"](q, k, v, **masked(kind, TINY), dropout_p=0.3, variant=own(name, 0.7))

    assert torch.autograd.gradcheck(call, leaves(TINY), **LIMITS)


@pytest.mark.parametrize("real", [(5, 5), (5, 2)], ids=["whole", "padded"])
@every_variant
def test_pool(real, name):
    mask = torch.arange(5) < torch.tensor(real)[:, None]
    tokens, scores = draw(2, 5, 3, seed=67).requires_grad_(), draw(2, 5, seed=71).requires_grad_()

    def call(tokens, scores):
        return pool_at(tokens, scores, mask=mask, variant=own(name, 0.7, **settings(name)))

    assert torch.autograd.gradcheck(call, (tokens, scores), **LIMITS)
