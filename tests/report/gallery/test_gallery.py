from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossnorm.errors import BadInput
from crossnorm.report.gallery.example_images import generated, read_picture
from crossnorm.report.gallery.gallery_page import Exhibit, write_gallery
from crossnorm.report.gallery.heatmaps import HeadValues, heads_figure, products_figure
from crossnorm.report.gallery.matrix_products import PRODUCTS, products, signed


def drawn(rows: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (rows, columns))


def test_products_agree_with_loops() -> None:
    left, right, tau = drawn(3, 5, 1), drawn(5, 7, 2), 2.5
    found = products(left, right, tau)
    assert found.keys() == PRODUCTS.keys()
    for i in range(3):
        row = [math.exp(tau * left[i, k]) for k in range(5)]
        for j in range(7):
            column = [math.exp(tau * right[k, j]) for k in range(5)]
            plain = sum(left[i, k] * right[k, j] for k in range(5))
            rows = sum(row[k] * right[k, j] for k in range(5)) / sum(row)
            cross = sum(row[k] * column[k] for k in range(5)) / sum(row) / sum(column)
            np.testing.assert_allclose([found[name][i, j] for name in ("plain", "rows", "cross")], [plain, rows, cross])
    assert signed(left).min() == -1
    assert signed(left).max() == 1
    np.testing.assert_allclose(found["signed"], signed(left) @ signed(right))
    assert not signed(np.full((2, 3), 0.5)).any()


def test_large_temperatures_do_not_overflow() -> None:
    found = products(drawn(3, 5, 1), drawn(5, 7, 2), 1e6)
    assert all(np.isfinite(product).all() for product in found.values())


def test_generated_pictures_are_pictures() -> None:
    for factors in generated(31).values():
        for picture in factors:
            assert picture.shape == (31, 31)
            assert picture.min() >= 0
            assert picture.max() <= 1
            assert picture.std() > 0.1


def test_a_file_becomes_its_grey_middle(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 4) == 1).all()
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="expected an image"):
        read_picture(tmp_path / "b.png", 4)
    Image.new("L", (1, 70_000)).save(tmp_path / "thin.png")
    with pytest.raises(BadInput, match="sides of at most 65535 pixels, got 1 × 70000"):
        read_picture(tmp_path / "thin.png", 4)
    with pytest.raises(BadInput, match="no such file"):
        read_picture(tmp_path / "c.png", 4)


def test_every_product_says_its_range() -> None:
    left, right = drawn(11, 11, 1), drawn(11, 11, 2)
    figure = products_figure(left, right, temperature=3.0)
    said = [axes.get_xlabel() for axes in figure.axes]
    found = products(left, right, 3.0)["cross"]
    assert any(f"softmax(3 A) · softmaxᵀ(3 B)     {found.min():.3g} to {found.max():.3g}" == text for text in said)
    shown = [axes.images[0].get_clim() for axes in figure.axes]
    assert (found.min(), found.max()) in shown
    low, high = shown[-1]
    assert low == -high


def test_heads_have_a_row_each() -> None:
    head = HeadValues(
        weights=drawn(5, 5, 1),
        value=drawn(5, 3, 2) - 0.5,
        mixed=drawn(5, 3, 3),
        plain=drawn(5, 3, 4),
        crossed=drawn(5, 3, 5),
    )
    assert len(heads_figure([head] * 3, drawn(8, 8, 1)).axes) == 16
    assert len(heads_figure([head] * 2, None).axes) == 10


def test_the_gallery_is_whole_and_its_texts_are_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    exhibit = Exhibit(file=tmp_path / "a.png", title=evil, caption=(evil,), alt=f'" onload="{evil}')
    write_gallery(tmp_path / "p.html", evil, [evil], [exhibit])
    html = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert 'onload="' not in html
    assert html.count("data:image/png;base64,") == 1
    assert "http" not in html.replace("http-equiv", "")
