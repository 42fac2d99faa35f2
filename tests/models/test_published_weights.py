"""Published and local weights: fetched once, checked always, fitted to other sizes and class counts."""

from __future__ import annotations

import hashlib
import json
import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from crossnorm.errors import BadInput
from crossnorm.models import create_model, list_models, load_model, load_weights, save_model
from crossnorm.models import published_weights as weights
from crossnorm.models import serialization as files
from crossnorm.models.published_weights import PUBLISHED
from crossnorm.models.serialization import read_safetensors, write_safetensors
from tests.models.model_cases import IMAGES, fill, images, small

POSITIONS = "classifier.positional_emb"
NAME = "cct_7_3x1_32_sine"


def checkpoint(path, name="cct_2_3x2_32", wrap=dict, **own):
    """A file with the float32 draws of a small model, and that model."""
    model = small(name, **own).eval()
    fill(model)
    torch.save(wrap(model.float().state_dict()), path)
    return model


def same_logits(model, other):
    x = images(2, *model.config.size)[:, : model.config.n_input_channels]
    assert torch.equal(model.eval()(x), other.eval()(x))


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}},
    ],
    ids=["plain", "state_dict", "model-module"],
)
def test_any_local_checkpoint(tmp_path, wrap):
    want = checkpoint(tmp_path / "weights.pth", wrap=wrap)
    model = small("cct_2_3x2_32", seed=5)
    load_weights(model, tmp_path / "weights.pth")
    same_logits(model, want)


def test_safetensors_of_ours_and_of_others(tmp_path):
    want = checkpoint(tmp_path / "weights.pth")
    save_model(want, tmp_path / "ours.safetensors")
    save_file(want.state_dict(), tmp_path / "others.safetensors")
    for file in ("ours", "others"):
        model = small("cct_2_3x2_32", seed=5)
        load_weights(model, str(tmp_path / f"{file}.safetensors"), img_size=(29, 19))
        same_logits(model, want)
    with pytest.raises(BadInput, match="no model configuration"):
        load_model(tmp_path / "others.safetensors")


@pytest.mark.parametrize("name", ["cct_2_3x2_32", "vit_2_4_32"])
def test_positions_are_interpolated_by_their_grid(name, tmp_path):
    want = checkpoint(tmp_path / "weights.pth", name, img_size=(32, 16))
    model = small(name, seed=5, img_size=(16, 48))
    load_weights(model, tmp_path / "weights.pth", img_size=(32, 16))
    before, after = want.state_dict(), model.state_dict()
    extra = 1 if name.startswith("vit") else 0
    rows, columns = 8, 4
    grid = before[POSITIONS][0, extra:].T.reshape(1, 128, rows, columns)
    resized = F.interpolate(grid, size=(4, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(after[POSITIONS][0, extra:], resized[0].flatten(1).T, rtol=0, atol=0)
    assert torch.equal(after[POSITIONS][0, :extra], before[POSITIONS][0, :extra])
    assert all(torch.equal(after[key], before[key]) for key in after if key != POSITIONS)


def test_the_same_number_of_positions_in_another_grid_is_interpolated_too(tmp_path):
    """32 × 32 and 16 × 64 pixels both make 64 tokens."""
    want = checkpoint(tmp_path / "weights.pth", img_size=32)
    model = small("cct_2_3x2_32", img_size=(16, 64))
    for size, moved in ((32, True), ((16, 64), False), (None, False)):
        load_weights(model, tmp_path / "weights.pth", img_size=size)
        assert model.classifier.positional_emb.shape == want.classifier.positional_emb.shape
        assert torch.equal(model.classifier.positional_emb, want.classifier.positional_emb) != moved


def test_the_image_size_is_read_from_our_files(tmp_path):
    model = small("cct_2_3x2_32", img_size=(8, 24))
    save_model(model, tmp_path / "weights.safetensors")
    other = small("cct_2_3x2_32", img_size=(16, 16))
    load_weights(other, tmp_path / "weights.safetensors")
    assert other.grid == (4, 4)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(BadInput, match="Give the img_size"):
        load_weights(other, tmp_path / "weights.pth")


@pytest.mark.parametrize("size", [32, 24])
def test_a_sine_table_is_never_overwritten(tmp_path, size):
    """The published loader puts a random table into a sine model."""
    want = checkpoint(tmp_path / "weights.pth", "cvt_2_4_32_sine", img_size=32)
    model = small("cvt_2_4_32_sine", img_size=size)
    table = model.state_dict()[POSITIONS].clone()
    load_weights(model, tmp_path / "weights.pth")
    assert torch.equal(model.state_dict()[POSITIONS], table)
    if size == 32:
        same_logits(model, want)
        state = want.state_dict() | {POSITIONS: torch.ones_like(table)}
        torch.save(state, tmp_path / "learned.pth")
        with pytest.warns(UserWarning, match="not the sine table"):
            load_weights(model, tmp_path / "learned.pth")
        assert torch.equal(model.state_dict()[POSITIONS], table)


def test_another_class_count_keeps_a_fresh_head_and_says_so(tmp_path):
    want = checkpoint(tmp_path / "weights.pth", img_size=32).state_dict()
    model = small("cct_2_3x2_32", img_size=32, num_classes=11)
    head = model.classifier.fc.weight.detach().clone()
    with pytest.warns(UserWarning, match="7 classes in the file, 11 in the model: the head keeps its fresh weights"):
        load_weights(model, tmp_path / "weights.pth")
    assert torch.equal(model.classifier.fc.weight, head)
    assert torch.equal(model.classifier.norm.weight, want["classifier.norm.weight"])


def test_weights_that_do_not_fit(tmp_path):
    checkpoint(tmp_path / "weights.pth", img_size=32)
    for name, own, message in (
        ("cct_2_3x2_32", {"n_input_channels": 2}, r"tokenizer.conv_layers.0.0.weight: expected shape \(64, 2, 3, 3\)"),
        ("cct_2_3x2_32", {"num_layers": 3}, "is missing"),
        ("cct_2_3x2_32", {"num_layers": 1}, "is not its"),
        ("cct_2_3x2_32", {"positional_embedding": "none"}, "classifier.positional_emb is not its"),
        ("vit_2_4_32", {}, "is missing"),
    ):
        model = small(name, **{"img_size": 32, **own})
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(BadInput, match=message):
            load_weights(model, tmp_path / "weights.pth")
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class Surprise:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", None, [1, 2], {"a": 3}, Surprise()],
    ids=lambda content: type(content).__name__,
)
def test_damaged_files(tmp_path, content, capsys):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BadInput, match=re.escape(str(path))):
        load_weights(small("cct_2_3x2_32"), path)
    assert "executed" not in capsys.readouterr().out
    path.rename(tmp_path / "weights.safetensors") if path.exists() else None
    for read in (load_model, lambda p: load_weights(small("cct_2_3x2_32"), p)):
        with pytest.raises(BadInput, match="safetensors"):
            read(tmp_path / "weights.safetensors")


def test_a_file_of_another_format(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FORMAT", 2)
    save_model(small("cct_2_3x2_32"), tmp_path / "model.safetensors")
    monkeypatch.undo()
    with pytest.raises(BadInput, match="a file of format 1, got format 2"):
        load_model(tmp_path / "model.safetensors")


def test_saving_where_one_cannot(tmp_path):
    model = small("cct_2_3x2_32")
    with pytest.raises(BadInput, match=r"ends in \.safetensors"):
        save_model(model, tmp_path / "model.pth")
    with pytest.raises(BadInput, match="cannot be written"):
        save_model(model, tmp_path / "nowhere" / "model.safetensors")


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A server of published weights: a folder; and an empty cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "BASE", (tmp_path / "site").as_uri() + "/")
    file = tmp_path / "site" / PUBLISHED[NAME]
    file.parent.mkdir(parents=True)
    model = create_model(NAME)
    torch.save(model.state_dict(), file)
    return file, tmp_path / "cache" / "hub" / "crossnorm" / file.name, model


def test_published_weights_are_fetched_once_and_compared_later(published):
    site, cached, want = published
    same_logits(create_model(NAME, pretrained=True), want)
    record = cached.with_name(cached.name + ".sha256")
    assert record.read_text().strip() == hashlib.sha256(cached.read_bytes()).hexdigest()
    assert sorted(path.name for path in cached.parent.iterdir()) == [cached.name, record.name]
    site.unlink()
    model = create_model(NAME, pretrained=True)
    same_logits(model, want)
    cached.write_bytes(cached.read_bytes()[:-1] + b"?")
    with pytest.raises(BadInput, match=f"SHA-256 is not the one in {record.name}. Delete"):
        create_model(NAME, pretrained=True)


def test_published_weights_at_an_image_size_with_as_many_tokens(published):
    """32 × 32 and 16 × 64 pixels both make 256 tokens, in other grids."""
    site, _, _ = published
    want = create_model("cct_7_3x1_32").state_dict()
    torch.save(want, site.parent / "cct_7_3x1_32_cifar10_300epochs.pth")
    assert torch.equal(create_model("cct_7_3x1_32", pretrained=True).state_dict()[POSITIONS], want[POSITIONS])
    got = create_model("cct_7_3x1_32", pretrained=True, img_size=(16, 64)).state_dict()[POSITIONS]
    assert got.shape == want[POSITIONS].shape
    assert not torch.allclose(got, want[POSITIONS])


def test_published_weights_for_another_task(published):
    _, _, want = published
    with pytest.warns(UserWarning, match="10 classes in the file, 3 in the model"):
        model = create_model(NAME, pretrained=True, num_classes=3, img_size=(24, 40))
    key = "classifier.blocks.6.linear2.weight"
    assert torch.equal(model.state_dict()[key], want.state_dict()[key])
    assert model(torch.randn(2, 3, 24, 40)).shape == (2, 3)


def test_offline_and_damaged_downloads(published):
    site, cached, _ = published
    site.write_bytes(site.read_bytes()[: 1 << 20])
    with pytest.raises(BadInput, match=r"a checkpoint that can be read, got a damaged file\. Try again"):
        create_model(NAME, pretrained=True)
    site.unlink()
    with pytest.raises(BadInput, match=r"download failed.*load_weights"):
        create_model(NAME, pretrained=True)
    assert not cached.exists()
    assert list(cached.parent.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in list_models() if name not in PUBLISHED][::7])
def test_models_without_published_weights(name):
    own = {"num_classes": 2, "vocab_size": 2} if name.startswith("text") else {}
    with pytest.raises(BadInput, match=r"no published weights.*cct_14_7x2_384_fl"):
        create_model(name, pretrained=True, **own)


def test_what_is_published():
    assert set(PUBLISHED) <= set(IMAGES)
    assert len(set(PUBLISHED.values())) == 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(path.split("/")[0] in ("pretrained", "finetuned") for path in PUBLISHED.values())


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["alpha"].update(dict.fromkeys(about["alpha"], "much")),
        lambda about: about["config"].update(num_layers="2"),
        lambda about: about.pop("config"),
        lambda about: about.update(kind=[]),
        lambda about: about.update(variant=3),
        lambda about: about.update(alpha=None),
    ],
)
def test_a_configuration_of_wrong_types(tmp_path, change):
    path = tmp_path / "m.safetensors"
    save_model(create_model("vit_2_4_32", variant="convex"), path)
    tensors, about = read_safetensors(path)
    change(about)
    write_safetensors(path, tensors, {"crossnorm": json.dumps(about)})
    with pytest.raises(BadInput, match=r"m\.safetensors"):
        load_model(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "3", "{"])
def test_a_description_that_is_none(tmp_path, text):
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {"a": torch.zeros(1)}, {"crossnorm": text})
    with pytest.raises(BadInput, match=r"m\.safetensors"):
        load_model(path)


def test_equal_models_give_equal_bytes(tmp_path):
    model = create_model("vit_2_4_32", variant="convex")
    contents = set()
    for number in range(8):  # the library orders the metadata at random
        save_model(model, tmp_path / f"{number}.safetensors")
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(contents) == 1
    with safe_open(tmp_path / "0.safetensors", framework="pt") as file:
        assert torch.equal(file.get_tensor("classifier.fc.weight"), model.classifier.fc.weight)
        assert file.metadata()["format"] == "pt"
