"""What holds of every converted model, whatever library it is from."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from crossnorm import Variant, convert
from crossnorm.adapters import Handle
from crossnorm.models.site_alpha import site_alphas
from tests.adapters.adapter_models import CASES, EVERY

# torch says so of its own fast path.
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")

ZERO = Variant(name="convex", alpha=0.0)


def padded(case):
    return (False, True) if case.pads else (False,)


def outputs(case, model):
    return [case.call(model, pads) for pads in padded(case)]


def alike(ours, theirs):
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.fixture(params=EVERY, ids=str)
def case(request):
    return EVERY[request.param]


def test_at_zero_the_bits_are_the_models_own(case):
    model = case.model()
    with torch.no_grad():  # where torch takes its native fast path, if it does
        before = outputs(case, model)
    handle = convert(model, ZERO)
    assert handle.alpha == 0
    assert len(handle.sites) == case.sites
    with torch.no_grad():
        assert alike(outputs(case, model), before)
        handle.alpha = 0.5
        assert not alike(outputs(case, model), before)
        handle.alpha = 0.0
        assert alike(outputs(case, model), before)


def gradients(case, model, pads, autocast):
    model.train()
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        case.call(model, pads).float().square().sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bf16"])
def test_at_zero_training_has_the_models_own_bits(case, autocast):
    model = case.model()
    before = gradients(case, model, case.pads, autocast)
    convert(model, ZERO)
    after = gradients(case, model, case.pads, autocast)
    assert before
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_state_dict_and_classes_stay(case):
    model = case.model()
    keys, classes = list(model.state_dict()), [type(m) for m in model.modules()]
    names = [cls.__name__ for cls in classes]
    before = outputs(case, model)
    handle = convert(model, Variant(name="matched", alpha=0.3))
    assert list(model.state_dict()) == keys
    assert [type(m).__name__ for m in model.modules() if type(m).__name__ != "SiteAlpha"] == names
    handle.restore()
    assert [type(m) for m in model.modules()] == classes
    assert list(model.state_dict()) == keys
    assert alike(outputs(case, model), before)
    convert(model, ZERO)  # and it can be converted anew


def test_a_copy_has_a_handle_of_its_own(case):
    model = case.model()
    handle = convert(model, Variant(name="convex", alpha=0.25))
    twin = copy.deepcopy(model)
    before = outputs(case, model)
    assert alike(outputs(case, twin), before)
    copied = Handle(twin)
    assert (copied.alpha, copied.sites) == (0.25, handle.sites)
    copied.alpha = 0.75
    assert handle.alpha == 0.25
    assert alike(outputs(case, model), before)
    assert not alike(outputs(case, twin), before)
    copied.restore()
    assert alike(outputs(case, model), before)


@pytest.mark.parametrize("name", ["timm-vit", "torch-encoder", "cct"])
def test_a_converted_model_can_be_pickled(name):
    case = EVERY[name]
    model = case.model()
    convert(model, Variant(name="convex", alpha=0.25))
    twin = pickle.loads(pickle.dumps(model))
    assert Handle(twin).alpha == 0.25
    assert alike(outputs(case, twin), outputs(case, model))


def test_each_site_has_its_own_dose(case):
    if case.sites == 1:
        pytest.skip("one site")
    model = case.model()
    handle = convert(model, ZERO)
    handle.alpha = each = tuple(0.5 if i == 1 else 0.0 for i in range(case.sites))
    assert handle.alpha == each
    by_tuple = outputs(case, model)
    handle.restore()
    handle = convert(model, Variant(name="convex", alpha=0.5, layers=(1,)))
    assert len(handle.sites) == 1
    assert alike(outputs(case, model), by_tuple)


def test_the_dose_keeps_its_precision_when_the_model_loses_its_own():
    model = CASES["torch-encoder"].model()
    handle = convert(model, Variant(name="convex", alpha=0.3))
    model.bfloat16()
    assert handle.alpha == 0.3
    assert all(float(alpha.value()) == 0.3 for alpha in site_alphas(model).values())


@pytest.mark.parametrize(
    "variant", ["convex", "additive", "matched", "centred", "attenuated", "signed", "laser", "batch"]
)
@pytest.mark.parametrize("name", ["llama", "torch-decoder"])
def test_every_variant_runs_in_every_precision(name, variant):
    case = CASES[name]
    model = case.model()
    convert(model, Variant(name=variant, alpha=0.5))
    exact = outputs(case, model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = outputs(case, model)
    for a, b, c in zip(exact, mixed, outputs(case, model.bfloat16()), strict=True):
        scale = float(a.detach().abs().max())
        assert torch.allclose(b.float(), a, atol=0.1 * scale)
        assert torch.allclose(c.float(), a, atol=0.1 * scale)
