from __future__ import annotations

import math

import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.models import create_model
from crossnorm.training.loop.attention_maps import attention_maps


def looked(layer: int = 1):
    torch.manual_seed(3)
    model = create_model("cct_2_3x2_32", img_size=16, n_input_channels=1, num_classes=5, embedding_dim=14).eval()
    inputs = torch.randn(1, 1, 16, 16)
    caught = {}
    attention = model.classifier.blocks[1].self_attn
    attention.proj.register_forward_pre_hook(lambda module, given: caught.update(joined=given[0]))
    return attention_maps(model, lambda: model(inputs), layer), caught["joined"]


def test_the_heads_are_those_of_the_forward_pass():
    found, joined = looked()
    heads, tokens, channels = found.value.shape
    assert (heads, channels) == (2, 7)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(heads, tokens, dtype=torch.float64), rtol=0, atol=1e-6)
    shown = found.plain.transpose(0, 1).reshape(tokens, heads * channels)
    torch.testing.assert_close(shown.float(), joined[0], rtol=1e-4, atol=1e-5)


def test_s_of_v_and_its_outcome_agree_with_loops():
    found, _ = looked()
    heads, tokens, channels = found.value.shape
    for h in range(heads):
        for d in range(channels):
            column = [math.exp(found.value[h, j, d]) for j in range(tokens)]
            shares = [x / sum(column) for x in column]
            assert found.mixed[h, :, d].tolist() == pytest.approx(shares)
            for i in range(tokens):
                expected = sum(float(found.weights[h, i, j]) * shares[j] for j in range(tokens))
                assert float(found.crossed[h, i, d]) == pytest.approx(expected)


def test_layers_count_from_either_end_and_others_are_refused():
    torch.testing.assert_close(looked(-1)[0].value, looked(1)[0].value, rtol=0, atol=0)
    with pytest.raises(BadInput, match="layer: expected the index of an attention layer, 0 to 1, got 2"):
        looked(2)
