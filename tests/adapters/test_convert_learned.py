"""Learned doses: where they start, what moves them, where they may go."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from crossnorm import Variant, convert
from crossnorm.adapters import Handle
from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS
from crossnorm.models.site_alpha import projected
from tests.adapters.adapter_models import EVERY, like

NAMES = ["bert", "llama", "t5", "timm-vit", "torch-encoder", "cct", "gpt"]
KINDS = ["model", "layer", "head"]


def flat(handle):
    return torch.cat([p.detach().flatten() for p in handle.parameters()])


@pytest.mark.parametrize("learnable", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_it_starts_at_zero_and_gets_a_gradient(name, learnable):
    case = EVERY[name]
    model = case.model()
    before = case.call(model, case.pads)
    keys = set(model.state_dict())
    handle = convert(model, Variant(name="additive", alpha=0.5), learnable=learnable)
    assert torch.equal(flat(handle), torch.zeros_like(flat(handle)))
    after = case.call(model, case.pads)
    assert torch.allclose(after, before, atol=1e-5)
    (after * torch.arange(after.numel()).view_as(after).sin()).sum().backward()
    assert all(p.grad is not None and bool((p.grad != 0).all()) for p in handle.parameters())
    added = set(model.state_dict()) - keys
    assert len(added) == len(handle.parameters()) == (1 if learnable == "model" else case.sites)
    assert {id(p) for p in handle.parameters()} <= {id(p) for p in model.parameters()}
    handle.restore()
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("name", ["llama", "torch-encoder"])
def test_learned_heads_in_half_precision(name, variant):
    case = EVERY[name]
    model = case.model()
    handle = convert(model, variant, learnable="head")
    handle.alpha = 0.5
    exact = case.call(model, case.pads)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = case.call(model, case.pads)
    mixed.float().sum().backward()
    assert all(p.grad is not None for p in handle.parameters())
    scale = float(exact.detach().abs().max())
    for rough in (mixed, case.call(model.bfloat16(), case.pads)):
        assert torch.allclose(rough.float(), exact, atol=0.1 * scale)


def test_heads_have_gradients_of_their_own():
    case = EVERY["torch-encoder"]
    model = case.model().double()
    handle = convert(model, "matched", learnable="head")
    assert handle.alpha == ((0.0, 0.0), (0.0, 0.0))
    handle.alpha = ((0.1, 0.2), (0.3, 0.4))
    model.double()
    slope = torch.arange(22, dtype=torch.float64).sin()
    (case.call(model, True) * slope).sum().backward()
    raw = handle.parameters()[1]
    step = 1e-5
    for head in (0, 1):
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                raw[head] += sign * step
                losses.append(float((case.call(model, True) * slope).sum()))
                raw[head] -= sign * step
        assert float(raw.grad[head]) == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("learnable", KINDS)
def test_a_learned_dose_does_what_the_number_does(learnable):
    case = EVERY["bert"]
    model = case.model()
    handle = convert(model, Variant(name="convex", alpha=0.25))
    expected = case.call(model, True)
    handle.restore()
    handle = convert(model, "convex", learnable=learnable)
    handle.alpha = 0.25
    assert handle.alpha == {"head": ((0.25, 0.25),) * 2}.get(learnable, 0.25)
    assert torch.allclose(case.call(model, True), expected, atol=1e-6)


def test_the_gradient_is_cut_only_outwards():
    raw = torch.tensor([-0.1, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.1, -0.1], requires_grad=True)
    slope = torch.tensor([-2.0, 3.0, -3.0, 5.0, -5.0, 7.0, -7.0, -11.0, 2.0])
    alpha = projected(raw)
    (alpha * slope).sum().backward()
    assert alpha.tolist() == [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0, 1.0, 0.0]
    assert raw.grad.tolist() == [-2.0, 0.0, -3.0, 5.0, -5.0, 7.0, 0.0, 11.0, -2.0]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW], ids=["sgd", "adamw"])
def test_it_reaches_both_bounds_and_comes_back(optimizer):
    raw = nn.Parameter(torch.zeros(()))
    steps = optimizer([raw], lr=0.05, **({"weight_decay": 0.0} if optimizer is torch.optim.AdamW else {}))
    for target, expected in ((-3.0, 0.0), (0.4, 0.4), (4.0, 1.0), (0.6, 0.6), (-3.0, 0.0), (0.5, 0.5)):
        for _ in range(200):
            steps.zero_grad()
            (projected(raw) - target).square().backward()
            steps.step()
        assert float(projected(raw).detach()) == pytest.approx(expected, abs=0.02)
        assert -0.5 < float(raw.detach()) < 1.5


def test_training_moves_it_within_its_bounds():
    case = EVERY["torch-encoder"]
    model = case.model()
    handle = convert(model, "matched", learnable="layer")
    optimizer = torch.optim.AdamW([{"params": handle.parameters(), "weight_decay": 0.0}], lr=0.05)
    # Not the same for all channels: a normalised output is equally far from that whatever it holds.
    target = like(model, torch.linspace(1.0, -1.0, case.call(model, True).shape[-1]))
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = (case.call(model, True) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    values = handle.alpha if isinstance(handle.alpha, tuple) else (handle.alpha,)
    assert all(0 <= value <= 1 for value in values)
    assert any(value > 0 for value in values)


@pytest.mark.parametrize("learnable", KINDS)
def test_a_learned_dose_is_saved_with_the_weights_and_copied(learnable):
    case = EVERY["torch-encoder"]
    model, other = case.model(), case.model()
    handle, loaded = (convert(m, "convex", learnable=learnable) for m in (model, other))
    handle.alpha = 0.75
    other.load_state_dict(model.state_dict())
    assert loaded.alpha == handle.alpha
    twin = copy.deepcopy(model)
    Handle(twin).alpha = 0.5
    assert handle.alpha == loaded.alpha
    assert len(Handle(twin).parameters()) == len(handle.parameters())
    assert {id(p) for p in Handle(twin).parameters()} <= {id(p) for p in twin.parameters()}


def test_bounds_and_sharing_are_kept_by_hand_too():
    model = EVERY["torch-encoder"].model()
    handle = convert(model, "convex", learnable="model")
    with pytest.raises(BadInput, match=r"alpha: expected a number in \[0, 1\].*got 1\.5"):
        handle.alpha = 1.5
    with pytest.raises(BadInput, match="one number, since all sites share a learned one"):
        handle.alpha = (0.1, 0.2)
    handle.restore()
    handle = convert(model, "additive", learnable="head")
    handle.alpha = ((-2.0, 1.5), 0.5)
    assert handle.alpha == ((-2.0, 1.5), (0.5, 0.5))
    with pytest.raises(BadInput, match="2 numbers, one for each head"):
        handle.alpha = ((1.0, 2.0, 3.0), 0.5)
