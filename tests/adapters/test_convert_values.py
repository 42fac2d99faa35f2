"""Converted models against the oracle, and what a query may see of the future, through whole models."""

from __future__ import annotations

import inspect

import pytest
import torch

from crossnorm import Variant, convert
from crossnorm.models.variant_sites import add_variant, choose_sites, own_sites
from tests import oracle
from tests.adapters.adapter_models import CASES, OWN, TOKENS, draw, encoder, gpt2, ids, like, llama, real, t5

NAMES = ["convex", "additive", "matched", "centred", "attenuated", "signed", "laser", "batch"]


def by_oracle(variant, alpha):
    """torch's attention function, computed by the oracle's loops in float64 instead."""

    def attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
        assert dropout_p == 0
        if attn_mask is not None and attn_mask.is_floating_point():  # Swin says -100 of what it hides
            attn_mask = torch.where(attn_mask < -99, -torch.inf, attn_mask)
        return oracle.attention(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale, variant=variant, alpha=alpha
        )

    return attention


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("variant", "alpha"), [("convex", 0.7), ("centred", 0.3)])
def test_whole_models_agree_with_the_oracle(name, variant, alpha, monkeypatch):
    case = CASES[name.removesuffix("-eager")]
    model = case.model().double()
    inputs = (True,) if case.pads else (False,)
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", by_oracle(variant, alpha))
        expected = [case.call(model, pads) for pads in inputs]
    model = CASES[name].model().double()
    convert(model, Variant(name=variant, alpha=alpha))
    for pads, theirs in zip(inputs, expected, strict=True):
        assert torch.allclose(case.call(model, pads), theirs, atol=1e-10)


@pytest.mark.parametrize("variant", NAMES)
@pytest.mark.parametrize("name", ["llama", "torch-decoder"])
def test_every_variant_agrees_with_the_oracle(name, variant, monkeypatch):
    case = CASES[name]
    model = case.model().double()
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", by_oracle(variant, 0.4))
        expected = case.call(model, True)
    convert(model, Variant(name=variant, alpha=0.4))
    assert torch.allclose(case.call(model, True), expected, atol=1e-10)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("site", ["attention", "pool", "both"])
def test_own_models_do_as_if_they_were_built_so(name, site):
    case, variant = OWN[name], Variant(name="convex", alpha=0.6, site=site)
    if name == "gpt" and site != "attention":
        pytest.skip("no pool")
    model, built = case.model(), case.model()
    add_variant(built, choose_sites(own_sites(built), variant), variant)
    handle = convert(model, variant)
    assert torch.equal(case.call(model, case.pads), case.call(built, case.pads))
    assert ("classifier.attention_pool" in handle.sites) == (site != "attention")


def causal_models():
    def words(model, x):
        return model(inputs_embeds=x).logits

    def decoded(model, x):
        return model(input_ids=ids(), decoder_inputs_embeds=x).last_hidden_state

    def masked(model, x):
        return model(x, mask=torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1), is_causal=True)

    return {
        "gpt2": (gpt2, words, 22),
        "gpt2-eager": (lambda: gpt2("eager"), words, 22),
        "llama": (llama, words, 60),
        "t5": (t5, decoded, 22),
        "torch": (encoder, masked, 22),
    }


@pytest.mark.parametrize("variant", NAMES)
@pytest.mark.parametrize("name", causal_models())
def test_nothing_leaks_from_the_future(name, variant):
    build, call, width = causal_models()[name]
    model = build().eval()
    convert(model, Variant(name=variant, alpha=0.9, temperature=1.0 if variant == "attenuated" else 3.0))
    x = (4 * draw(3, TOKENS, width)).float().requires_grad_()
    call(model, x)[:, 4].square().sum().backward()
    assert torch.equal(x.grad[:, 5:], torch.zeros(3, TOKENS - 5, width))
    assert bool((x.grad[:, :5] != 0).any(-1).all())


@pytest.mark.parametrize("build", [gpt2, llama], ids=["gpt2", "llama"])
def test_left_padding_changes_nothing(build):
    """The same words behind two padded tokens, as in batched generation."""
    torch.manual_seed(1)
    model = build().eval()
    convert(model, Variant(name="matched", alpha=0.5))
    words = ids(5)
    mask = torch.cat([torch.zeros(3, 2), torch.ones(3, 5)], dim=1).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    behind = model(input_ids=torch.cat([ids(2), words], dim=1), attention_mask=mask, position_ids=positions).logits
    assert torch.allclose(behind[:, 2:], model(input_ids=words).logits, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "torch-encoder"])
def test_what_padded_tokens_hold_changes_no_bit(name):
    case = CASES[name]
    model = case.model()
    convert(model, Variant(name="convex", alpha=0.8))
    mask = real(True)
    outputs = []
    for other in (0.0, 9.0):
        x = like(model, draw(3, TOKENS, 22)).masked_fill(~mask.unsqueeze(-1), other)
        found = (
            model(inputs_embeds=x, attention_mask=mask.long()).last_hidden_state
            if name == "bert"
            else model(x, src_key_padding_mask=~mask)
        )
        outputs.append(found[mask])
    assert torch.equal(*outputs)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_generation_with_a_cache_equals_generation_without(name, implementation, alpha):
    torch.manual_seed(2)
    model = {"gpt2": gpt2, "llama": llama}[name](implementation).eval()
    convert(model, Variant(name="matched", alpha=alpha))
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[0, :2] = 0
    settings = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "attention_mask": mask}
    settings |= {"output_logits": True, "return_dict_in_generate": True}
    with_cache, without = (model.generate(ids(), use_cache=use, **settings) for use in (True, False))
    assert torch.equal(with_cache.sequences, without.sequences)
    for a, b in zip(with_cache.logits, without.logits, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_a_static_cache_holds_the_same():
    torch.manual_seed(2)
    model = llama().eval()
    convert(model, Variant(name="matched", alpha=0.6))
    settings = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "disable_compile": True}
    mask = torch.ones_like(ids())
    dynamic = model.generate(ids(), attention_mask=mask, **settings)
    assert torch.equal(model.generate(ids(), attention_mask=mask, cache_implementation="static", **settings), dynamic)


def test_an_encoder_decoder_decodes_step_by_step():
    torch.manual_seed(2)
    model = t5().eval()
    convert(model, Variant(name="matched", alpha=0.6))
    mask = real(True).long()
    memory = model.encoder(input_ids=ids(), attention_mask=mask)
    whole = model(encoder_outputs=memory, attention_mask=mask, decoder_input_ids=ids(5)).last_hidden_state
    cache = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"  # before 5.24
    past, steps = None, []
    for i in range(5):
        step = model(
            encoder_outputs=memory,
            attention_mask=mask,
            decoder_input_ids=ids(5)[:, i : i + 1],
            use_cache=True,
            **{cache: past},
        )
        past = getattr(step, cache)
        steps.append(step.last_hidden_state)
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)
