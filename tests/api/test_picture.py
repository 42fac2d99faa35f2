from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crossnorm import create_model
from crossnorm.api import picture
from crossnorm.errors import BadInput
from crossnorm.models.serialization import save_model


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    size = {"img_size": 8, "n_input_channels": 1, "num_classes": 10, "embedding_dim": 16, "num_layers": 2}
    save_model(create_model("cct_2_3x2_32", n_conv_layers=1, **size), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def test_a_gallery_of_products_and_heads(tmp_path: Path, checkpoint: Path) -> None:
    page = picture(tmp_path / "out", checkpoint=checkpoint, layer=-1, example=3)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["heads.png", "matrices-1.png", "matrices-2.png", "matrices-3.png", "picture.html"]
    html = page.read_text(encoding="utf-8")
    assert html.count("data:image/png;base64,") == 4
    assert "m.safetensors on example 3 of the test set (class " in html


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path, checkpoint: Path) -> None:
    out = tmp_path / "out"
    for given, said in (
        ({"left": checkpoint}, "left and right must be given together"),
        ({"temperature": 0.0}, "a number above 0"),
        ({"example": -1}, "example: expected 0 to"),
        ({"left": checkpoint, "right": checkpoint}, "expected an image"),
    ):
        with pytest.raises(BadInput, match=said):
            picture(out, checkpoint=checkpoint, **given)
    assert not out.exists()
