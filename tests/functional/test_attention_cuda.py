"""The functions on a CUDA device, against loops in float64 and against the CPU's gradients."""

from __future__ import annotations

import pytest
import torch

from tests import oracle
from tests.functional.attention_cases import FUNCTIONS, SELF, SHAPES, masked, own, tensors

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

MASKS = ("none", "padding", "per-query", "causal", "bias", "hidden-rows")
every_case = pytest.mark.parametrize(("name", "kind"), [(n, k) for n in oracle.NAMES for k in MASKS])


def moved(settings, device="cuda"):
    return {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in settings.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)], ids=str)
@every_case
def test_values(name, kind, dtype, tolerance):
    shape = SHAPES["4d"]
    given, mask = tensors(shape, dtype), masked(kind, shape, dtype)
    want = oracle.attention(*given, **mask, variant=name, alpha=0.7)
    for function in FUNCTIONS.values():
        got = function(*(x.cuda() for x in given), **moved(mask), variant=own(name, 0.7))
        assert got.is_cuda
        limit = tolerance * max(want.abs().max().item(), 1e-3)
        torch.testing.assert_close(got.cpu().double(), want, rtol=0, atol=limit)


@every_case
def test_gradients_are_those_of_the_cpu(name, kind):
    mask, found = masked(kind, SELF), {}
    for device in ("cpu", "cuda"):
        given = [x.to(device).requires_grad_() for x in tensors(SELF)]
        out = FUNCTIONS["attention"](*given, **moved(mask, device), variant=own(name, 0.7))
        weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).to(device)
        found[device] = [x.cpu() for x in torch.autograd.grad((out * weight).sum(), given)]
    for here, there in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(there, here, rtol=0, atol=1e-12)
