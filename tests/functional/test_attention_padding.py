"""What padded tokens hold changes no bit; that they are there changes nothing beyond rounding."""

from __future__ import annotations

import pytest
import torch

import crossnorm
from crossnorm.functional import Variant, Visibility, mix
from crossnorm.functional.weights import Explicit
from tests import oracle
from tests.functional.attention_cases import (
    FUNCTIONS,
    SHAPES,
    Shape,
    additive,
    draw,
    grouped,
    lengths,
    own,
    padding,
    tensors,
)

both = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_variant = pytest.mark.parametrize("name", oracle.NAMES)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
FORMS = ("keys", "rows", "inf", "min")
CONTENTS = {"other": 2.0, "huge": 1e30, "infinite": torch.inf, "negative-infinite": -torch.inf, "nan": torch.nan}


def hiding(form: str, shape: Shape, dtype: torch.dtype):
    """The same padding, said in four ways."""
    mask = padding(shape)
    if form == "rows":
        return mask.expand(*mask.shape[:-2], shape.queries, shape.keys)
    if form == "keys":
        return mask
    return additive(mask, dtype, -torch.inf if form == "inf" else torch.finfo(dtype).min)


def padded(tensor: torch.Tensor, shape: Shape) -> torch.Tensor:
    """True at the padded tokens of a key or value."""
    real = torch.arange(shape.keys) < lengths(shape)[:, None]
    return ~real.reshape(shape.batch, *(1,) * (tensor.ndim - 3), shape.keys, 1)


def refilled(k, v, shape, number):
    """Keys and values with other contents at padded tokens; keys stay finite, as scores must."""
    keys = k.masked_fill(padded(k, shape), number if abs(number) < 1e20 else 1e6)
    return keys, v.masked_fill(padded(v, shape), number)


@both
@every_shape
@pytest.mark.parametrize("form", FORMS)
@every_variant
def test_contents_change_no_bit(function, shape, form, name):
    q, k, v = tensors(shape, torch.float32)
    keywords = {"attn_mask": hiding(form, shape, q.dtype), **grouped(shape), "variant": own(name, 0.7)}
    want = function(q, k, v, **keywords)
    for contents, number in CONTENTS.items():
        other_k, other_v = refilled(k, v, shape, number)
        assert torch.equal(function(q, other_k, other_v, **keywords), want), contents


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("number", [CONTENTS["other"], CONTENTS["huge"]], ids=["other", "huge"])
def test_contents_change_no_bit_of_the_baseline(form, number):
    shape = SHAPES["4d"]
    q, k, v = tensors(shape, torch.float32)
    mask = hiding(form, shape, q.dtype)
    other_k, other_v = refilled(k, v, shape, number)
    for function, setting in ((FUNCTIONS["attend"], {}), (FUNCTIONS["attention"], {"alpha": 0.0})):
        got = function(q, other_k, other_v, attn_mask=mask, **setting)
        assert torch.equal(got, function(q, k, v, attn_mask=mask, **setting))


@both
@pytest.mark.parametrize("form", FORMS)
@every_variant
def test_gradients_ignore_padding(function, form, name):
    """Exactly zero at padded tokens, whatever they hold, and unchanged to the bit elsewhere."""
    shape = SHAPES["4d"]
    q, k, v = tensors(shape, torch.float32)
    mask = hiding(form, shape, q.dtype)
    cotangent = draw(*shape.lead, shape.queries, shape.dim, seed=59, dtype=torch.float32)

    def gradients(*inputs):
        leaves = [t.clone().requires_grad_() for t in inputs]
        return torch.autograd.grad(function(*leaves, attn_mask=mask, variant=own(name, 0.7)), leaves, cotangent)

    usual = gradients(q, k, v)
    assert all(gradient.isfinite().all() for gradient in usual)
    for gradient in usual[1:]:
        hidden = padded(gradient, shape).expand_as(gradient)
        assert (gradient[hidden] == 0).all()
        assert (gradient[~hidden] != 0).any()
    for contents, number in CONTENTS.items():
        for other, want in zip(gradients(q, *refilled(k, v, shape, number)), usual, strict=True):
            assert torch.equal(other, want), contents


@both
@pytest.mark.parametrize("form", FORMS)
@every_variant
def test_removing_padding_changes_only_rounding(function, form, name):
    shape = Shape(batch=3, heads=2, queries=5, keys=11, width=7, dim=13)
    q, k, v = tensors(shape)
    kept = 7
    mask = torch.arange(shape.keys).expand(shape.batch, 1, 1, shape.keys) < kept
    if form == "rows":
        mask = mask.expand(-1, -1, shape.queries, -1)
    elif form != "keys":
        mask = additive(mask, q.dtype, -torch.inf if form == "inf" else torch.finfo(q.dtype).min)
    got = function(q, k, v, attn_mask=mask, variant=own(name, 0.7))
    want = function(q, k[..., :kept, :], v[..., :kept, :], variant=own(name, 0.7))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-13)


@both
@every_shape
@every_variant
def test_a_mask_that_hides_nothing_is_none(function, shape, name):
    q, k, v = tensors(shape)
    keywords = {**grouped(shape), "variant": own(name, 0.7)}
    want = function(q, k, v, **keywords)
    for form in (
        torch.ones(shape.queries, shape.keys, dtype=torch.bool),
        torch.zeros(shape.queries, shape.keys, dtype=q.dtype),
    ):
        torch.testing.assert_close(function(q, k, v, attn_mask=form, **keywords), want, rtol=0, atol=1e-13)


@both
@pytest.mark.parametrize("hidden", [False, -torch.inf, torch.finfo(torch.float32).min], ids=["bool", "inf", "min"])
@every_variant
def test_hidden_rows_are_zero_and_harmless(function, hidden, name):
    """A row with nothing to see is exactly zero and passes no gradient on; its neighbours notice nothing."""
    shape = SHAPES["4d"]
    mask = torch.ones(shape.queries, shape.keys, dtype=torch.bool)
    mask[2] = False
    mask[3, 4:] = False
    if hidden is not False:
        mask = additive(mask, torch.float32, hidden)
    leaves = [t.requires_grad_() for t in tensors(shape, torch.float32)]
    out = function(*leaves, attn_mask=mask, variant=own(name, 0.7))
    assert (out[..., 2, :] == 0).all()
    assert (out[..., 3, :] != 0).any()
    gradients = torch.autograd.grad(out[..., 2, :].sum(), leaves, retain_graph=True)
    assert all((gradient == 0).all() for gradient in gradients)
    gradients = torch.autograd.grad(out.square().sum(), leaves)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (gradients[0][..., 2, :] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_float_mask_hides_from_half_its_types_minimum(dtype):
    """At half the minimum a token is hidden; above, it is merely unlikely, and takes its part in S(V)."""
    shape = Shape(batch=1, heads=0, queries=1, keys=3, width=2, dim=5)
    q, k, v = tensors(shape, dtype)
    half = torch.finfo(dtype).min / 2
    for bias, real in ((half, 2), (torch.finfo(dtype).min, 2), (half / 2, 3)):
        mask = torch.tensor([[0.0, 0.0, bias]], dtype=dtype)
        got = FUNCTIONS["attention"](q, k, v, attn_mask=mask, variant="convex")
        want = oracle.attention(q, k, v, mask, variant="convex", alpha=1.0)
        tolerance = {torch.float64: 1e-12, torch.float32: 1e-6}.get(dtype, 1e-2)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=tolerance)
        only = oracle.attention(q, k[:, :real], v[:, :real], mask[:, :real], variant="convex", alpha=1.0)
        torch.testing.assert_close(got.double(), only, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", oracle.NAMES)
@pytest.mark.parametrize("queries", [1, 5])
def test_one_entry_for_all_tokens_is_a_mask_of_each(name, queries):
    """A mask (…, q, 1) broadcasts over the tokens, as in torch."""
    torch.manual_seed(2)
    query, key, value = (torch.randn(3, 2, n, 7, dtype=torch.float64) for n in (5, 11, 11))
    mask = torch.ones(3, 1, queries, 1, dtype=torch.bool)
    mask[1] = False
    got = crossnorm.attention(query, key, value, mask, variant=name, alpha=0.6)
    want = crossnorm.attention(query, key, value, mask.expand(3, 1, 5, 11), variant=name, alpha=0.6)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["convex", "signed"])
def test_a_mask_may_have_more_leading_axes_than_the_values(name):
    draws = torch.Generator().manual_seed(5)
    weights, value = torch.rand(2, 3, 7, 7, generator=draws), torch.randn(1, 3, 7, 5, generator=draws)
    keys = torch.tensor([[True] * 7, [True] * 4 + [False] * 3]).unsqueeze(1)
    mixing = Variant(name=name).mixing
    apart = [mix(Explicit(weights[i : i + 1]), value, Visibility(keys=keys[i : i + 1]), mixing, 0.5) for i in (0, 1)]
    assert torch.equal(mix(Explicit(weights), value, Visibility(keys=keys), mixing, 0.5), torch.cat(apart))
