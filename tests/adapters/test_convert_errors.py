"""What is refused, by which name, and that a refusal changes nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

import crossnorm
from crossnorm import Variant, convert
from crossnorm.adapters import Handle
from crossnorm.errors import BadInput
from tests.adapters.adapter_models import bert, encoder, gpt2, hf, timm

REFUSED = {
    "GPTNeo": {"hidden_size": 22, "num_heads": 2, "num_layers": 1, "attention_types": [[["global"], 1]]},
    "Bloom": {"hidden_size": 22, "n_head": 2, "n_layer": 1},
    "Falcon": {"hidden_size": 20, "num_attention_heads": 2, "num_hidden_layers": 1},
    "DebertaV2": {"hidden_size": 22, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 13},
    "XLNet": {"d_model": 22, "n_head": 2, "n_layer": 1, "d_inner": 13},
    "Longformer": {
        "hidden_size": 22,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "intermediate_size": 13,
        "attention_window": 4,
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_outside_the_interface_are_refused_by_name(name):
    implementation = "eager"
    model = hf(name, implementation, vocab_size=31, bos_token_id=0, eos_token_id=0, **REFUSED[name])
    with pytest.raises(BadInput, match=f"uses the attention interface, got {name}Model"):
        convert(model, "convex")
    with pytest.raises(BadInput, match=f"{name}Model"):
        convert(nn.Sequential(encoder(), model), "convex")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("swin_tiny_patch4_window7_224", "swin_transformer.WindowAttention"),
        ("beit_base_patch16_224", "beit.Attention"),
        ("cait_xxs24_224", "cait.TalkingHeadAttn"),
        ("xcit_nano_12_p16_224", "xcit.XCA"),
        ("vit_relpos_small_patch16_224", "vision_transformer_relpos.RelPosAttention"),
    ],
)
def test_timm_families_with_attention_of_their_own_are_refused_by_name(name, found):
    with torch.device("meta"):
        model = pytest.importorskip("timm").create_model(name)
    with pytest.raises(BadInput, match=f"timm.models.{found}.* is not supported. Supported: Attention"):
        convert(model, "convex")


def test_a_changed_forward_is_refused():
    class Own(nn.MultiheadAttention):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    with pytest.raises(BadInput, match="0: expected torch.nn.MultiheadAttention with its own forward, got Own"):
        convert(nn.Sequential(Own(22, 2)), "convex")


def test_a_forward_replaced_on_the_instance_is_refused():
    model = encoder()
    attention = model.layers[1].self_attn
    attention.forward = attention.forward
    with pytest.raises(BadInput, match=r"layers\.1\.self_attn: cannot be converted: its forward was replaced"):
        convert(model, "convex")


def test_nothing_to_convert_is_an_error():
    with pytest.raises(BadInput, match="model: no supported attention in Linear. Supported: Hugging Face"):
        convert(nn.Linear(2, 3), "convex")
    if "timm" in sys.modules:
        with pytest.raises(BadInput, match="no supported attention in ResNet"):
            convert(sys.modules["timm"].create_model("resnet18"), "convex")
    with pytest.raises(BadInput, match=r"model: expected a torch\.nn\.Module, got str"):
        convert("bert", "convex")


def test_converting_twice_is_an_error_with_a_way_out():
    model = encoder()
    handle = convert(model, "convex")
    with pytest.raises(
        BadInput, match=r"already converted: it has a variant at layers\.0\.self_attn\. Set handle\.alpha"
    ):
        convert(model, "convex")
    with pytest.raises(BadInput, match="already converted"):
        convert(nn.Sequential(model), "convex")
    handle.restore()
    with pytest.raises(BadInput, match="it has no variant"):
        handle.alpha = 0.5
    with pytest.raises(BadInput, match="it has no variant"):
        Handle(model)


def test_a_refusal_leaves_the_model_as_it_was():
    model = nn.Sequential(encoder(), bert())
    classes, name = [type(m) for m in model.modules()], model[1].config._attn_implementation
    for variant in (Variant(name="convex", layers=(4,)), Variant(name="convex", site="pool")):
        with pytest.raises(BadInput):
            convert(model, variant)
    assert [type(m) for m in model.modules()] == classes
    assert model[1].config._attn_implementation == name


@pytest.mark.parametrize(
    ("variant", "settings", "message"),
    [
        ("convx", {}, "Did you mean 'convex'"),
        (Variant(name="convex", layers=(0, 2)), {}, r"Variant\.layers: expected indices of attention sites, 0 to 1"),
        (Variant(name="convex", site="pool"), {}, r"Variant\.site: expected a site that the model has, got pool"),
        ("convex", {"learnable": "heads"}, "learnable: expected one of head, layer, model"),
    ],
)
def test_wrong_settings_are_named(variant, settings, message):
    with pytest.raises(BadInput, match=message):
        convert(encoder(), variant, **settings)


@pytest.mark.parametrize("alpha", [float("nan"), "0.5", None, True, (0.1,), (0.1, float("inf")), ((0.1, 0.2), 0.3)])
def test_a_wrong_dose_changes_no_site(alpha):
    handle = convert(encoder(), Variant(name="convex", alpha=0.25))
    with pytest.raises(BadInput, match="alpha"):
        handle.alpha = alpha
    assert handle.alpha == 0.25


def test_own_models_with_a_variant_are_refused():
    model = crossnorm.create_model("cct_2_3x2_32", variant="convex")
    with pytest.raises(BadInput, match=r"it has a variant at classifier\.blocks\.0\.self_attn"):
        convert(model, "convex")


def test_other_implementations_are_refused():
    model = bert()
    model.config._attn_implementation_internal = "flash_attention_2"
    with pytest.raises(BadInput, match=r"implementation sdpa or eager, got flash_attention_2\. Call model\.set_attn"):
        convert(model, "convex")
    upcast = gpt2("eager")
    upcast.config.reorder_and_upcast_attn = True
    with pytest.raises(BadInput, match="depends on the implementation being eager"):
        convert(upcast, "convex")


def test_sinks_and_softcaps_are_refused_where_they_act():
    pytest.importorskip("transformers")
    from crossnorm.adapters import hf_attention as huggingface

    x = torch.zeros(2, 3, 5, 7)
    with pytest.raises(BadInput, match="Linear: s_aux is not supported; attention must be a plain softmax"):
        huggingface._mixed(nn.Linear(1, 1), x, x, x, None, Variant(name="convex").mixing, 0.5, s_aux=torch.zeros(3))


def test_no_library_is_imported_that_is_not_there():
    code = (
        "import sys, torch, crossnorm;"
        "crossnorm.convert(torch.nn.TransformerEncoderLayer(22, 2), 'convex');"
        "print({'transformers', 'timm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_timm_cases_are_what_they_seem():
    assert type(timm("vit_tiny_patch16_224", img_size=32).blocks[0].attn).__name__ == "Attention"
