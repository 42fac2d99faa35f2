"""A causal call leaks nothing from the future, and stays right where values spread widely."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant
from crossnorm.functional import attend
from tests import oracle
from tests.functional.attention_cases import FUNCTIONS, SELF, Shape, draw, mask_of, own, tensors

both = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_variant = pytest.mark.parametrize("name", oracle.NAMES)
LONG = Shape(batch=2, heads=0, queries=37, keys=37, width=5, dim=3)
FORMS = ("flag", "mask", "float")
SPREADS = {"narrow": 0.2, "usual": 1.0, "eighty": 80.0, "two-hundred": 200.0}
OFFSETS = {"none": 0.0, "thousand": 1000.0, "minus-thousand": -1000.0}


def causal(form: str, shape: Shape, dtype: torch.dtype):
    if form == "flag":
        return {"is_causal": True}
    mask = mask_of("causal-mask", shape, dtype)
    if form == "mask":
        return {"attn_mask": mask}
    return {"attn_mask": torch.zeros(mask.shape, dtype=dtype).masked_fill(~mask, -torch.inf)}


@both
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
@every_variant
def test_no_gradient_reaches_the_future(function, form, spread, name):
    leaves = [t.requires_grad_() for t in tensors(SELF, torch.float32, spread=spread)]
    out = function(*leaves, **causal(form, SELF, torch.float32), variant=own(name, 0.7))
    for last in (0, 3, 5):
        cotangent = draw(*SELF.lead, SELF.queries, SELF.dim, seed=43, dtype=torch.float32)
        cotangent[..., last + 1 :, :] = 0
        for gradient in torch.autograd.grad(out, leaves, cotangent, retain_graph=True):
            assert gradient.isfinite().all()
            assert (gradient[..., last + 1 :, :] == 0).all()
            assert last == 0 or (gradient[..., : last + 1, :] != 0).any()


@both
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
@every_variant
def test_the_future_changes_no_bit_of_the_past(function, form, spread, name):
    q, k, v = tensors(SELF, torch.float32, spread=spread)
    other = tensors(SELF, torch.float32, spread=spread, seed=1)
    keywords = {**causal(form, SELF, torch.float32), "variant": own(name, 0.7)}
    want = function(q, k, v, **keywords)
    for last in (0, 3, 5):
        changed = [t.clone() for t in (q, k, v)]
        for tensor, replacement in zip(changed, other, strict=True):
            tensor[..., last + 1 :, :] = replacement[..., last + 1 :, :]
        got = function(*changed, **keywords)
        assert torch.equal(got[..., : last + 1, :], want[..., : last + 1, :])
        assert not torch.equal(got, want)


@pytest.mark.parametrize("form", FORMS)
@every_variant
def test_the_future_changes_no_bit_of_a_half_precision_past(form, name):
    q, k, v = tensors(SELF, torch.bfloat16, spread=0.2)
    other = v.clone()
    other[..., 4:, :] = draw(*SELF.kv_lead, SELF.keys - 4, SELF.dim, seed=59, dtype=torch.bfloat16, spread=3.0)
    keywords = {**causal(form, SELF, torch.bfloat16), "variant": own(name, 0.7)}
    got, want = (FUNCTIONS["attention"](q, k, values, **keywords) for values in (other, v))
    assert torch.equal(got[..., :4, :], want[..., :4, :])
    assert not torch.equal(got, want)


@both
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("spread", [30.0, 80.0, 200.0])
@every_variant
def test_a_wild_future_leaves_a_calm_past_alone(function, form, spread, name):
    """Wide values may be summed in another way, so beside them the past may be rounded otherwise, no more."""
    q, k, v = tensors(SELF, torch.float32, spread=0.5)
    wild = v.clone()
    wild[..., 4:, :] = draw(*SELF.kv_lead, SELF.keys - 4, SELF.dim, seed=47, dtype=torch.float32, spread=spread)
    keywords = {**causal(form, SELF, torch.float32), "variant": own(name, 0.7)}
    got, want = function(q, k, wild, **keywords), function(q, k, v, **keywords)
    torch.testing.assert_close(got[..., :4, :], want[..., :4, :], rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [SELF, LONG], ids=["short", "long"])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
@every_variant
def test_wide_and_distant_values(shape, spread, offset, name):
    """At α = 1 only the mixed part is left, so that its error cannot hide behind the values' size."""
    q, k, v = tensors(shape, torch.float32, spread=spread)
    v = v + offset
    want = oracle.attention(q, k, v, is_causal=True, variant=name, alpha=1.0)
    # exp of a float32 number near 1000 knows 1000 · 2^-24 of its exponent
    relative = 1e-5 + (abs(offset) + 4 * spread) * 2**-23
    for form in FORMS:
        got = FUNCTIONS["attention"](q, k, v, **causal(form, shape, torch.float32), variant=own(name, 1.0))
        assert got.isfinite().all()
        torch.testing.assert_close(got.double(), want, rtol=0, atol=relative * max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("spread", [80.0, 200.0])
@pytest.mark.parametrize("form", ["flag", "mask"])
@every_variant
def test_half_precision_survives_wide_values(form, spread, name):
    q, k, v = tensors(SELF, torch.bfloat16, spread=spread)
    keywords = causal(form, SELF, torch.bfloat16)
    got = FUNCTIONS["attention"](q, k, v, **keywords, variant=own(name, 1.0))
    want = oracle.attention(q, k, v, **keywords, variant=name, alpha=1.0)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=4e-2 * max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("spread", [1.0, 80.0, 200.0])
@pytest.mark.parametrize("form", FORMS)
@every_variant
def test_gradients_of_wide_values(form, spread, name):
    """In float32 as in float64, where gradcheck holds them."""
    gradients = []
    for dtype in (torch.float32, torch.float64):
        leaves = [t.to(dtype).requires_grad_() for t in tensors(SELF, torch.float32, spread=spread)]
        out = FUNCTIONS["attention"](*leaves, **causal(form, SELF, dtype), variant=own(name, 1.0))
        cotangent = draw(*SELF.lead, SELF.queries, SELF.dim, seed=53, dtype=torch.float32).to(dtype)
        gradients.append(torch.autograd.grad(out, leaves, cotangent))
    for single, double in zip(*gradients, strict=True):
        tolerance = (1e-5 + 4 * spread * 2**-23) * max(double.abs().max().item(), 1e-3)
        torch.testing.assert_close(single.double(), double, rtol=0, atol=tolerance)


@both
@every_variant
def test_no_query_is_no_error(function, name):
    q, k, v = tensors(SELF, torch.bfloat16)
    assert function(q[..., :0, :], k, v, is_causal=True, variant=own(name, 0.7)).shape == (*SELF.lead, 0, SELF.dim)


@pytest.mark.parametrize(("queries", "keys"), [(37, 37), (307, 307), (137, 71), (71, 137)])
@pytest.mark.parametrize("form", ["flag", "mask"])
@every_variant
def test_half_precision_values_and_gradients_of_small_values(queries, keys, form, name):
    """What reaches V by A·exp(V) and by the sums of exp(V) nearly cancels, and must not do so in half precision."""
    shape = Shape(batch=2, heads=0, queries=queries, keys=keys, width=5, dim=3)
    inputs = [0.25 * tensor for tensor in tensors(shape, torch.bfloat16)]
    cotangent = draw(*shape.lead, shape.queries, shape.dim, seed=61, dtype=torch.bfloat16)
    found = []
    for dtype in (torch.bfloat16, torch.float64):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        out = FUNCTIONS["attention"](*leaves, **causal(form, shape, dtype), variant=own(name, 1.0))
        found.append((out, *torch.autograd.grad(out, leaves, cotangent.to(dtype))))
    for half, double in zip(*found, strict=True):
        assert (half.double() - double).norm() <= 0.06 * double.norm()


@pytest.mark.parametrize("sigma", [0.05, 1.0])
@pytest.mark.parametrize("name", ["convex", "matched", "centred", "signed", "laser"])
def test_half_precision_costs_little_more_than_in_plain_attention(sigma, name):
    """Outputs and all gradients, by the norm of their errors; results/attention has more cases."""
    shape = Shape(batch=2, heads=0, queries=251, keys=251, width=23, dim=29)
    q, k, v = tensors(shape, torch.bfloat16)
    inputs = [q, k, sigma * v]
    cotangent = draw(*shape.lead, shape.queries, shape.dim, seed=61, dtype=torch.bfloat16)
    errors = []
    for variant in (own("convex", 0.0), Variant(name=name, alpha=1.0)):
        found = []
        for dtype in (torch.bfloat16, torch.float64):
            leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
            out = attend(*leaves, is_causal=True, mixing=variant.mixing, alpha=variant.alpha)
            found.append((out, *torch.autograd.grad(out, leaves, cotangent.to(dtype))))
        errors.append([(half.double() - double).norm() / double.norm() for half, double in zip(*found, strict=True)])
    for plain, mixed in zip(*errors, strict=True):
        assert mixed <= 2.5 * plain


@both
@pytest.mark.parametrize("dropout_p", [0.5, 0.9])
@every_variant
def test_a_row_that_lost_every_weight_stays_finite(function, dropout_p, name):
    """The first causal row has one weight; with dropout it is often gone, and training must go on."""
    leaves = [t.requires_grad_() for t in tensors(SELF, torch.float32)]
    torch.manual_seed(23)
    out = function(*leaves, is_causal=True, dropout_p=dropout_p, variant=own(name, 0.7))
    assert out.isfinite().all()
    assert (out[..., 0, :] == 0).all(dim=-1).any()
    for gradient in torch.autograd.grad(out.sum(), leaves):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [(5, 11), (11, 5)], ids=["more-keys", "more-queries"])
@every_variant
def test_unequal_lengths_are_counted_from_the_top_left(form, rows, name):
    shape = Shape(batch=2, heads=3, queries=rows[0], keys=rows[1], width=7, dim=13)
    q, k, v = tensors(shape)
    keywords = causal(form, shape, torch.float64)
    got = FUNCTIONS["attention"](q, k, v, **keywords, variant=own(name, 0.7))
    want = oracle.attention(q, k, v, is_causal=True, variant=name, alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
