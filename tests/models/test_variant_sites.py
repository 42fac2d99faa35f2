"""Where a variant of `create_model` acts, and its α there."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from crossnorm import Variant, convert
from crossnorm.adapters import Handle, find_handle
from crossnorm.errors import BadInput
from crossnorm.models import load_model, save_model
from crossnorm.models.site_alpha import site_alphas
from tests.models.model_cases import ONE_OF_EACH, inputs, small

BLOCKS = ("classifier.blocks.0.self_attn", "classifier.blocks.1.self_attn")
POOL = "classifier.attention_pool"
WITHOUT_POOL = ["vit_2_4_32", "text_vit_2", "text_transformer_2", "gpt_2"]


def on(site, **own):
    return Variant(**{"name": "convex", "alpha": 0.5, "site": site, **own})


def sites(model):
    return tuple(site_alphas(model))


def test_sites_are_module_paths():
    for site, want in (("attention", BLOCKS), ("pool", (POOL,)), ("both", (*BLOCKS, POOL))):
        model = small("cct_2_3x2_32", variant=on(site))
        handle = Handle(model)
        assert (handle.sites, handle.alpha, handle.variant) == (want, 0.5, on(site))
        assert {model.get_submodule(path).crossnorm.mixing for path in want} == {on(site).mixing}
    assert find_handle(small("cct_2_3x2_32")) is None
    assert sites(small("cct_2_3x2_32", variant="signed")) == BLOCKS


@pytest.mark.parametrize("name", WITHOUT_POOL)
def test_models_without_sequence_pooling_have_no_pool_site(name):
    with pytest.raises(BadInput, match=r"Variant\.site: expected a site that the model has, got pool"):
        small(name, variant=on("pool"))
    assert sites(small(name, variant=on("both"))) == BLOCKS


def test_layers_restrict_the_attention_sites():
    assert sites(small("cct_2_3x2_32", variant=on("attention", layers=(1,)))) == BLOCKS[1:]
    assert sites(small("cct_2_3x2_32", variant=on("both", layers=(0,)))) == (BLOCKS[0], POOL)
    with pytest.raises(BadInput, match=r"Variant\.layers: expected indices of attention sites, 0 to 1, got \[2, 5\]"):
        small("cct_2_3x2_32", variant=on("attention", layers=(0, 2, 5)))
    with pytest.raises(BadInput, match="which has no layers"):
        small("cct_2_3x2_32", variant=on("pool", layers=(0,)))


def test_alpha_is_set_at_every_acting_site_and_nowhere_else():
    model = small("cct_2_3x2_32", variant=on("both", layers=(1,)))
    Handle(model).alpha = -2
    assert {path: site.read() for path, site in site_alphas(model).items()} == {BLOCKS[1]: -2.0, POOL: -2.0}
    assert model.get_submodule(BLOCKS[0]).crossnorm is None


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), "1", True, None])
def test_alpha_must_be_a_finite_number(alpha):
    with pytest.raises(BadInput, match="alpha: expected a finite number"):
        Handle(small("cct_2_3x2_32", variant="convex")).alpha = alpha


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_alpha_and_the_state_dict(name):
    """α acts, leaves no key in the state dict, and goes back to the baseline's bits at 0."""
    model = small(name, variant=on("both")).eval()
    model.classifier.norm.weight.data.normal_()
    plain = small(name).eval()
    assert model.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(model.state_dict())
    x = inputs(name)
    seen = []
    for alpha in (0.0, 0.3, 1.0):
        Handle(model).alpha = alpha
        seen.append(model(x))
    assert torch.equal(seen[0], plain(x))
    assert not torch.equal(seen[1], seen[0])
    assert not torch.equal(seen[2], seen[1])


def test_the_two_sites_act_apart():
    outcomes = [small("cct_2_3x2_32", variant=v).eval()(inputs("cct_2_3x2_32")) for v in (on("attention"), on("pool"))]
    assert not torch.equal(*outcomes)


def test_a_built_variant_can_be_removed_and_replaced():
    model, plain = small("cct_2_3x2_32", variant=on("attention")), small("cct_2_3x2_32")
    Handle(model).restore()
    assert sites(model) == ()
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    x = inputs("cct_2_3x2_32")
    assert torch.equal(model.eval()(x), plain.eval()(x))
    convert(model, on("pool"))
    assert sites(model) == (POOL,)


@pytest.mark.parametrize("learnable", ["model", "layer", "head"])
def test_a_learned_alpha_is_saved_as_the_number_it_is(learnable, tmp_path):
    model = small("cct_2_3x2_32").eval()
    keys = model.state_dict().keys()
    handle = convert(model, on("both", name="matched"), learnable=learnable)
    handle.alpha = 0.3 if learnable != "head" else ((0.1, 0.2), (0.3, 0.4), 0.5)
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors").eval()
    assert Handle(loaded).alpha == handle.alpha
    assert Handle(loaded).parameters() == []
    assert loaded.state_dict().keys() == keys
    x = inputs("cct_2_3x2_32")
    torch.testing.assert_close(loaded(x), model(x), rtol=1e-6, atol=1e-6)


def test_a_file_of_version_0_1_is_read(tmp_path):
    """Its header has the variant as it was requested, and α per site: a number, or a list over heads."""
    model = small("cct_2_3x2_32")
    save_model(model, tmp_path / "new.safetensors")
    with safe_open(tmp_path / "new.safetensors", framework="pt") as file:
        description = json.loads(file.metadata()["crossnorm"])
    description["variant"] = {
        "name": "matched",
        "alpha": 0.0,
        "site": "both",
        "layers": [1],
        "gain": 2.0,
        "temperature": 1.0,
    }
    description["alpha"] = {BLOCKS[1]: [0.125, 0.5], POOL: 0.25}
    save_file(model.state_dict(), tmp_path / "old.safetensors", metadata={"crossnorm": json.dumps(description)})
    handle = Handle(load_model(tmp_path / "old.safetensors"))
    assert handle.sites == (BLOCKS[1], POOL)
    assert handle.alpha == ((0.125, 0.5), 0.25)
    assert handle.variant == Variant(name="matched", alpha=0.0, site="both", layers=(1,), gain=2.0)


def test_alpha_is_kept_when_the_model_changes_its_type():
    model = small("cct_2_3x2_32", variant=on("both", alpha=0.3)).bfloat16()
    site_alphas(model)[POOL].write((0.7,))
    model.double()
    assert Handle(model).alpha == (0.3, 0.3, (0.7,))
    assert float(site_alphas(model)[BLOCKS[0]].value()) == 0.3
    assert site_alphas(model)[POOL].value().dtype == torch.float32


def half(value, *, alpha, visible):
    return (1 - alpha / 2) * value


def test_the_function_that_a_file_names_must_be_allowed(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(small("cct_2_3x2_32", variant=on("attention", name=f"{__name__}:half")), path)
    with pytest.raises(BadInput, match="model.safetensors: variant: expected a built-in variant") as error:
        load_model(path)
    assert f"--import {__name__}" in str(error.value)
    assert Handle(load_model(path, imports=[__name__])).variant.name == f"{__name__}:half"
