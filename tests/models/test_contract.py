"""What every listed model keeps: a new model is tested by being listed."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest
import torch

from crossnorm import Variant, convert
from crossnorm.adapters import Handle
from crossnorm.errors import BadInput
from crossnorm.functional import VARIANTS
from crossnorm.models import create_model, list_models, load_model, save_model
from crossnorm.models.site_alpha import site_alphas
from crossnorm.rng import addressed
from tests.models.model_cases import (
    BATCH,
    CHANNELS,
    CLASSES,
    IMAGES,
    LANGUAGES,
    ONE_OF_EACH,
    TEXTS,
    VOCABULARY,
    WORDS,
    images,
    inputs,
    settings,
    small,
    words,
)

every_model = pytest.mark.parametrize("name", list_models())
one_of_each = pytest.mark.parametrize("name", ONE_OF_EACH)
LARGE = [name for name in IMAGES if "3x1" in name or "224" in name or "384" in name]


def test_the_family_is_complete():
    cct = {
        f"cct_{size}_32{sine}"
        for size in ("2_3x2", "4_3x2", "6_3x1", "6_3x2", "7_3x1", "7_3x2")
        for sine in ("", "_sine")
    }
    cct |= {"cct_7_3x1_32_c100", "cct_7_3x1_32_sine_c100", "cct_7_7x2_224", "cct_7_7x2_224_sine"}
    cct |= {"cct_14_7x2_224", "cct_14_7x2_384", "cct_14_7x2_384_fl"}
    patches = {
        f"{kind}_{size}_4_32{sine}" for kind in ("cvt", "vit") for size in (2, 4, 6, 7) for sine in ("", "_sine")
    }
    assert set(IMAGES) == cct | patches
    assert len(IMAGES) == 35
    assert set(TEXTS) == {f"text_{kind}_{size}" for kind in ("transformer", "vit", "cvt", "cct") for size in (2, 4, 6)}
    assert LANGUAGES == ["gpt_2", "gpt_4", "gpt_6"]
    assert list_models() == IMAGES + TEXTS + LANGUAGES


@every_model
def test_forward_and_backward(name):
    model = small(name)
    logits = model(inputs(name))
    assert logits.shape == ((BATCH, WORDS, VOCABULARY) if name in LANGUAGES else (BATCH, CLASSES))
    (logits * torch.randn_like(logits)).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        if parameter_name != "classifier.attention_pool.bias":  # softmax does not see a constant
            assert parameter.grad.any(), parameter_name


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_forward_and_backward_at_full_size(name):
    model = create_model(name, variant=Variant(name="convex", alpha=0.5, site="both"))
    logits = model(torch.randn(2, 3, *model.config.size))
    logits.square().sum().backward()
    assert logits.shape == (2, model.config.num_classes)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@every_model
def test_variant_none_is_alpha_zero_to_the_bit(name):
    outcomes = []
    for variant in (None, Variant(name="convex", alpha=0.0, site="both")):
        model = small(name, variant=variant)
        torch.manual_seed(2)
        logits = model(inputs(name))
        logits.square().sum().backward()
        outcomes.append((logits, [p.grad for p in model.parameters()], torch.get_rng_state()))
    for logits, gradients, state in outcomes[1:]:
        assert torch.equal(logits, outcomes[0][0])
        assert all(torch.equal(a, b) for a, b in zip(gradients, outcomes[0][1], strict=True))
        assert torch.equal(state, outcomes[0][2])


@one_of_each
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_acts_and_draws_alike(name, variant):
    model = small(name, attention_dropout=0.3, dropout=0.2, stochastic_depth=0.5)
    model.classifier.norm.weight.data.normal_()
    results = []
    for alpha in (None, 0.8):
        if alpha is not None:
            convert(model, Variant(name=variant, alpha=alpha))
        torch.manual_seed(3)
        results.append((model(inputs(name)), torch.get_rng_state()))
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[1][0])


@every_model
def test_initial_weights_depend_on_the_seed_and_not_on_the_variant(name):
    states = []
    for seed, variant in ((5, None), (5, Variant(name="signed", alpha=0.7, site="both")), (6, None)):
        with addressed(seed, "init"):
            model = create_model(name, variant=variant, **settings(name))
            states.append((model.state_dict(), torch.get_rng_state()))
    assert states[0][0].keys() == states[1][0].keys()
    assert all(torch.equal(states[0][0][key], states[1][0][key]) for key in states[0][0])
    assert torch.equal(states[0][1], states[1][1])
    assert not all(torch.equal(states[0][0][key], states[2][0][key]) for key in states[0][0])


@every_model
def test_save_and_load(name, tmp_path):
    model = small(name, variant=Variant(name="convex", alpha=0.5, layers=(1,))).eval()
    Handle(model).alpha = 0.25
    save_model(model, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors").eval()
    assert loaded.config == model.config
    assert {path: site.read() for path, site in site_alphas(loaded).items()} == {
        "classifier.blocks.1.self_attn": 0.25,
    }
    assert torch.equal(loaded(inputs(name)), model(inputs(name)))


@every_model
def test_examples_do_not_see_each_other(name):
    model = small(name, variant=Variant(name="convex", alpha=0.5, site="both")).eval()
    x, other = inputs(name), inputs(name, seed=7)
    other[1] = x[1]
    assert torch.equal(model(x)[1], model(other)[1])
    torch.testing.assert_close(model(x[1:2])[0], model(x)[1], rtol=1e-6, atol=1e-6)


@one_of_each
def test_the_variant_batch_makes_examples_see_each_other(name):
    model = small(name, variant=Variant(name="batch", alpha=1.0)).double().eval()
    model.classifier.norm.weight.data.normal_()
    other = inputs(name, seed=7)
    other[1] = inputs(name)[1]
    x = inputs(name)
    if x.is_floating_point():
        x, other = x.double(), other.double()
    assert not torch.equal(model(x)[1], model(other)[1])


OPTIONS = {
    "num_layers": 3,
    "num_heads": 1,
    "mlp_ratio": 0.5,
    "embedding_dim": 24,
    "positional_embedding": "none",
    "dropout": 0.4,
    "attention_dropout": 0.4,
    "stochastic_depth": 0.4,
    "num_classes": 2,
    "img_size": 10,
    "n_input_channels": 1,
    "kernel_size": 5,
    "n_conv_layers": 3,
    "patch_size": 2,
    "vocab_size": 31,
    "seq_len": 13,
    "word_embedding_dim": 8,
    "train_words": False,
}


def observed(model, name):
    """Everything an option could change: shapes, what is trained, training-mode logits."""
    config = model.config
    if name in IMAGES:
        x = torch.ones(BATCH, config.n_input_channels, *config.size).cumsum(-1)
    else:
        x = words(length=config.seq_len)
    torch.manual_seed(11)
    shapes = [(key, tuple(value.shape)) for key, value in model.state_dict().items()]
    return shapes, [p.requires_grad for p in model.parameters()], model(x).tolist()


@one_of_each
def test_every_option_changes_something(name):
    plain = small(name)
    before = observed(plain, name)
    names = {field.name for field in fields(plain.config)} - {"family"}
    assert names <= OPTIONS.keys()
    for option in names:
        if asdict(plain.config)[option] is None:
            with pytest.raises(BadInput, match=f"setting: expected .*, got '{option}'"):
                small(name, **{option: OPTIONS[option]})
        else:
            assert observed(small(name, **{option: OPTIONS[option]}), name) != before, option


@every_model
def test_unknown_keywords_are_refused_with_the_nearest(name):
    with pytest.raises(BadInput, match="Did you mean 'num_heads'") as error:
        small(name, num_head=2)
    assert name in str(error.value)


@one_of_each
def test_bfloat16_autocast(name):
    model = small(name, variant=Variant(name="convex", alpha=0.5, site="both")).eval()
    x = inputs(name)
    if name in IMAGES:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
    logits.float().square().sum().backward()
    torch.testing.assert_close(logits.float(), model(x), rtol=0.05, atol=0.05)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", ["cct_2_3x2_32", "cvt_2_4_32_sine", "vit_2_4_32"])
def test_channels_last_changes_nothing(name):
    model, x = small(name).eval(), images()
    want = model(x)
    got = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


@one_of_each
def test_fixed_and_trained_positions(name):
    """A sine table is a fixed entry of the state dict: training cannot move it."""
    for positions, trained in (("sine", False), ("learnable", True), ("none", False)):
        model = small(name, positional_embedding=positions)
        key = "classifier.positional_emb"
        assert (key in model.state_dict()) == (positions != "none")
        assert (key in dict(model.named_parameters())) == trained
        if positions == "none":
            continue
        before = model.state_dict()[key].clone()
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        model(inputs(name)).square().sum().backward()
        optimiser.step()
        assert torch.equal(model.state_dict()[key], before) != trained


def test_published_initialisation():
    torch.manual_seed(0)
    model = create_model("vit_6_4_32")
    state = model.state_dict()
    assert not state["classifier.class_emb"].any()
    assert abs(float(state["classifier.positional_emb"].std()) - 0.2) < 0.01
    for name, tensor in state.items():
        if name.endswith("bias"):
            assert not tensor.any(), name
        elif "norm" in name:
            assert (tensor == 1).all(), name
    for name in ("classifier.blocks.3.self_attn.qkv.weight", "classifier.blocks.0.linear2.weight"):
        assert abs(float(state[name].std()) - 0.02) < 0.001
    fan_in = 3 * 4 * 4
    assert abs(float(state["tokenizer.conv_layers.0.0.weight"].std()) - (2 / fan_in) ** 0.5) < 0.01


def test_any_image_size_and_channel_count():
    for name in ("cct_2_3x2_32", "cvt_2_4_32", "vit_2_4_32_sine"):
        for size in ((1, 40), (9, 5), 31):
            own = {} if name.startswith("cct") else {"patch_size": 1}
            model = create_model(name, img_size=size, n_input_channels=2, num_classes=1, **own)
            assert model(torch.randn(2, 2, *model.config.size)).shape == (2, 1)


def test_without_positions_any_size_will_do():
    model = small("cct_2_3x2_32", positional_embedding="none").eval()
    assert model(torch.randn(2, CHANNELS, 17, 23)).shape == (2, CLASSES)
    with pytest.raises(BadInput, match="29 × 19 pixels"):
        small("cct_2_3x2_32")(torch.randn(2, CHANNELS, 17, 23))
    with pytest.raises(BadInput, match="images"):
        small("cct_2_3x2_32")(torch.randn(2, CHANNELS + 1, 29, 19))


@one_of_each
def test_dropout_follows_the_positions(name):
    """With every branch silenced, what is left of the draws is the dropout before the first block."""
    model = small(name, dropout=0.5, attention_dropout=0.0, stochastic_depth=0.0)
    for block in model.classifier.blocks:
        for layer in (block.self_attn.proj, block.linear2):
            torch.nn.init.zeros_(layer.weight)
    x = inputs(name)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))
