"""Every variant under every kind of mask, against loops in float64."""

from __future__ import annotations

import pytest
import torch

from tests import oracle
from tests.functional.attention_cases import (
    FUNCTIONS,
    MASKS,
    MIXED,
    SELF,
    SHAPES,
    Shape,
    draw,
    grouped,
    mask_of,
    masked,
    own,
    tensors,
)

both = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
every_variant = pytest.mark.parametrize("name", oracle.NAMES)
every_mask = pytest.mark.parametrize("kind", MASKS)
SMALL = Shape(batch=3, heads=2, queries=5, keys=3, width=2, dim=7)


def compare(shape, kind, name, *, dtype=torch.float64, tolerance=1e-10, scale=None, alpha=0.7, **settings):
    """Both functions against the oracle; the tolerance is relative to the largest output."""
    q, k, v = tensors(shape, dtype)
    mask = masked(kind, shape, dtype)
    want = oracle.attention(q, k, v, **mask, scale=scale, variant=name, alpha=alpha, **settings)
    variant = own(name, alpha, **settings)
    for function in FUNCTIONS.values():
        got = function(q, k, v, **mask, scale=scale, **grouped(shape), variant=variant)
        assert got.dtype == dtype
        assert got.shape == want.shape
        limit = tolerance * max(want.abs().max().item(), 1e-3)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=limit)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@every_mask
@every_variant
def test_float64(shape, kind, name):
    compare(shape, kind, name)


@every_mask
@pytest.mark.parametrize("name", MIXED)
def test_gain_and_temperature(kind, name):
    compare(SMALL, kind, name, alpha=0.3, gain=10.0, temperature=1.7)


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "hidden-rows"])
@pytest.mark.parametrize("alpha", [-0.5, 0.25, 1.0, 1.5])
@every_variant
def test_every_dose(kind, alpha, name):
    compare(SMALL, kind, name, alpha=alpha)


@pytest.mark.parametrize("kind", ["none", "padding", "per-query", "causal"])
@pytest.mark.parametrize("name", MIXED)
def test_a_negative_temperature_turns_the_values_around(kind, name):
    compare(SMALL, kind, name, alpha=1.0, temperature=-0.9)


@pytest.mark.parametrize("kind", ["none", "bias", "causal"])
def test_scale_is_the_callers(kind):
    compare(SMALL, kind, "convex", scale=0.37)


@every_mask
@every_variant
def test_float32(kind, name):
    compare(SHAPES["4d"], kind, name, dtype=torch.float32, tolerance=1e-5)


@every_mask
@every_variant
def test_bfloat16(kind, name):
    """Weights and products in eight bits: a few of their last ones; one, for `centred`, is subtracted after."""
    compare(SMALL, kind, name, dtype=torch.bfloat16, tolerance=4e-2 if name == "centred" else 2e-2)


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query"])
@pytest.mark.parametrize("name", ["convex", "matched", "laser"])
def test_float16(kind, name):
    compare(SMALL, kind, name, dtype=torch.float16, tolerance=4e-3)


@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
def test_bfloat16_keeps_what_is_left_of_small_values(kind):
    """N·S - 1 is a small difference: with S in bfloat16 a quarter of it would be rounding."""
    q, k, v = tensors(SMALL, torch.bfloat16, spread=0.02)
    keywords = masked(kind, SMALL, torch.bfloat16)
    got = FUNCTIONS["attention"](q, k, v, **keywords, variant=own("centred", 1.0))
    want = oracle.attention(q, k, v, **keywords, variant="centred", alpha=1.0)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=0.015 * want.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
def test_shares_of_many_tokens_keep_their_precision(kind, dtype):
    """S(V) of 131 tokens is of size 1/131: alone, α = 1, it must be as exact as anything else."""
    shape = Shape(batch=2, heads=0, queries=3 if kind != "causal" else 131, keys=131, width=2, dim=3)
    compare(
        shape, kind, "convex", alpha=1.0, dtype=dtype,
        tolerance=2e-2 if dtype == torch.bfloat16 else 1e-5,
    )  # fmt: skip


@both
@every_mask
@every_variant
def test_five_axes(function, kind, name):
    """A further leading axis is a further batch: the numbers of the four-axis call on every slice."""
    q, k, v = tensors(SMALL)
    mask = masked(kind, SMALL)
    want = function(q, k, v, **mask, variant=own(name, 0.7))
    if "attn_mask" in mask and mask["attn_mask"].ndim > 2:
        missing = 4 - mask["attn_mask"].ndim
        mask["attn_mask"] = mask["attn_mask"].reshape(*(1,) * missing, *mask["attn_mask"].shape).unsqueeze(1)
    q, k, v = (t.unsqueeze(1).expand(-1, 2, -1, -1, -1) for t in (q, k, v))
    got = function(q, k, v, **mask, variant=own(name, 0.7))
    torch.testing.assert_close(got, want.unsqueeze(1).expand_as(got), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query"])
def test_tensors_that_are_not_contiguous(kind):
    q, k, v = (t.transpose(-1, -2).contiguous().transpose(-1, -2) for t in tensors(SMALL))
    got = FUNCTIONS["attention"](q, k, v, **masked(kind, SMALL), alpha=0.7)
    want = FUNCTIONS["attention"](*tensors(SMALL), **masked(kind, SMALL), alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@both
@pytest.mark.parametrize("name", oracle.NAMES)
def test_causal_is_its_own_mask(function, name):
    q, k, v = tensors(SMALL)
    flag = function(q, k, v, is_causal=True, variant=own(name, 0.7))
    mask = function(q, k, v, attn_mask=mask_of("causal-mask", SMALL, q.dtype), variant=own(name, 0.7))
    torch.testing.assert_close(flag, mask, rtol=0, atol=1e-12)


DROP = 0.4


def dropped(q, k, *, seed: int, **keywords):
    """The weights a seed leaves: attenuated by a half, the identity comes out as half of them."""
    eye = torch.eye(k.shape[-2], dtype=q.dtype).expand(*k.shape[:-1], k.shape[-2])
    torch.manual_seed(seed)
    return 2 * FUNCTIONS["attend"](q, k, eye, **keywords, dropout_p=DROP, variant=own("attenuated", 0.5))


@both
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query", "bias", "hidden-rows"])
@every_variant
def test_dropout_acts_on_the_weights_first(function, shape, kind, name):
    """Constants and logarithms meet the dropped weights; a row that lost them all gives the kept part, zero."""
    q, k, v = tensors(shape)
    keywords = {**masked(kind, shape), **grouped(shape)}
    A = dropped(q, k, seed=5, **keywords)
    visible, bias = oracle.seen(keywords.get("attn_mask"), kind == "causal", shape.scores)
    kept = A != 0
    assert not (kept & ~torch.from_numpy(visible.copy())).any()
    assert 0 < kept.sum() < visible.sum()
    repeated = [t.repeat_interleave(shape.groups, dim=-3) if shape.heads else t for t in (k, v)]
    full = oracle.weights(q.numpy(), repeated[0].numpy(), visible, bias, shape.width**-0.5)
    torch.testing.assert_close(A[kept], torch.from_numpy(full)[kept] / (1 - DROP), rtol=1e-12, atol=1e-12)
    torch.manual_seed(5)
    got = function(
        q, k, v, **keywords, dropout_p=DROP, variant=own(name, 0.7, **({} if name == "attenuated" else {"gain": 3.0}))
    )
    want = oracle.mix(A.numpy(), repeated[1].numpy(), visible, name, 0.7, gain=3.0)
    torch.testing.assert_close(got, torch.from_numpy(want), rtol=0, atol=1e-10)


def test_dropout_drops_its_share():
    A = dropped(draw(2, 53, 3, seed=1), draw(2, 59, 3, seed=2), seed=7)
    share = (A == 0).double().mean().item()
    assert abs(share - DROP) < 5 * (DROP * (1 - DROP) / A.numel()) ** 0.5


@both
@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query", "bias"])
def test_every_variant_draws_the_same_random_numbers(function, kind):
    q, k, v = tensors(SELF)
    states = []
    for name in oracle.NAMES:
        torch.manual_seed(3)
        function(q, k, v, **masked(kind, SELF), dropout_p=0.3, variant=own(name, 0.7))
        states.append(torch.get_rng_state())
    torch.manual_seed(3)
    assert not torch.equal(states[0], torch.get_rng_state())
    torch.manual_seed(3)
    FUNCTIONS["attend"](q, k, v, **masked(kind, SELF), dropout_p=0.3, variant=None)
    states.append(torch.get_rng_state())
    assert all(torch.equal(state, states[0]) for state in states)


@both
@every_variant
def test_without_dropout_nothing_is_drawn(function, name):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    function(*tensors(SMALL), variant=own(name, 0.7))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("spread", [1.0, 80.0, 400.0])
@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query"])
@every_variant
def test_dropout_of_wide_values(kind, spread, name):
    """A dropped token may be the largest by far: what is left must not drown beside it."""
    q, k, v = tensors(SELF, torch.float32, spread=spread)
    keywords = masked(kind, SELF, torch.float32)
    A = dropped(q, k, seed=7, **keywords)
    visible, _ = oracle.seen(keywords.get("attn_mask"), kind == "causal", SELF.scores)
    torch.manual_seed(7)
    got = FUNCTIONS["attention"](q, k, v, **keywords, dropout_p=DROP, variant=own(name, 1.0))
    want = torch.from_numpy(oracle.mix(A.double().numpy(), v.double().numpy(), visible, name, 1.0))
    tolerance = (1e-5 + 4 * spread * 2**-23) * max(1.0, want.abs().max().item())
    torch.testing.assert_close(got.double(), want, rtol=0, atol=tolerance)


@both
@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query"])
def test_signed_values_without_a_spread_are_zero(function, kind):
    """Minimum and maximum equal: 0, not a quotient of zeros; hidden tokens give no spread either."""
    q, k, _ = tensors(SELF)
    v = torch.full((*SELF.kv_lead, SELF.keys, SELF.dim), 3.0, dtype=q.dtype)
    mask = masked(kind, SELF)
    if kind == "padding":
        v = torch.where(mask["attn_mask"].transpose(-1, -2), v, 5.0)
    leaves = [t.requires_grad_() for t in (q, k, v)]
    out = function(*leaves, **mask, variant=own("signed", 1.0))
    assert (out == 0).all()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(out.sum(), leaves))
