"""At α = 0 the function is torch's own, and the study kernel is its own baseline: to the bit."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from crossnorm import attention
from crossnorm.functional import attend
from tests import oracle
from tests.functional.attention_cases import (
    MASKS,
    SELF,
    SHAPES,
    attend_at,
    draw,
    grouped,
    in_parts,
    mask_of,
    masked,
    own,
    padding,
    tensors,
)

every_variant = pytest.mark.parametrize("name", oracle.NAMES)
every_mask = pytest.mark.parametrize("kind", MASKS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def same_bits(got, want):
    """Equal to the last bit, not-a-number included."""
    torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


@every_shape
@every_mask
@every_variant
def test_alpha_zero_is_torch(shape, kind, name):
    q, k, v = tensors(shape, torch.float32)
    keywords = {**masked(kind, shape, torch.float32), **grouped(shape)}
    want = scaled_dot_product_attention(q, k, v, **keywords)
    same_bits(attention(q, k, v, **keywords, variant=name, alpha=0.0), want)
    same_bits(attention(q, k, v, **keywords, variant=own(name, 0.0)), want)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@every_mask
def test_alpha_zero_is_torch_in_every_type(dtype, kind):
    q, k, v = tensors(SELF, dtype)
    keywords = masked(kind, SELF, dtype)
    same_bits(attention(q, k, v, **keywords, alpha=0), scaled_dot_product_attention(q, k, v, **keywords))


@every_mask
@every_variant
def test_alpha_zero_is_torch_under_dropout(kind, name):
    q, k, v = tensors(SELF, torch.float32)
    keywords = masked(kind, SELF, torch.float32)
    torch.manual_seed(11)
    want, state = scaled_dot_product_attention(q, k, v, **keywords, dropout_p=0.3), torch.get_rng_state()
    torch.manual_seed(11)
    same_bits(attention(q, k, v, **keywords, dropout_p=0.3, variant=name, alpha=0.0), want)
    assert torch.equal(torch.get_rng_state(), state)


def test_arguments_keep_torchs_order():
    q, k, v = tensors(SELF, torch.float32)
    mask = mask_of("per-query", SELF, torch.float32)
    same_bits(
        attention(q, k, v, mask, 0.0, False, 0.21, False, alpha=0.0),
        scaled_dot_product_attention(q, k, v, mask, 0.0, False, scale=0.21, enable_gqa=False),
    )
    same_bits(
        attention(q, k, v, None, 0.0, True, alpha=0.0),
        scaled_dot_product_attention(q, k, v, None, 0.0, True),
    )
    got = attention(q, k, v, mask, 0.0, False, 0.21, False)
    want = oracle.attention(q, k, v, mask, scale=0.21, variant="convex", alpha=1.0)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=1e-5)


@every_mask
def test_gradients_at_alpha_zero_are_torchs(kind):
    mine, theirs = ([t.requires_grad_() for t in tensors(SELF, torch.float32)] for _ in range(2))
    keywords = masked(kind, SELF, torch.float32)
    cotangent = draw(*SELF.lead, SELF.queries, SELF.dim, seed=41, dtype=torch.float32)
    got = torch.autograd.grad(attention(*mine, **keywords, alpha=0.0), mine, cotangent)
    want = torch.autograd.grad(scaled_dot_product_attention(*theirs, **keywords), theirs, cotangent)
    for g, w in zip(got, want, strict=True):
        same_bits(g, w)


@every_shape
@every_mask
@every_variant
def test_the_study_kernel_at_alpha_zero_is_its_baseline(shape, kind, name):
    q, k, v = tensors(shape, torch.float32)
    keywords = {**masked(kind, shape, torch.float32), **grouped(shape), "dropout_p": 0.2}
    outputs, states = [], []
    for setting in ({}, {"mixing": None}, in_parts(own(name, 0.0))):
        torch.manual_seed(13)
        outputs.append(attend(q, k, v, **keywords, **setting))
        states.append(torch.get_rng_state())
    for output, state in zip(outputs, states, strict=True):
        same_bits(output, outputs[0])
        assert torch.equal(state, states[0])


@every_mask
@every_variant
def test_gradients_of_the_study_kernel_at_alpha_zero_are_its_baselines(kind, name):
    mine, theirs = ([t.requires_grad_() for t in tensors(SELF, torch.float32)] for _ in range(2))
    keywords = masked(kind, SELF, torch.float32)
    cotangent = draw(*SELF.lead, SELF.queries, SELF.dim, seed=41, dtype=torch.float32)
    got = torch.autograd.grad(attend_at(*mine, **keywords, variant=own(name, 0.0)), mine, cotangent)
    want = torch.autograd.grad(attend(*theirs, **keywords), theirs, cotangent)
    for g, w in zip(got, want, strict=True):
        same_bits(g, w)


@every_shape
@pytest.mark.parametrize("kind", [kind for kind in MASKS if "hidden" not in kind])
def test_the_study_kernels_baseline_is_attention(shape, kind):
    q, k, v = tensors(shape)
    got = attend(q, k, v, **masked(kind, shape), **grouped(shape))
    want = oracle.attention(q, k, v, **masked(kind, shape), variant=None, alpha=0.0)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


def test_the_study_kernel_mixes_at_its_alpha():
    q, k, v = tensors(SELF)
    mask = padding(SELF)
    got = attend_at(q, k, v, attn_mask=mask, variant=own("convex", 0.9))
    want = oracle.attention(q, k, v, mask, variant="convex", alpha=0.9)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


def test_the_default_dose_is_one_and_the_default_variant_convex():
    q, k, v = tensors(SELF)
    want = oracle.attention(q, k, v, variant="convex", alpha=1.0)
    torch.testing.assert_close(attention(q, k, v), want, rtol=0, atol=1e-10)
    want = oracle.attention(q, k, v, variant="additive", alpha=1.0)
    torch.testing.assert_close(attention(q, k, v, variant="additive"), want, rtol=0, atol=1e-10)
