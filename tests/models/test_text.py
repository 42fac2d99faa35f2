"""Text models: every family, position and mask works, and padding is not seen."""

from __future__ import annotations

import pytest
import torch

from crossnorm import Variant
from crossnorm.errors import BadInput
from crossnorm.models import create_model
from crossnorm.models.presets import configure
from tests.models.model_cases import CLASSES, TEXTS, VOCABULARY, WORDS, small, words

FAMILIES = [
    *(("text_cct_2", {"kernel_size": k}) for k in range(1, 8)),
    *((name, {"patch_size": p}) for name in ("text_cvt_2", "text_vit_2") for p in range(1, 8)),
    ("text_transformer_2", {}),
]
every_family = pytest.mark.parametrize(("name", "own"), FAMILIES, ids=[f"{n}-{list(o.values())}" for n, o in FAMILIES])


def padded(ids, extra):
    """The ids with `extra` padded words at the right, of any content, and their mask."""
    noise = torch.randint(0, VOCABULARY, (len(ids), extra), generator=torch.Generator().manual_seed(13))
    mask = torch.arange(ids.shape[1] + extra).expand(len(ids), -1) < ids.shape[1]
    return torch.cat([ids, noise], dim=1), mask


@every_family
@pytest.mark.parametrize(("positions", "variant"), [("learnable", "convex"), ("sine", None), ("none", "convex")])
def test_no_mask_an_all_true_mask_and_any_right_padding_agree(name, own, positions, variant):
    check_padding(name, variant, (1, 2, 3, 11), positional_embedding=positions, **own)


@pytest.mark.parametrize("variant", ["additive", "matched", "centred", "attenuated", "signed", "laser"])
@pytest.mark.parametrize(("name", "own"), [FAMILIES[3], FAMILIES[9], FAMILIES[15], FAMILIES[-1]])
def test_padding_is_not_seen_by_any_variant(name, own, variant):
    check_padding(name, variant, (1, 5), **own)


def check_padding(name, variant, lengths, **own):
    choice = None if variant is None else Variant(name=variant, alpha=0.6, site="both")
    model = small(name, variant=choice, seq_len=19, **own).eval()
    with torch.no_grad():
        for length in lengths:
            ids = words(3, length)
            want = model(ids)
            assert torch.equal(model(ids, torch.ones_like(ids, dtype=torch.bool)), want)
            for extra in (1, 7):
                torch.testing.assert_close(model(*padded(ids, extra)), want, rtol=1e-6, atol=1e-6)


@every_family
def test_what_padded_words_hold_changes_no_bit(name, own):
    model = small(name, variant=Variant(name="convex", alpha=0.6, site="both"), **own).eval()
    ids, mask = padded(words(3, 11), 5)
    other = ids.clone()
    other[:, 11:] = torch.randint(0, VOCABULARY, (3, 5), generator=torch.Generator().manual_seed(17))
    assert not torch.equal(ids, other)
    assert torch.equal(model(ids, mask), model(other, mask))


@pytest.mark.parametrize("name", TEXTS)
def test_sequence_pooling_and_attention_see_no_padding(name):
    """The published SeqPool weighs padding in: with a mask the answer must differ from the one without."""
    model = small(name).eval()
    ids, mask = padded(words(2, 5), 11)
    assert not torch.allclose(model(ids, mask), model(ids), rtol=1e-4, atol=1e-5)


def test_padding_beyond_the_longest_input_is_cut():
    model = small("text_cct_2", positional_embedding="learnable").eval()
    ids = words(2, WORDS)
    torch.testing.assert_close(model(*padded(ids, 13)), model(ids), rtol=1e-6, atol=1e-6)
    with pytest.raises(BadInput, match=f"at most seq_len = {WORDS} real words"):
        model(words(2, WORDS + 1))
    assert small("text_cct_2", positional_embedding="none")(words(2, 3 * WORDS)).shape == (2, CLASSES)


@pytest.mark.parametrize("width", [6, 50, 301])
@pytest.mark.parametrize("name", ["text_cct_2", "text_cvt_2", "text_vit_2"])
def test_any_word_width(name, width):
    model = small(name, word_embedding_dim=width)
    assert model.embedder.embeddings.weight.shape == (VOCABULARY, width)
    assert model(words()).shape == (3, CLASSES)


def test_the_width_of_a_transformer_is_the_word_width():
    assert small("text_transformer_6", word_embedding_dim=20).config.width == 20
    with pytest.raises(BadInput, match="word_embedding_dim: expected a multiple of num_heads = 4, got 21"):
        small("text_transformer_6", word_embedding_dim=21)
    with pytest.raises(BadInput, match="'embedding_dim'"):
        small("text_transformer_6", embedding_dim=20)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[True, False, True], [True, True, True]], "a mask with holes"),
        ([[False, True, True], [True, True, True]], "a mask with holes"),
        ([[False, False, False], [True, True, True]], "a row without any"),
        ([[1, 1, 1], [1, 1, 0]], "a boolean mask"),
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], "a boolean mask"),
        ([[True, True], [True, True]], "a boolean mask"),
    ],
)
def test_masks_that_are_refused(mask, message):
    with pytest.raises(BadInput, match=message):
        small("text_transformer_2")(words(2, 3), torch.tensor(mask))


def test_ids_that_are_refused():
    for ids in (torch.zeros(2, 3), torch.zeros(3, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long)):
        with pytest.raises(BadInput, match="ids: expected whole numbers"):
            small("text_transformer_2")(ids)


@pytest.mark.parametrize("name", TEXTS)
def test_the_class_count_must_be_given(name):
    with pytest.raises(BadInput, match=f"{name}: num_classes"):
        create_model(name)


def test_published_sizes():
    sizes = {name: small(name, word_embedding_dim=300).config for name in TEXTS}
    for name, config in sizes.items():
        six = name.endswith("6")
        assert (config.num_heads, config.mlp_ratio) == ((4, 2) if six else (2, 1))
        width = 300 if "transformer" in name else 256 if six and "cvt" not in name else 128
        assert config.width == width, name
    defaults = create_model("text_cct_4", num_classes=2, vocab_size=2).config
    assert (defaults.seq_len, defaults.word_embedding_dim, defaults.kernel_size) == (64, 300, 4)
    assert (defaults.num_layers, defaults.positional_embedding) == (4, "sine")
    assert configure("text_vit_2", {"num_classes": 2}).vocab_size == 100_000


@pytest.mark.parametrize(
    ("name", "own", "tokens"),
    [
        ("text_cct_2", {"kernel_size": 1}, 34),
        ("text_cct_2", {"kernel_size": 4}, 33),
        ("text_cct_2", {"kernel_size": 7}, 17),
        ("text_cvt_2", {"patch_size": 5}, 13),
        ("text_vit_2", {"patch_size": 4}, 17),
        ("text_transformer_2", {}, 65),
    ],
)
def test_rows_of_the_position_table(name, own, tokens):
    """As many as there are tokens at seq_len 64, and one more with a class token."""
    model = small(name, seq_len=64, positional_embedding="learnable", **own)
    assert model.classifier.positional_emb.shape[1] == tokens
    model(words(2, 64))


def test_frozen_words():
    model = small("text_cct_2", train_words=False)
    model(words()).sum().backward()
    assert model.embedder.embeddings.weight.grad is None
    assert small("text_cct_2").embedder.embeddings.weight.requires_grad
