from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossnorm.data.images.class_folders import identity
from crossnorm.data.images.image_folder import read_class_folders
from crossnorm.errors import BadInput
from tests.data.data_images import pixels


def chw(split: str, label: str, index: int, size=(5, 7), channels=3) -> np.ndarray:
    image = pixels(split, label, index, size, channels)
    return image[None] if channels == 1 else image.transpose(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", ["folder", "zip", "zip below a folder", "folder below a folder"])
def test_images_and_classes_are_in_the_order_of_names(class_folders, zipped, form, channels):
    root = class_folders(channels=channels, name="outer/inner")
    path = {
        "folder": lambda: root,
        "zip": lambda: zipped(root),
        "zip below a folder": lambda: zipped(root, "some-name/"),
        "folder below a folder": lambda: root.parent,
    }[form]()
    arrays = read_class_folders(path)
    assert arrays.classes == ("ape", "cat")
    assert arrays.train_targets.tolist() == [0, 0, 1, 1, 1]
    assert arrays.test_targets.tolist() == [0, 0, 1]
    places = [("ape", 0), ("ape", 1), ("cat", 0), ("cat", 1), ("cat", 2)]
    expected = np.stack([chw("train", *place, channels=channels) for place in places])
    assert arrays.train_inputs.dtype == np.uint8
    assert np.array_equal(arrays.train_inputs, expected)
    places = [("ape", 0), ("ape", 1), ("cat", 0)]
    assert np.array_equal(arrays.test_inputs, np.stack([chw("test", *p, channels=channels) for p in places]))


def test_one_color_image_among_gray_ones_makes_all_rgb(class_folders):
    root = class_folders(channels=1)
    color = pixels("train", "ape", 1, (5, 7), 3)
    Image.fromarray(color).save(root / "train/ape/1.png")
    arrays = read_class_folders(root)
    assert np.array_equal(arrays.train_inputs[1], color.transpose(2, 0, 1))
    assert np.array_equal(arrays.train_inputs[0], np.repeat(chw("train", "ape", 0, channels=1), 3, axis=0))


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "LA", "1"])
def test_other_modes_are_what_pillow_converts_them_to(class_folders, mode):
    root = class_folders()
    image = Image.fromarray(pixels("train", "ape", 0, (5, 7), 3)).convert(mode)
    suffix = "tiff" if mode == "CMYK" else "png"
    (root / "train/ape/0.png").unlink()
    transparency = {"transparency": bytes(range(256))} if mode == "P" else {}
    image.save(root / f"train/ape/0.{suffix}", **transparency)
    got = read_class_folders(root).train_inputs[0]
    assert np.array_equal(got.transpose(1, 2, 0), np.asarray(image.convert("RGB")))


def test_hidden_files_and_the_debris_of_file_managers_are_skipped(class_folders, zipped):
    root = class_folders()
    (root / "__MACOSX" / "train").mkdir(parents=True)
    for name in ("train/.DS_Store", "train/ape/._0.png", "train/ape/Thumbs.db", "__MACOSX/train/x", "README.txt"):
        (root / name).write_text("no image")
    for path in (root, zipped(root)):
        assert len(read_class_folders(path).train_inputs) == 5


def test_images_of_deeper_folders_belong_to_the_class(class_folders, zipped):
    root = class_folders()
    (root / "train/ape/more").mkdir()
    Image.fromarray(pixels("train", "ape", 9, (5, 7), 3)).save(root / "train/ape/more/9.png")
    for path in (root, zipped(root)):
        arrays = read_class_folders(path)
        assert arrays.train_targets.tolist() == [0, 0, 0, 1, 1, 1]
        assert np.array_equal(arrays.train_inputs[2], chw("train", "ape", 9))


def test_progress_reaches_the_end(class_folders):
    root = class_folders({"ape": 101, "cat": 102}, {"ape": 1, "cat": 1})
    seen: list[tuple[int, int]] = []
    read_class_folders(root, lambda done, total: seen.append((done, total)))
    assert seen == [(100, 205), (200, 205), (205, 205)]


def broken(root: Path, what: str) -> None:
    ape = root / "train/ape"
    if what == "text":
        (ape / "list.txt").write_text("cat, dog")
    elif what == "program":  # which Pillow would give to Ghostscript
        Image.new("RGB", (7, 5)).save(ape / "1.png", format="EPS")
    elif what == "bomb":
        Image.new("1", (9_500, 9_500)).save(ape / "1.png")
    elif what == "truncated":
        (ape / "0.png").write_bytes((ape / "0.png").read_bytes()[:70])
    elif what == "size":
        Image.fromarray(pixels("x", "y", 0, (7, 5), 3)).save(ape / "1.png")
    elif what == "depth":
        Image.fromarray(np.zeros((5, 7), np.uint16)).save(ape / "1.png")
    elif what == "stray":
        (root / "test/labels.csv").write_text("0,1")
    elif what == "empty":
        [file.unlink() for file in (root / "test/cat").iterdir()]
    elif what == "train only":
        (root / "test/cat").rename(root / "test/dog")
    elif what == "test only":
        (root / "test/dog").mkdir()
    elif what == "one class":
        for split in ("train", "test"):
            [file.unlink() for file in (root / split / "cat").iterdir()]
            (root / split / "cat").rmdir()
    elif what == "no test":
        (root / "test").rename(root / "holdout")
    else:
        raise AssertionError(what)


MESSAGES = {
    "text": r"train/ape/list.txt: expected an image \(BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP\), got another file",
    "program": r"train/ape/1.png: expected an image \(BMP, .*\), got another file",
    "bomb": r"train/ape/1.png: expected at most 89 million pixels, got more",
    "truncated": r"train/ape/0.png: expected an image, got a file that Pillow cannot read",
    "size": r"train/ape/1.png: expected 7 × 5 pixels like train/ape/0.png, got 5 × 7\. Resize all images",
    "depth": r"train/ape/1.png: expected 8 bits per channel, gray or color, got an image of mode I;16",
    "stray": r"expected only class folders in test/, got the file test/labels.csv",
    "empty": r"expected at least one image in every class, got nothing in test/cat/",
    "train only": r"expected the same classes in train/ and test/, got 'cat' only in train/ and not in test/",
    "test only": r"expected the same classes in train/ and test/, got 'dog' only in test/ and not in train/",
    "one class": r"expected at least two class folders in train/, got 1",
    "no test": r"expected a folder or zip file that holds train/CLASS/\* and test/CLASS/\*, got holdout/, train/\.",
}


@pytest.mark.parametrize("what", MESSAGES)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_what_is_wrong_is_named(class_folders, zipped, what, form):
    root = class_folders()
    broken(root, what)
    path = root if form == "folder" else zipped(root)
    message = MESSAGES[what].replace("holdout/, train/", "holdout, train") if form == "zip" else MESSAGES[what]
    with pytest.raises(BadInput, match=message) as caught:
        read_class_folders(path)
    assert str(path) in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_paths_that_are_neither_folder_nor_zip(tmp_path):
    with pytest.raises(BadInput, match=r"absent: expected a folder or zip file .* got no such file or folder"):
        read_class_folders(tmp_path / "absent")
    with pytest.raises(BadInput, match="got no such file or folder"):
        identity(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(BadInput, match=r"notes.txt: .* got a file that is not a zip file"):
        read_class_folders(tmp_path / "notes.txt")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(BadInput, match="got none of them"):
        read_class_folders(tmp_path / "nothing")
    with zipfile.ZipFile(tmp_path / "void.zip", "w"):
        pass
    with pytest.raises(BadInput, match="got none of them"):
        read_class_folders(tmp_path / "void.zip")


def test_a_zip_whose_member_is_damaged_names_it(class_folders, zipped):
    path = zipped(class_folders())
    content = bytearray(path.read_bytes())
    at = content.index(b"train/ape/1.png") + len(b"train/ape/1.png") + 40
    content[at : at + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"train/ape/1.png: expected an image, got .*BadZipFile"):
        read_class_folders(path)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_identity_changes_with_the_files(class_folders, zipped, form):
    root = class_folders()
    path = root if form == "folder" else zipped(root)
    before = identity(path)
    assert identity(path) == before
    changed = root / "train/ape/0.png" if form == "folder" else path
    os.utime(changed, ns=(0, 10**18))
    assert identity(path) != before
    if form == "folder":
        (root / "train/ape/0.png").rename(root / "train/ape/00.png")
        assert identity(path)[0] == before[0]
        assert identity(path)[1] != before[1]


def test_what_cannot_be_read_is_one_message(class_folders, monkeypatch):
    root = class_folders()
    (root / "train/ape/lost.png").symlink_to(root / "nowhere.png")
    with pytest.raises(BadInput, match=r"expected readable files and folders, got .*lost.png"):
        identity(root)

    def denied(folder: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BadInput, match=r"expected readable files and folders, got .*Permission denied"):
        identity(root)


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_the_second_split_may_be_called_val(class_folders, zipped, form):
    root = class_folders()
    expected = read_class_folders(root)
    (root / "test").rename(root / "val")
    got = read_class_folders(root if form == "folder" else zipped(root, "top/"))
    assert np.array_equal(got.test_inputs, expected.test_inputs)
    assert np.array_equal(got.test_targets, expected.test_targets)
    assert len(got.train_targets) == len(expected.train_targets)
