"""Sequence pooling: every variant against loops in float64, and its own promises at α = 0 and about padding."""

from __future__ import annotations

import pytest
import torch

from crossnorm import sequence_pool
from crossnorm.functional import pool
from tests import oracle
from tests.functional.attention_cases import (
    MIXED,
    draw,
    own,
    pool_at,
)

every_variant = pytest.mark.parametrize("name", oracle.NAMES)
REAL = {"none": None, "padded": (7, 4, 1), "holes": (7, -3, 2), "hidden": (7, 0, 4)}
every_mask = pytest.mark.parametrize("real", REAL.values(), ids=REAL)


def inputs(dtype=torch.float64, spread=1.0):
    return draw(3, 7, 5, seed=0, dtype=dtype, spread=spread), draw(3, 7, seed=1, dtype=dtype)


def mask_of(real):
    """Example by example so many tokens from the left, or, negative, from the right with a hole."""
    if real is None:
        return None
    rows = [[j < n if n >= 0 else j % 3 == 1 for j in range(7)] for n in real]
    return torch.tensor(rows)


@every_mask
@every_variant
@pytest.mark.parametrize("alpha", [-0.5, 0.7, 1.0])
def test_against_loops(real, name, alpha):
    want = oracle.pool(*inputs(), mask_of(real), variant=name, alpha=alpha)
    got = sequence_pool(*inputs(), mask_of(real), variant=name, alpha=alpha)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
    got = pool_at(*inputs(), mask=mask_of(real), variant=own(name, alpha))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


@every_mask
@pytest.mark.parametrize("name", MIXED)
def test_gain_and_temperature(real, name):
    want = oracle.pool(*inputs(), mask_of(real), variant=name, alpha=0.3, gain=10.0, temperature=1.7)
    got = sequence_pool(*inputs(), mask_of(real), variant=own(name, 0.3, gain=10.0, temperature=1.7))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)], ids=["float32", "bfloat16"]
)
@pytest.mark.parametrize("spread", [1.0, 80.0, 200.0])
@every_variant
def test_narrower_types_and_wide_values(dtype, tolerance, spread, name):
    tokens, scores = inputs(dtype, spread)
    mask = mask_of(REAL["padded"])
    got = sequence_pool(tokens, scores, mask, variant=name, alpha=1.0)
    want = oracle.pool(tokens, scores, mask, variant=name, alpha=1.0)
    assert got.dtype == dtype
    tolerance += 4 * spread * 2**-23
    torch.testing.assert_close(got.double(), want, rtol=0, atol=tolerance * max(1.0, want.abs().max().item()))


@pytest.mark.parametrize("real", [REAL["none"], REAL["padded"], REAL["holes"]], ids=["none", "padded", "holes"])
@every_variant
def test_alpha_zero_is_the_baseline(real, name):
    tokens, scores = inputs(torch.float32)
    mask = mask_of(real)
    baseline = pool(tokens, scores, mask=mask)
    assert torch.equal(pool(tokens, scores, mask=mask, mixing=None), baseline)
    assert torch.equal(pool_at(tokens, scores, mask=mask, variant=own(name, 0.0)), baseline)
    assert torch.equal(sequence_pool(tokens, scores, mask, variant=name, alpha=0.0), baseline)
    want = oracle.pool(tokens, scores, mask, variant=None, alpha=0.0)
    torch.testing.assert_close(baseline.double(), want, rtol=0, atol=1e-6)


def test_the_default_is_convex_at_one():
    tokens, scores = inputs()
    want = oracle.pool(tokens, scores, variant="convex", alpha=1.0)
    torch.testing.assert_close(sequence_pool(tokens, scores), want, rtol=0, atol=1e-10)


@pytest.mark.parametrize("number", [2.0, 1e30, torch.inf, torch.nan], ids=str)
@every_variant
def test_contents_of_padding_change_no_bit(number, name):
    tokens, scores = inputs(torch.float32)
    mask = mask_of(REAL["padded"])
    results = []
    for contents, score in (
        (tokens, scores),
        (tokens.masked_fill(~mask[..., None], number), scores.masked_fill(~mask, 50.0)),
    ):
        leaves = contents.clone().requires_grad_(), score.clone().requires_grad_()
        out = sequence_pool(*leaves, mask, variant=name, alpha=0.7)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), leaves)))
    for usual, other in zip(*results, strict=True):
        assert torch.equal(usual, other)
    _, to_tokens, to_scores = results[1]
    assert (to_tokens[~mask] == 0).all()
    assert (to_scores[~mask] == 0).all()
    assert (to_tokens[mask] != 0).any()


@every_variant
def test_removing_padding_changes_only_rounding(name):
    tokens, scores = inputs()
    mask = torch.arange(7).expand(3, 7) < 4
    got = sequence_pool(tokens, scores, mask, variant=name, alpha=0.7)
    want = sequence_pool(tokens[:, :4], scores[:, :4], variant=name, alpha=0.7)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-13)


@every_variant
def test_an_example_without_tokens_is_zero_and_harmless(name):
    tokens, scores = (t.requires_grad_() for t in inputs(torch.float32))
    out = sequence_pool(tokens, scores, mask_of(REAL["hidden"]), variant=name, alpha=0.7)
    assert (out[1] == 0).all()
    for gradient in torch.autograd.grad(out.square().sum(), (tokens, scores)):
        assert gradient.isfinite().all()
        assert (gradient[1] == 0).all()


@pytest.mark.parametrize("name", ["laser", "attenuated"])
def test_autocast_multiplies_every_arm_in_one_type(name):
    """At a dose too small to be seen only A·V is left, with the baseline's bits though the scores are float32."""
    scores, tokens = torch.randn(5, 7), torch.randn(5, 7, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        want = pool(tokens, scores)
        got = pool_at(tokens, scores, variant=own(name, 1e-30))
    assert torch.equal(got, want.to(got.dtype))
