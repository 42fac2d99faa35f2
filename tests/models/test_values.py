"""Logits against the published models (golden files, where present) and against an oracle in NumPy."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from crossnorm import Variant
from crossnorm.models import create_model
from tests.models import model_oracle as oracle
from tests.models.model_cases import CHANNELS, HEIGHT, WIDTH, WORDS, fill, images, small, words

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
CONVEX = Variant(name="convex", alpha=0.3, site="both")


def golden(file: str) -> list:
    path = GOLDEN / file
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip("no golden files here"))]
    return [pytest.param(entry, id=entry["model"]) for entry in json.loads(path.read_text())]


def draw(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def check_golden(entry, x):
    model = create_model(entry["model"], **entry.get("kwargs", {})).eval()
    state = fill(model)
    assert {name: list(array.shape) for name, array in state.items()} == entry["keys"]
    assert sum(array.size for array in state.values()) == entry["parameters"]
    with torch.no_grad():
        got = model(x)
    torch.testing.assert_close(got, torch.tensor(entry["logits"], dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("entry", golden("vision.json"))
def test_golden_images(entry):
    side = 224 if "224" in entry["model"] else 32
    check_golden(entry, torch.from_numpy(draw("input").standard_normal((2, 3, side, side))))


@pytest.mark.parametrize("entry", golden("text.json"))
def test_golden_texts(entry):
    check_golden(entry, torch.from_numpy(draw("tokens").integers(2, 500, (2, 64))))


@pytest.mark.parametrize("positions", ["learnable", "sine", "none"])
@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("cct_2_3x2_32", {"kernel_size": 3, "n_conv_layers": 2, "mlp_ratio": 1.5}),
        ("cct_2_3x2_32", {"kernel_size": 7, "n_conv_layers": 1}),
        ("cct_2_3x2_32", {"kernel_size": 2, "n_conv_layers": 3}),
        ("cvt_2_4_32", {"patch_size": 3}),
        ("vit_2_4_32", {"patch_size": 2}),
    ],
)
def test_images_equal_the_oracle(name, own, positions):
    for variant, remix in ((None, oracle.same), (CONVEX, oracle.convex(0.3))):
        model = small(
            name, img_size=(13, 11), embedding_dim=14, positional_embedding=positions, variant=variant, **own
        ).eval()
        state = fill(model)
        x = images(2, 13, 11).double()
        want = [
            oracle.image_logits(state, image, heads=2, remix=remix, kernel=own.get("kernel_size", 0))
            for image in x.numpy()
        ]
        np.testing.assert_allclose(model(x).detach().numpy(), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("positions", "variant"),
    [("learnable", CONVEX), ("sine", None), ("none", CONVEX)],
    ids=["learnable-convex", "sine-plain", "none-convex"],
)
@pytest.mark.parametrize(
    ("name", "own"),
    [
        *((f"text_cct_{(2, 4, 6)[kernel % 3]}", {"kernel_size": kernel}) for kernel in range(1, 8)),
        *((f"text_cvt_{(2, 4, 6)[patch % 3]}", {"patch_size": patch}) for patch in (1, 2, 3, 4)),
        *((f"text_vit_{(2, 4, 6)[patch % 3]}", {"patch_size": patch}) for patch in (1, 5, 6, 7)),
        ("text_transformer_2", {}),
        ("text_transformer_6", {}),
    ],
)
def test_masked_texts_equal_the_oracle_that_never_saw_padding(name, own, positions, variant):
    model = small(name, positional_embedding=positions, variant=variant, **own).eval()
    state = fill(model)
    lengths = (WORDS, 1, 5, 11)
    ids = words(len(lengths))
    mask = torch.arange(WORDS) < torch.tensor(lengths)[:, None]
    remix = oracle.same if variant is None else oracle.convex(0.3)
    kernel, patch = own.get("kernel_size", 0), own.get("patch_size", 0)
    want = [
        oracle.word_logits(
            state, row[:n].tolist(), heads=model.config.num_heads, remix=remix, kernel=kernel, patch=patch
        )
        for row, n in zip(ids, lengths, strict=True)
    ]
    np.testing.assert_allclose(model(ids, mask).detach().numpy(), want, rtol=0, atol=1e-12)


def test_the_second_norm_replaces_the_residual_stream():
    """With attention and MLP silenced, a published block is its second norm, not the identity."""
    model = small("cct_2_3x2_32").eval()
    block = model.classifier.blocks[1]
    for layer in (block.self_attn.proj, block.linear2):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.normal_(block.norm1.weight)
    x = torch.randn(3, 5, 128)
    torch.testing.assert_close(block(x), block.norm1(x), rtol=0, atol=0)
    assert not torch.allclose(block(x), x)


def test_sine_table_is_the_published_one():
    table = small("vit_2_4_32_sine", patch_size=2).state_dict()["classifier.positional_emb"]
    rows, width = (HEIGHT // 2) * (WIDTH // 2) + 1, 128
    assert table.shape == (1, rows, width)
    for p in range(rows):
        for i in range(width):
            angle = np.float32(p / 10000 ** (2 * (i // 2) / width))
            want = np.sin(angle) if i % 2 == 0 else np.cos(angle)
            assert abs(float(table[0, p, i]) - float(want)) < 1e-6


def test_tokens_are_in_row_major_order():
    model = small("vit_2_4_32", patch_size=1, embedding_dim=CHANNELS + 1, num_heads=2)
    weight = torch.zeros(CHANNELS + 1, CHANNELS, 1, 1)
    weight[0, 0] = 1.0
    model.tokenizer.conv_layers[0][0].weight.data = weight
    image = torch.zeros(1, CHANNELS, HEIGHT, WIDTH)
    image[0, 0, 2, 3] = 1.0
    assert int(model.tokenizer(image)[0, :, 0].argmax()) == 2 * WIDTH + 3
