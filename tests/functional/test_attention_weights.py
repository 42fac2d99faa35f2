"""The attention weights as an operator: which form the rule chooses, and what each form computes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from crossnorm import attention
from crossnorm.functional import attend, attend_with_weights, blocks
from crossnorm.functional import weights as operator
from crossnorm.functional.masks import Visibility, read_mask
from tests import oracle
from tests.functional.attention_cases import (
    MASKS,
    SELF,
    SHAPES,
    Shape,
    attend_at,
    draw,
    grouped,
    masked,
    own,
    tensors,
)

LONG = Shape(batch=1, heads=2, queries=263, keys=269, width=7, dim=7)
SQUARE = Shape(batch=1, heads=2, queries=263, keys=263, width=7, dim=7)
every_variant = pytest.mark.parametrize("name", oracle.NAMES)


@pytest.fixture
def fused(monkeypatch):
    for kind in operator._EXPLICIT_UP_TO:
        monkeypatch.setitem(operator._EXPLICIT_UP_TO, kind, 0)


@pytest.fixture
def calls(monkeypatch):
    """The calls of torch's attention."""
    made = []
    original = F.scaled_dot_product_attention

    def counted(*arguments, **settings):
        made.append(arguments)
        return original(*arguments, **settings)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    return made


@pytest.mark.parametrize("kind", MASKS)
@every_variant
def test_fused_weights_agree_with_the_oracle(fused, kind, name):
    shape = SHAPES["4d"]
    q, k, v = tensors(shape)
    keywords = masked(kind, shape)
    got = attend_at(q, k, v, **keywords, variant=own(name, 0.7))
    torch.testing.assert_close(got, oracle.attention(q, k, v, **keywords, variant=name, alpha=0.7), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["none", "per-query", "causal"])
def test_fused_weights_take_every_shape(fused, shape, kind):
    q, k, v = tensors(shape)
    keywords = masked(kind, shape)
    got = attend_at(q, k, v, **keywords, **grouped(shape), variant=own("convex", 0.7))
    want = oracle.attention(q, k, v, **keywords, variant="convex", alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


BATCH, HEADS, TOKENS, DIM = 2, 6, 11, 7
VALUES = {"usual": (BATCH, HEADS), "no-batch": (HEADS,), "alone": (), "one-head": (BATCH, 1)}
MASK_SHAPES = {
    "none": None,
    "causal": "causal",
    "by-head": (HEADS, TOKENS, TOKENS),
    "by-query": (1, TOKENS, TOKENS),
    "head-padding": (HEADS, 1, TOKENS),
    "full": (BATCH, HEADS, TOKENS, TOKENS),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("heads", [HEADS, 2], ids=["heads", "groups"])
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("mask", MASK_SHAPES)
@pytest.mark.parametrize("name", ["convex", "centred", "signed", "laser"])
def test_fused_weights_in_blocks_broadcast_as_the_matrix_does(monkeypatch, name, mask, values, heads, dtype):
    if heads != HEADS and values != "usual":
        pytest.skip("groups share the heads of keys and values")
    q, k = draw(BATCH, HEADS, TOKENS, DIM, seed=1), draw(BATCH, heads, TOKENS, DIM, seed=2)
    v = draw(*(heads if n == HEADS else n for n in VALUES[values]), TOKENS, DIM, seed=3)
    settings = {"mixing": own(name, 1.0).mixing, "alpha": draw(HEADS, 1, 1, seed=4).abs(), "enable_gqa": heads != HEADS}
    if mask == "causal":
        settings["is_causal"] = True
    elif mask != "none":
        settings["attn_mask"] = (draw(*MASK_SHAPES[mask], seed=5) > -0.5) | (torch.arange(TOKENS) < 2)

    def computed():
        leaves = [x.to(dtype).requires_grad_() for x in (q, k, v)]
        out = attend(*leaves, **settings)
        return (out, *torch.autograd.grad(out, leaves, draw(*out.shape, seed=6).to(dtype)))

    want = computed()
    for kind in operator._EXPLICIT_UP_TO:
        monkeypatch.setitem(operator._EXPLICIT_UP_TO, kind, 0)
    monkeypatch.setattr(blocks, "_BLOCK", 1)
    for fused, explicit in zip(computed(), want, strict=True):
        assert fused.shape == explicit.shape
        limit = 1e-10 if dtype == torch.float64 else 4e-2
        assert (fused.double() - explicit.double()).norm() <= limit * explicit.double().norm()


@pytest.mark.parametrize("kind", ["none", "padding", "per-query", "causal", "hidden-rows", "bias"])
def test_both_forms_are_one_operator(kind):
    """Products, row sums and the matrix, against the matrix by the definition."""
    q, k, _ = tensors(SELF)
    mask = masked(kind, SELF)
    visible, bias = read_mask(mask.get("attn_mask"), mask.get("is_causal", False), SELF.scores)
    scale, x = 0.37, draw(*SELF.lead, SELF.keys, 3, seed=7)
    seen, added = oracle.seen(mask.get("attn_mask"), mask.get("is_causal", False), SELF.scores)
    want = torch.from_numpy(oracle.weights(oracle.array(q), oracle.array(k), seen, added, scale))
    explicit = operator.explicit_weights(q, k, visible, bias, scale)
    for weights in (explicit, operator.fused_weights(q, k, visible, bias, scale, SELF.lead)):
        torch.testing.assert_close(weights @ x, want @ x, rtol=0, atol=1e-12)
        torch.testing.assert_close(weights.dense(), want, rtol=0, atol=1e-12)
        sums = torch.as_tensor(weights.row_sums(), dtype=torch.float64)
        torch.testing.assert_close(
            sums.expand(*SELF.lead, SELF.queries, 1), want.sum(-1, keepdim=True), rtol=0, atol=1e-12
        )


def test_the_rule(calls):
    q, k, v = tensors(LONG, torch.float32)
    short, middle = ([t[..., :length, :] for t in (q, k, v)] for length in (64, 65))
    bias = draw(LONG.queries, LONG.keys, seed=3, dtype=torch.float32)
    for fused, inputs, settings in (
        (False, short, {}),
        (True, middle, {}),
        (False, [t.bfloat16() for t in middle], {}),
        (True, [t.bfloat16() for t in (q, k, v)], {}),
        (True, (q, k, v), {}),
        (False, (q, k, v), {"dropout_p": 0.5}),
        (True, (q, k, v), {"attn_mask": bias}),
        (False, (q, k, v), {"attn_mask": bias.clone().requires_grad_()}),
    ):
        calls.clear()
        attend(*inputs, **settings)
        assert bool(calls) == fused, settings
    calls.clear()
    attend_with_weights(q, k, v)
    assert not calls


@every_variant
def test_every_arm_takes_the_form_of_the_baseline(calls, name):
    for shape, fused in ((SELF, False), (SQUARE, True)):
        for settings in ({}, {"is_causal": True}):
            calls.clear()
            attend_at(*tensors(shape, torch.float32), **settings, variant=own(name, 0.5))
            assert bool(calls) == fused


@pytest.mark.parametrize(
    ("name", "alpha", "kind", "number"),
    [
        ("convex", 0.5, "none", 1), ("signed", 0.5, "padding", 1), ("laser", 0.5, "none", 2),
        ("laser", 1.0, "none", 1), ("convex", 0.5, "causal", 2), ("convex", 1.0, "causal", 1),
        ("signed", 1.0, "causal", 1), ("additive", 1.0, "causal", 2), ("attenuated", 0.5, "causal", 1),
    ],
)  # fmt: skip
def test_the_number_of_products_with_the_weights(calls, name, alpha, kind, number):
    attend_at(*tensors(SQUARE, torch.float32), **masked(kind, SQUARE, torch.float32), variant=own(name, alpha))
    assert len(calls) == number


def test_a_causal_call_stores_no_mask(calls):
    attend_at(*tensors(SQUARE, torch.float32), is_causal=True, variant=own("convex", 0.5))
    assert [call[3] for call in calls] == [None, None]
    assert read_mask(None, True, (1 << 20, 1 << 20))[0] == Visibility(causal=(1 << 20, 1 << 20))


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("kind", ["causal", "causal-mask", "per-query"])
@every_variant
def test_values_as_wide_as_unread_levels(fused, monkeypatch, unread, kind, name):
    """Values of ±80 in any order: exact, without a leak, also where no value may decide how they are summed."""
    if unread:
        monkeypatch.setattr("crossnorm.functional.normalizers.may_read", lambda tensor: False)
    shape = Shape(batch=1, heads=1, queries=31, keys=31, width=5, dim=3)
    q, k, v = tensors(shape, torch.float32)
    v = v.div(v.abs().max()).mul(80)
    v[..., 0, :] = torch.tensor([80.0, -80.0, 0.0])
    v[..., 1:5, :] = torch.tensor([-80.0, 80.0, -80.0])
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    keywords = masked(kind, shape, torch.float32)
    got = attend_at(*leaves, **keywords, variant=own(name, 1.0))
    want = oracle.attention(q, k, v, **keywords, variant=name, alpha=1.0)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=6e-5 * max(1.0, want.abs().max().item()))
    cotangent = draw(*shape.lead, shape.queries, shape.dim, seed=5, dtype=torch.float32)
    if kind != "per-query":
        cotangent[..., 4:, :] = 0
    for gradient in torch.autograd.grad(got, leaves, cotangent):
        assert gradient.isfinite().all()
        assert kind == "per-query" or (gradient[..., 4:, :] == 0).all()


@pytest.mark.parametrize("kind", ["causal", "per-query"])
@pytest.mark.parametrize("spread", [3e3, 1e6, 1e30])
@every_variant
def test_values_that_would_need_many_levels(kind, spread, name):
    """As in a training that diverges: exact, and in one step."""
    q, k, v = tensors(SELF, torch.float32)
    v = v * spread
    keywords = masked(kind, SELF, torch.float32)
    leaf = v.clone().requires_grad_()
    got = attend_at(q, k, leaf, **keywords, variant=own(name, 1.0))
    want = oracle.attention(q, k, v, **keywords, variant=name, alpha=1.0)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-4 * max(1.0, want.abs().max().item()))
    (gradient,) = torch.autograd.grad(got.sum(), leaf)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("unread", [False, True])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("kind", ["none", "causal", "per-query"])
@pytest.mark.parametrize("name", [name for name in oracle.NAMES if name != "batch"])
def test_values_that_are_not_finite_stay_visible(monkeypatch, unread, number, kind, name):
    """A training that diverges ends as one that diverged, not with an exception."""
    if unread:
        monkeypatch.setattr("crossnorm.functional.normalizers.may_read", lambda tensor: False)
    q, k, v = tensors(SELF, torch.float32)
    v[:, :, 0] = number
    out = attend_at(q, k, v, **masked(kind, SELF, torch.float32), variant=own(name, 0.5))
    assert not out.isfinite().all()


@pytest.mark.parametrize("offset", [-30.0, -6.0, 6.0, 30.0])
@pytest.mark.parametrize("kind", ["causal", "per-query"])
@pytest.mark.parametrize("name", ["matched", "laser"])
def test_bfloat16_sums_of_tokens_far_below_the_first(kind, name, offset):
    """Later tokens lie far from the first: there 1 + (sum of exp - 1) has lost its digits, and is not used."""
    shape = Shape(batch=2, heads=1, queries=37, keys=37, width=5, dim=3)
    q, k, v = tensors(shape, torch.bfloat16, spread=0.3)
    v[..., 1:, :] += offset
    keywords = masked(kind, shape, torch.bfloat16)
    got = attend_at(q, k, v, **keywords, variant=own(name, 1.0))
    want = oracle.attention(q, k, v, **keywords, variant=name, alpha=1.0)
    error = (got.double() - want).abs()
    assert (error <= 0.03 * want.abs() + 0.03).all()


@pytest.mark.parametrize("kind", ["none", "causal"])
@pytest.mark.parametrize("shape", [SELF, SQUARE], ids=["explicit", "fused"])
@every_variant
def test_compiled_without_a_break(shape, kind, name):
    """The whole call is one graph: nothing is read back to the host."""
    torch.compiler.reset()
    q, k, v = tensors(shape, torch.float32)
    keywords = {**masked(kind, shape), "variant": own(name, 0.7)}
    compiled = torch.compile(attention, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(q, k, v, **keywords), attention(q, k, v, **keywords), rtol=0, atol=2e-6)
