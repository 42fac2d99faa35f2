"""Where a variant acts, and its dose there."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant
from crossnorm.errors import BadInput
from crossnorm.models import place, set_alpha
from crossnorm.models.variant_sites import sites
from tests.models.model_cases import ONE_OF_EACH, inputs, small

BLOCKS = ["classifier.blocks.0.self_attn", "classifier.blocks.1.self_attn"]
POOL = "classifier.attention_pool"
WITHOUT_POOL = ["vit_2_4_32", "text_vit_2", "text_transformer_2", "gpt_2"]


def on(site, **own):
    return Variant(**{"name": "convex", "alpha": 0.5, "site": site, **own})


def test_sites_are_module_paths():
    for site, want in (("attention", BLOCKS), ("pool", [POOL]), ("both", [*BLOCKS, POOL])):
        model = small("cct_2_3x2_32", variant=on(site))
        assert sites(model) == want
        for path in want:
            module = model.get_submodule(path)
            assert (module.variant, module.alpha) == (on(site), 0.5)
    assert sites(small("cct_2_3x2_32")) == []
    assert sites(small("cct_2_3x2_32", variant="signed")) == BLOCKS


@pytest.mark.parametrize("name", WITHOUT_POOL)
def test_models_without_sequence_pooling_have_no_pool_site(name):
    with pytest.raises(BadInput, match="site: expected a site that the model has, got pool"):
        small(name, variant=on("pool"))
    assert sites(small(name, variant=on("both"))) == BLOCKS


def test_layers_restrict_the_attention_sites():
    assert sites(small("cct_2_3x2_32", variant=on("attention", layers=(1,)))) == BLOCKS[1:]
    assert sites(small("cct_2_3x2_32", variant=on("both", layers=(0,)))) == [BLOCKS[0], POOL]
    with pytest.raises(BadInput, match=r"layers: expected indices of attention sites, 0 to 1, got \[2, 5\]"):
        small("cct_2_3x2_32", variant=on("attention", layers=(0, 2, 5)))
    with pytest.raises(BadInput, match="which has no layers"):
        small("cct_2_3x2_32", variant=on("pool", layers=(0,)))


def test_alpha_is_set_at_every_acting_site_and_nowhere_else():
    model = small("cct_2_3x2_32", variant=on("both", layers=(1,)))
    set_alpha(model, -2)
    assert [model.get_submodule(path).alpha for path in (*BLOCKS, POOL)] == [0.0, -2.0, -2.0]


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), "1", True, None])
def test_alpha_must_be_a_finite_number(alpha):
    with pytest.raises(BadInput, match="alpha: expected a finite number"):
        set_alpha(small("cct_2_3x2_32", variant="convex"), alpha)


def test_alpha_without_a_variant():
    model = small("cct_2_3x2_32")
    set_alpha(model, 0.0)
    with pytest.raises(BadInput, match="0 in a model without a variant"):
        set_alpha(model, 0.1)


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
        set_alpha(model, alpha)
        seen.append(model(x))
    assert torch.equal(seen[0], plain(x))
    assert not torch.equal(seen[1], seen[0])
    assert not torch.equal(seen[2], seen[1])


def test_the_two_sites_act_apart():
    outcomes = [small("cct_2_3x2_32", variant=v).eval()(inputs("cct_2_3x2_32")) for v in (on("attention"), on("pool"))]
    assert not torch.equal(*outcomes)


def test_placing_takes_away_what_stood_there():
    model = small("cct_2_3x2_32", variant=on("attention"))
    place(model, on("pool"))
    assert sites(model) == [POOL]
    place(model, None)
    assert sites(model) == []
    assert [model.get_submodule(path).alpha for path in (*BLOCKS, POOL)] == [0.0, 0.0, 0.0]


def test_a_refused_variant_leaves_the_model_as_it_was():
    model = small("vit_2_4_32", variant=on("attention"))
    with pytest.raises(BadInput):
        place(model, on("pool"))
    assert sites(model) == BLOCKS
