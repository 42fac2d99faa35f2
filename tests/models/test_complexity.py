"""Parameters and multiply-adds: as published, and as counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from crossnorm.models import count_macs, count_parameters, create_model, list_models
from crossnorm.models.config import ImageConfig
from crossnorm.models.layers import SelfAttention, SequencePool
from tests.models.model_cases import ONE_OF_EACH, inputs, small

PUBLISHED = {
    "cct_2_3x2_32": 0.284,
    "cct_4_3x2_32": 0.482,
    "cct_6_3x2_32": 3.327,
    "cct_7_3x2_32": 3.853,
    "cct_7_3x1_32": 3.760,
    "cct_6_3x1_32": 3.234,
    "cct_14_7x2_224": 22.37,
    "vit_7_4_32": 3.717,
    "cvt_7_4_32": 3.717,
}


@pytest.mark.parametrize(("name", "millions"), PUBLISHED.items())
def test_published_parameter_counts(name, millions):
    digits = 2 if millions > 10 else 3
    assert round(count_parameters(create_model(name)) / 1e6, digits) == millions


def test_a_published_count_without_positions():
    assert round(count_parameters(create_model("cct_6_3x1_32", positional_embedding="none")) / 1e6, 3) == 3.168


def test_the_fixed_table_is_counted_but_not_trained():
    model = small("cvt_2_4_32_sine")
    table = model.classifier.positional_emb.numel()
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count_parameters(model) - trained == table > 0


def by_hand(model, x):
    """Convolutions and linears from the shapes that pass through them, attention from its formula."""
    total = []

    def weighted(module, args, out):
        per_output = module.weight[0].numel()
        total.append(per_output * out.numel())

    def attention(module, args, out):
        tokens, width = out.shape[1:]
        total.append(2 * tokens * tokens * width)

    def pooling(module, args, out):
        total.append(args[0].shape[1] * (args[0].shape[2] * 2))

    for module in model.modules():
        if isinstance(module, SelfAttention):
            module.register_forward_hook(attention)
        elif isinstance(module, SequencePool):
            module.register_forward_hook(pooling)
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(weighted)
    model(x)
    return sum(total)


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_multiply_adds_by_hand(name):
    model = small(name).eval()
    assert count_macs(model) == by_hand(model, inputs(name, batch=1))


def example_of(config):
    if isinstance(config, ImageConfig):
        return torch.zeros(1, config.n_input_channels, *config.size)
    return torch.zeros(1, config.seq_len, dtype=torch.long)


@pytest.mark.parametrize("name", list_models())
def test_multiply_adds_of_every_listed_model_are_those_torch_counts(name):
    settings = {"positional_embedding": "none"} | ({"num_classes": 7} if name.startswith("text_") else {})
    with torch.device("meta"):
        model = create_model(name, **settings).eval()
        example = example_of(model.config)
    with FlopCounterMode(display=False) as counter:
        model(example)
    assert count_macs(model) == counter.get_total_flops() // 2


def test_published_multiply_adds():
    assert round(count_macs(create_model("cct_2_3x2_32")) / 1e6, 1) == 35.3
    attention = 14 * 2 * 196**2 * 384
    assert round((count_macs(create_model("cct_14_7x2_224")) - attention) / 1e9, 2) == 5.11


def test_counting_disturbs_nothing():
    model = small("cct_2_3x2_32", variant="convex")
    state = torch.get_rng_state()
    count_macs(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert model.classifier.fc.weight.device.type == "cpu"
