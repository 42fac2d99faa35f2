"""The same numbers when compiled, under autocast, and without gradients."""

from __future__ import annotations

import pytest
import torch

from crossnorm import attention
from tests import oracle
from tests.functional.attention_cases import (
    FUNCTIONS,
    MIXED,
    SELF,
    attend_at,
    draw,
    masked,
    own,
    tensors,
)

QUICK = ("none", "padding", "causal")


def compiled(function, backend):
    torch.compiler.reset()
    return torch.compile(function, backend=backend)


def agrees(kind, name, backend, function=attention):
    q, k, v = tensors(SELF)
    keywords = {**masked(kind, SELF), "variant": own(name, 0.7)}
    want = function(q, k, v, **keywords)
    torch.testing.assert_close(compiled(function, backend)(q, k, v, **keywords), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", QUICK)
def test_compiled(kind):
    agrees(kind, "convex", "eager")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*QUICK, "per-query", "float-inf", "hidden-rows"])
@pytest.mark.parametrize("name", oracle.NAMES)
def test_every_variant_compiled(kind, name):
    agrees(kind, name, "aot_eager")
    agrees(kind, name, "eager", attend_at)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own, where its graph breaks
@pytest.mark.parametrize("kind", ["none", pytest.param("causal", marks=pytest.mark.slow)])
def test_compiled_gradients(kind):
    cotangent = draw(*SELF.lead, SELF.queries, SELF.dim, seed=73)
    results = []
    for function in (attention, compiled(attention, "aot_eager")):
        leaves = [t.requires_grad_() for t in tensors(SELF)]
        out = function(*leaves, **masked(kind, SELF), variant=own("convex", 0.7))
        results.append(torch.autograd.grad(out, leaves, cotangent))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["convex", "signed"])
def test_exported_with_a_free_batch(name):
    class Mixed(torch.nn.Module):
        def forward(self, x):
            return attend_at(x, x, x, variant=own(name, 0.7))

    free = ({0: torch.export.Dim("batch", min=2, max=64)},)
    exported = torch.export.export(Mixed(), (torch.randn(3, 5, 7),), dynamic_shapes=free, strict=False)
    x = torch.randn(11, 5, 7)
    torch.testing.assert_close(exported.module()(x), Mixed()(x), rtol=0, atol=1e-6)


def test_compiled_while_the_dose_moves():
    """A ramp of doses, 0 at both ends: right at each, and bit-equal to torch's at 0."""
    q, k, v = tensors(SELF, torch.float32)
    function = compiled(lambda alpha: attention(q, k, v, variant="convex", alpha=alpha), "eager")
    for alpha in (0.0, 0.25, 0.5, 1.0, 0.0):
        want = attention(q, k, v, variant="convex", alpha=alpha)
        torch.testing.assert_close(function(alpha), want, rtol=0, atol=0 if alpha == 0 else 1e-6)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("kind", ["none", "padding", "causal", "per-query", "float-inf", "hidden-rows"])
@pytest.mark.parametrize("name", oracle.NAMES)
def test_autocast(function, kind, name):
    leaves = [t.requires_grad_() for t in tensors(SELF, torch.float32)]
    mask = masked(kind, SELF, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = function(*leaves, **mask, variant=own(name, 0.7))
    want = oracle.attention(*leaves, **mask, variant=name, alpha=0.7)
    torch.testing.assert_close(got.double(), want, rtol=0, atol=3e-2 * max(1.0, want.abs().max().item()))
    for gradient in torch.autograd.grad(got.float().square().sum(), leaves):
        assert gradient.dtype == torch.float32
        assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", ["none", "causal"])
@pytest.mark.parametrize("name", MIXED)
def test_autocast_keeps_wide_values_finite(kind, name):
    q, k, v = tensors(SELF, torch.float32, spread=80.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attention(q, k, v, **masked(kind, SELF), variant=own(name, 1.0))
    assert got.isfinite().all()


@pytest.mark.parametrize("kind", ["none", "padding", "causal"])
@pytest.mark.parametrize("name", oracle.NAMES)
def test_without_gradients_the_same_bits(kind, name):
    leaves = [t.requires_grad_() for t in tensors(SELF, torch.float32)]
    keywords = {**masked(kind, SELF), "variant": own(name, 0.7)}
    want = attention(*leaves, **keywords)
    with torch.inference_mode():
        assert torch.equal(attention(*leaves, **keywords), want)
