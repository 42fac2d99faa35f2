"""Dropout of a converted model is that of the model itself: arms at α = 0 and elsewhere are thinned out alike."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import crossnorm
from crossnorm.rng import addressed
from tests.adapters.adapter_models import CASES


def draws_of(model, call):
    """The generator's state after a training step's forward pass, and the output."""
    with addressed(5, "dropout", 7):
        out = call(model)
        return torch.rand(3), out


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_dose_changes_no_draw_of_hugging_faces_models(implementation):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=14, num_hidden_layers=3, num_attention_heads=2, intermediate_size=11, vocab_size=31
    )
    config._attn_implementation = implementation
    torch.manual_seed(0)
    model = transformers.BertModel(config).train()
    ids = torch.randint(3, 31, (5, 7))
    dropped = []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda module, inputs, out: dropped.append(out == 0))
    handle = crossnorm.convert(model, crossnorm.Variant(name="attenuated", alpha=0.0, layers=(0, 2)))
    seen = []
    for alpha in (0.0, 1e-9, 0.7):
        handle.alpha = alpha
        dropped.clear()
        after, out = draws_of(model, lambda model: model(ids).last_hidden_state)
        seen.append((after, list(dropped), out))
    (after, masks, out), *others = seen
    assert len(masks) > 5
    for other, theirs, _ in others:
        assert torch.equal(after, other)
        assert all(torch.equal(mine, their) for mine, their in zip(masks, theirs, strict=True))
    torch.testing.assert_close(others[0][2], out, rtol=0, atol=1e-5)  # α = 1e-9 is next to none


@pytest.mark.parametrize("training", [True, False])
def test_attention_drops_what_torchs_function_drops(training):
    torch.manual_seed(3)
    query, key, value = (torch.randn(2, 3, n, 5) for n in (7, 11, 11))
    rate = 0.3 if training else 0.0
    with addressed(5, "dropout", 7):
        want = F.scaled_dot_product_attention(query, key, value, dropout_p=rate)
    with addressed(5, "dropout", 7):
        got = crossnorm.attention(query, key, value, dropout_p=rate, variant="attenuated", alpha=0.25)
    torch.testing.assert_close(got, 0.75 * want, rtol=1e-5, atol=1e-6)


def test_a_shifted_window_stays_one():
    """Swin hides by adding -100: no token of another window may enter S(V)."""
    case = CASES["swin"]
    torch.manual_seed(0)
    model = case.build().eval().double()
    pixels = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    changed = pixels.clone()
    changed[..., :2, :2] += 1.0

    def touched():
        with torch.no_grad():
            first, second = (model(p).last_hidden_state for p in (pixels, changed))
        return ((first - second).abs().amax(-1) > 1e-12).sum()

    plain = touched()
    crossnorm.convert(model, crossnorm.Variant(name="matched", alpha=1.0))
    assert touched() == plain
