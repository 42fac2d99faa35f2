"""Stochastic depth and the layers' own arithmetic."""

from __future__ import annotations

import pytest
import torch

from crossnorm.models import create_model
from crossnorm.models.layers import drop_path
from crossnorm.models.patch_embeddings import ConvTokenizer
from tests.models.model_cases import small


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    torch.manual_seed(0)
    branch = torch.randn(4001, 3, 5)
    dropped = drop_path(branch, 0.2)
    kept = dropped.flatten(1).any(dim=1)
    torch.testing.assert_close(dropped[kept], branch[kept] / 0.8)
    assert abs(float(kept.float().mean()) - 0.8) < 4 * (0.2 * 0.8 / 4001) ** 0.5


def test_stochastic_depth_draws_nothing_at_rate_zero():
    branch, state = torch.randn(2, 3, 5), torch.get_rng_state()
    assert drop_path(branch, 0.0) is branch
    assert torch.equal(torch.get_rng_state(), state)


def test_stochastic_depth_rises_linearly_over_the_layers():
    blocks = create_model("cct_6_3x2_32", stochastic_depth=0.5).classifier.blocks
    assert [block.stochastic_depth for block in blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert [block.stochastic_depth for block in create_model("cct_2_3x2_32", num_layers=1).classifier.blocks] == [0.0]


def test_evaluation_is_deterministic_and_draws_nothing():
    model = small("cct_2_3x2_32", dropout=0.5, attention_dropout=0.5, stochastic_depth=0.5).eval()
    x, state = torch.ones(3, 5, 29, 19), torch.get_rng_state()
    assert torch.equal(model(x), model(x))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_on_the_meta_device():
    with torch.device("meta"):
        model = create_model("vit_2_4_32_sine", variant="convex")
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_behind_the_pooling_changes_neither_values_nor_gradients(dtype: torch.dtype) -> None:
    tokenizer = ConvTokenizer(3, 17, kernel=3, layers=2).to(dtype)
    images = torch.randn(5, 3, 19, 23).to(dtype)
    upstream = torch.randn(5, 30, 17).to(dtype)
    tokens = tokenizer(images)
    expected = tokenizer.conv_layers(images).flatten(2).transpose(1, 2)  # as published: convolution, ReLU, pooling
    assert torch.equal(tokens, expected)
    found = torch.autograd.grad(tokens, list(tokenizer.parameters()), upstream)
    wanted = torch.autograd.grad(expected, list(tokenizer.parameters()), upstream)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
