"""Configurations: checked when they are built, immutable afterwards."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.models import create_model
from crossnorm.models.compact_transformers import build
from crossnorm.models.complexity import count_parameters
from crossnorm.models.config import ImageConfig
from crossnorm.models.presets import PRESETS, configure


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("num_layers", 0, "at least 1"),
        ("num_layers", 2.0, "a whole number"),
        ("num_heads", True, "a whole number"),
        ("num_heads", None, "a whole number"),
        ("num_classes", -1, "at least 1"),
        ("mlp_ratio", 0, "a positive number"),
        ("mlp_ratio", float("inf"), "a positive number"),
        ("dropout", 1.0, r"a rate in \[0, 1\)"),
        ("attention_dropout", -0.1, r"a rate in \[0, 1\)"),
        ("stochastic_depth", "0.1", r"a rate in \[0, 1\)"),
        ("positional_embedding", "sin", "Did you mean 'sine'"),
        ("img_size", (32, 32, 3), r"a pair \(height, width\)"),
        ("img_size", 0, "at least 1"),
        ("img_size", (32, -1), "at least 1"),
        ("img_size", "32", r"a pair \(height, width\)"),
        ("embedding_dim", 127, "multiple of num_heads|whole"),
        ("kernel_size", 0, "at least 1"),
        ("n_conv_layers", 0, "at least 1"),
        ("n_input_channels", 0, "at least 1"),
    ],
)
def test_values_are_checked(setting, value, expected):
    with pytest.raises(BadInput, match=f"^cct_2_3x2_32: {setting}: .*(?:{expected})"):
        create_model("cct_2_3x2_32", **{setting: value})


def test_more_values_are_checked():
    for own, expected in (
        ({"vocab_size": 1}, "vocab_size: expected a whole number, at least 2"),
        ({"train_words": 1}, "train_words: expected True or False"),
        ({"seq_len": 0}, "seq_len"),
        ({"word_embedding_dim": 0}, "word_embedding_dim"),
    ):
        with pytest.raises(BadInput, match=expected):
            create_model("text_cct_2", num_classes=2, **own)
    with pytest.raises(BadInput, match="at least one patch of 4 pixels"):
        create_model("vit_2_4_32", img_size=(32, 3))


def test_unknown_names():
    with pytest.raises(BadInput, match="Did you mean 'cct_7_3x1_32'"):
        create_model("cct_7_3x1_23")
    with pytest.raises(BadInput, match="Did you mean 'convex'"):
        create_model("cct_2_3x2_32", variant="convx")
    with pytest.raises(BadInput, match="'family'"):
        create_model("cct_2_3x2_32", family="vit")


def test_a_setting_of_another_family_is_refused():
    for name, setting in (("vit_2_4_32", "kernel_size"), ("cct_2_3x2_32", "patch_size"), ("gpt_2", "num_classes")):
        with pytest.raises(BadInput, match=f"{name}: setting: expected one of .*, got '{setting}'"):
            create_model(name, **{setting: 3})
    with pytest.raises(BadInput, match="a vit model has no such setting"):
        ImageConfig(family="vit", num_layers=1, num_heads=1, mlp_ratio=1, embedding_dim=3, num_classes=2, kernel_size=3)


def test_configurations_are_frozen_and_normalised():
    config = configure("cct_2_3x2_32", {"img_size": [5, 7], "dropout": 0})
    assert (config.img_size, config.dropout) == ((5, 7), 0.0)
    assert config == configure("cct_2_3x2_32", {"img_size": (5, 7)})
    with pytest.raises(FrozenInstanceError):
        config.num_layers = 3
    with pytest.raises(TypeError):
        ImageConfig("cct")


def test_published_class_counts_and_sizes():
    classes = {"_32": 10, "_sine": 10, "c100": 100, "14_7x2_224": 1000, "14_7x2_384": 1000, "_fl": 102}
    for ending, count in classes.items():
        names = [name for name in PRESETS if name.endswith(ending) and name.startswith(("cct", "cvt", "vit"))]
        for name in names:
            want = 102 if name == "cct_7_7x2_224_sine" else count
            assert configure(name).num_classes == want, name
    assert configure("cct_7_7x2_224").num_classes == 102
    assert configure("cct_14_7x2_384").size == (384, 384)


@pytest.mark.parametrize("name", PRESETS)
def test_published_positions(name):
    """The published `_sine` functions silently build learnable positions."""
    text = name.startswith("text")
    config = configure(name, {"num_classes": 2} if text else {})
    assert config.positional_embedding == ("sine" if text or "sine" in name else "learnable")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("vit_2_4_32", {"embedding_dim": 10**12}, r"model: expected at most 2,000,000,000 weights, got 12,000,000"),
        ("vit_2_4_32", {"num_layers": 10**9}, "num_layers: expected a whole number, at least 1 and at most 1000"),
        ("vit_2_4_32", {"num_layers": 1e9}, "num_layers: expected a whole number, at least 1 and at most 1000"),
        ("vit_2_4_32", {"mlp_ratio": 1e308}, "mlp_ratio: expected a positive number, at most 1000"),
        ("vit_2_4_32", {"num_heads": 10**5000}, "num_heads: expected a whole number"),
        ("vit_2_4_32", {"num_classes": 10**12}, "at most 2,000,000,000 weights"),
        ("cct_2_3x2_32", {"img_size": 10**9}, "at most 2,000,000,000 weights"),
        ("cct_2_3x2_32", {"n_conv_layers": 10**6}, "n_conv_layers: expected a whole number"),
        ("cct_2_3x2_32", {"kernel_size": 10**6}, "at most 2,000,000,000 weights"),
        ("text_cct_2", {"num_classes": 2, "vocab_size": 10**12}, "at most 2,000,000,000 weights"),
        ("text_vit_2", {"num_classes": 2, "seq_len": 10**12}, "at most 2,000,000,000 weights"),
        ("gpt_6", {"vocab_size": 10**12}, "at most 2,000,000,000 weights"),
    ],
)
def test_a_model_that_fits_no_memory_is_refused_before_it_is_built(name, change, words):
    with pytest.raises(BadInput, match=words):
        configure(name, change)


@pytest.mark.parametrize("name", PRESETS)
def test_the_weights_counted_beforehand_are_nearly_all(name):
    config = configure(name, {"num_classes": 3} if name.startswith("text") else {})
    with torch.device("meta"):
        every = count_parameters(build(config))
    assert 0.7 * every < config.least_weights <= every
