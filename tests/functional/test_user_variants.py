"""A user's own variant, named ``module:function``."""

from __future__ import annotations

import pytest
import torch

from crossnorm import attention, per_query, sequence_pool
from crossnorm.errors import BadInput
from crossnorm.functional import attend
from tests import oracle
from tests.functional.attention_cases import (
    FUNCTIONS,
    SHAPES,
    Shape,
    attend_at,
    grouped,
    masked,
    own,
    pool_at,
    tensors,
)

both = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
UNIFORM = ("none", "padding", "padding-rows", "padding-float", "bias", "hidden-example")
PER_QUERY = ("per-query", "per-head", "shared-rows", "causal", "causal-mask", "float-inf", "hidden-rows")
calls: list[tuple[torch.Size, torch.Size | None]] = []


def name(function) -> str:
    return f"{__name__}:{function.__name__}"


def convex(value, *, alpha, visible):
    """The request once more, as a user would write it."""
    calls.append((value.shape, None if visible is None else visible.shape))
    hot = value if visible is None else value.masked_fill(~visible.unsqueeze(-1), -torch.inf)
    share = torch.nan_to_num(torch.softmax(hot, dim=-2))
    return (1 - alpha) * value + alpha * share


@per_query
def convex_per_query(value, *, alpha, visible):
    """The same, able to answer for every query by itself."""
    if visible is None or visible.ndim < value.ndim:
        return convex(value, alpha=alpha, visible=visible)
    calls.append((value.shape, visible.shape))
    own_value = value.unsqueeze(-3)
    hot = own_value.masked_fill(~visible.unsqueeze(-1), -torch.inf)
    return (1 - alpha) * own_value + alpha * torch.nan_to_num(torch.softmax(hot, dim=-2))


def too_short(value, *, alpha, visible):
    return value[..., :-1, :]


def too_narrow(value, *, alpha, visible):
    return value[..., :-1]


def summed(value, *, alpha, visible):
    return value.sum(dim=-2, keepdim=True)


def nothing(value, *, alpha, visible):
    return None


@per_query
def forgets_the_queries(value, *, alpha, visible):
    return value


not_a_function = 3.0


@both
@every_shape
@pytest.mark.parametrize("kind", UNIFORM)
@pytest.mark.parametrize("mine", [convex, convex_per_query], ids=lambda f: f.__name__)
def test_it_gets_values_and_what_is_visible(function, shape, kind, mine):
    q, k, v = tensors(shape)
    mask = masked(kind, shape)
    got = function(q, k, v, **mask, **grouped(shape), variant=own(name(mine), 0.7))
    want = oracle.attention(q, k, v, **mask, variant="convex", alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


@both
@every_shape
@pytest.mark.parametrize("kind", PER_QUERY)
def test_per_query_masks_reach_the_decorated(function, shape, kind):
    q, k, v = tensors(shape)
    mask = masked(kind, shape)
    calls.clear()
    got = function(q, k, v, **mask, **grouped(shape), variant=own(name(convex_per_query), 0.7))
    want = oracle.attention(q, k, v, **mask, variant="convex", alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    assert calls
    assert all(visible is not None and visible[-2:] == (shape.queries, shape.keys) for _, visible in calls)


def test_with_grouped_queries_alpha_zero_is_the_baseline():
    """One query, as in decoding, where a product for each head has other bits than one for the group."""
    q, k, v = tensors(Shape(batch=2, heads=2, queries=1, keys=331, width=67, dim=61, groups=7), torch.float32)
    with_variant = attend_at(q, k, v, enable_gqa=True, variant=own(name(convex), 0.0))
    assert torch.equal(with_variant, attend(q, k, v, enable_gqa=True))


@both
@pytest.mark.parametrize("kind", PER_QUERY)
def test_per_query_masks_are_refused_undecorated(function, kind):
    shape = SHAPES["4d"]
    with pytest.raises(BadInput, match="per_query"):
        function(*tensors(shape), **masked(kind, shape), variant=own(name(convex), 0.7))


@both
def test_shapes_it_is_given(function):
    shape = SHAPES["4d"]
    calls.clear()
    function(*tensors(shape), variant=own(name(convex), 0.7))
    function(*tensors(shape), **masked("padding", shape), variant=own(name(convex), 0.7))
    (value, nothing_hidden), (padded_value, visible) = calls
    assert value == padded_value == (*shape.kv_lead, shape.keys, shape.dim)
    assert nothing_hidden is None
    assert visible[-1] == shape.keys
    assert torch.broadcast_shapes(visible, value[:-1]) == value[:-1]


@both
@pytest.mark.parametrize("mine", [convex, convex_per_query], ids=lambda f: f.__name__)
def test_what_padded_tokens_hold_never_leaves(function, mine):
    shape = SHAPES["4d"]
    q, k, v = tensors(shape, torch.float32)
    mask = masked("padding", shape)["attn_mask"]
    hidden = ~mask.transpose(-1, -2)
    want = function(q, k, v, attn_mask=mask, variant=own(name(mine), 0.7))
    for number in (1e30, torch.inf, torch.nan):
        got = function(q, k, v.masked_fill(hidden, number), attn_mask=mask, variant=own(name(mine), 0.7))
        assert torch.equal(got, want)


@both
def test_gradients_flow_through_it(function):
    shape = SHAPES["3d"]
    mine, theirs = ([t.requires_grad_() for t in tensors(shape)] for _ in range(2))
    got = torch.autograd.grad(function(*mine, variant=own(name(convex), 0.7)).square().sum(), mine)
    want = torch.autograd.grad(function(*theirs, variant=own("convex", 0.7)).square().sum(), theirs)
    for g, w in zip(got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-10, atol=1e-10)


def test_alpha_zero_is_the_baseline_whatever_it_would_say():
    shape = SHAPES["4d"]
    q, k, v = tensors(shape, torch.float32)
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    assert torch.equal(attention(q, k, v, variant=name(summed), alpha=0.0), want)
    assert torch.equal(attend_at(q, k, v, variant=own(name(summed), 0.0)), attend(q, k, v))


@both
@pytest.mark.parametrize("mine", [too_short, too_narrow, summed, nothing], ids=lambda f: f.__name__)
def test_another_shape_is_refused(function, mine):
    with pytest.raises(BadInput, match=mine.__name__):
        function(*tensors(SHAPES["4d"]), variant=own(name(mine), 0.7))


@both
def test_a_per_query_answer_without_queries_is_refused(function):
    shape = SHAPES["4d"]
    with pytest.raises(BadInput, match="forgets_the_queries"):
        function(*tensors(shape), is_causal=True, variant=own(name(forgets_the_queries), 0.7))


@pytest.mark.parametrize(
    "wrong",
    [
        "no_such_module_anywhere:function",
        f"{__name__}:no_such_function",
        f"{__name__}:not_a_function",
        f"{__name__}:",
        ":convex",
        "this:convex:twice",
        "wsgiref.simple_server:demo_app",  # exists, but nobody imported it: resolving a name imports nothing
    ],
)
def test_a_name_that_leads_nowhere(wrong):
    import sys

    with pytest.raises(BadInput) as error:
        attention(*tensors(SHAPES["4d"]), variant=own(wrong, 0.7))
    assert wrong in str(error.value)
    assert "wsgiref.simple_server" not in sys.modules


@pytest.mark.parametrize("setting", [{"gain": 2.0}, {"temperature": 2.0}], ids=["gain", "temperature"])
def test_a_setting_it_cannot_hear_is_refused(setting):
    with pytest.raises(BadInput):
        attention(*tensors(SHAPES["4d"]), variant=own(name(convex), 0.7, **setting))


@pytest.mark.parametrize("mine", [convex, convex_per_query], ids=lambda f: f.__name__)
def test_pooling_knows_it_too(mine):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 7, 5, generator=generator, dtype=torch.float64)
    scores = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    want = oracle.pool(tokens, scores, mask, variant="convex", alpha=0.7)
    got = sequence_pool(tokens, scores, mask, variant=name(mine), alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    got = pool_at(tokens, scores, mask=mask, variant=own(name(mine), 0.7))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    got = sequence_pool(tokens, scores, variant=name(mine), alpha=0.7)
    want = oracle.pool(tokens, scores, variant="convex", alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
