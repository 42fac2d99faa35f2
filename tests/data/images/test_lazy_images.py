"""Photographs: cut as torchvision cuts them, read the same from folders and zip files, dealt into tasks."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision import datasets
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms import functional as F

from crossnorm.data import load_task
from crossnorm.data.batches import test_batches as batches_of_the_test_set
from crossnorm.data.batches import train_batch
from crossnorm.data.images.lazy_images import Photographs
from crossnorm.data.images.resized_crops import center, draw_crops, resized
from crossnorm.data.task_registry import CropSpec
from crossnorm.errors import BadInput
from crossnorm.rng import generator

SIZES = [(61, 47), (47, 61), (53, 53), (29, 97), (97, 29)]  # (height, width)
SPEC = CropSpec(size=23)
COUNTS = {"train": {"ape": 5, "cat": 3}, "val": {"ape": 2, "cat": 1}}


def photograph(height: int, width: int, seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """train/ and val/ with photographs of many sizes; one is gray."""
    root, seed = tmp_path / "photographs", 0
    for split, classes in COUNTS.items():
        for label, count in classes.items():
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                image = photograph(*SIZES[seed % len(SIZES)], seed)
                image = image.convert("L") if (split, label, index) == ("train", "cat", 1) else image
                image.save(root / split / label / f"{index}.png")
                seed += 1
    return root


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_is_resized_as_torchvision_does(size):
    image, crop = photograph(*size, 1), (3, 5, 19, 23)
    expected = F.resized_crop(image, *crop, [SPEC.size] * 2, InterpolationMode.BICUBIC)
    assert np.array_equal(np.asarray(resized(image, crop, SPEC.size)), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keep", [0.875, 0.9, 1.0])
def test_the_center_is_cut_as_torchvision_does(size, keep):
    image = photograph(*size, 2)
    scaled = F.resize(image, int(SPEC.size / keep), InterpolationMode.BICUBIC)
    expected = F.center_crop(scaled, [SPEC.size] * 2)
    got = center(image, CropSpec(size=SPEC.size, keep=keep))
    assert np.array_equal(np.asarray(got), np.asarray(expected))


@pytest.mark.parametrize("size", [(61, 47), (29, 97)])
def test_crops_are_distributed_as_those_of_torchvision(size):
    n, scale = 3001, (0.2, 0.9)
    got = draw_crops(torch.tensor([size] * n), scale, torch.Generator().manual_seed(0)).numpy()
    torch.manual_seed(0)
    image = photograph(*size, 3)
    expected = np.array([RandomResizedCrop.get_params(image, list(scale), [3 / 4, 4 / 3]) for _ in range(n)])
    for column in range(4):
        assert ks_2samp(got[:, column], expected[:, column]).pvalue > 1e-3
    assert ((got[:, :2] >= 0) & (got[:, :2] + got[:, 2:] <= size)).all()


@pytest.mark.parametrize("size", [(7, 97), (97, 7)])
def test_where_no_attempt_fits_the_crop_is_torchvision_s_central_one(size):
    got = draw_crops(torch.tensor([size]), (1.0, 1.0), torch.Generator().manual_seed(0))[0].tolist()
    assert got == list(RandomResizedCrop.get_params(photograph(*size, 4), [1.0, 1.0], [3 / 4, 4 / 3]))


def test_an_image_s_crop_does_not_depend_on_the_sizes_of_others():
    sizes = torch.tensor(SIZES)
    first = draw_crops(sizes, (0.2, 0.9), torch.Generator().manual_seed(0))
    sizes[1:] = torch.tensor([7, 97])
    again = draw_crops(sizes, (0.2, 0.9), torch.Generator().manual_seed(0))
    assert torch.equal(first[0], again[0])


def test_batches_hold_the_images_that_were_asked_for(folder):
    files = sorted(map(str, (folder / "train/ape").iterdir()))
    images = Photographs(files=files, archive=None, spec=SPEC)
    expected = torch.stack([F.pil_to_tensor(center(Image.open(file), SPEC)) for file in files])
    assert torch.equal(images[torch.tensor([4, 0, 2])], expected[[4, 0, 2]])
    assert torch.equal(images.head(3)[1:7], expected[1:3])
    assert images.shape == expected.shape


def test_crops_come_from_the_generator_alone(folder):
    images = Photographs(files=sorted(map(str, folder.rglob("*.png"))), archive=None, spec=SPEC)
    rows, threads = torch.tensor([5, 1, 3]), torch.get_num_threads()
    draws = [images.crops(rows, generator(7, "augment", step)) for step in (11, 11, 13)]
    torch.set_num_threads(3)
    try:
        assert torch.equal(images.crops(rows, generator(7, "augment", 11)), draws[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_zip_file_holds_the_same_task(folder, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", folder))
    plain, packed = load_task("imagenet", data=folder), load_task("imagenet", data=archive)
    assert plain.classes == packed.classes == ("ape", "cat")
    for part in ("train", "test"):
        assert torch.equal(getattr(plain, part).targets, getattr(packed, part).targets)
        assert torch.equal(getattr(plain, part).inputs[:8], getattr(packed, part).inputs[:8])


def test_a_task_deals_its_classes_and_knows_its_model(folder):
    task = load_task("imagenet-384", data=folder, train_examples=5)
    assert task.train.targets.tolist() in ([0, 1, 0, 1, 0], [1, 0, 1, 0, 1])
    assert task.test.targets.tolist() == [0, 0, 1]
    assert (task.image_size, task.n_channels, task.n_classes) == ((384, 384), 3, 2)
    assert task.model == {"name": "cct_14_7x2_384", "img_size": (384, 384), "n_input_channels": 3, "num_classes": 2}


def test_the_digest_is_that_of_the_files_wherever_they_lie(folder, tmp_path):
    before = load_task("imagenet", data=folder).digest
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert load_task("imagenet", data=moved).digest == before
    assert load_task("imagenet", data=folder, train_examples=7).digest != before
    (moved / "val/cat/0.png").write_bytes(b"x")
    assert load_task("imagenet", data=moved).digest != before


@pytest.mark.parametrize("augmentation", ["none", "crop-flip", "randaugment"])
def test_training_sees_crops_and_testing_the_center(folder, augmentation):
    task = load_task("imagenet", data=folder)
    make = {"seed": 3, "batch_size": 5, "augmentation": augmentation, "device": torch.device("cpu")}
    inputs, targets = train_batch(task, 0, **make)
    again, _ = train_batch(task, 0, **make)
    assert inputs.shape == (5, 3, 224, 224)
    assert torch.equal(inputs, again)
    order = torch.randperm(8, generator=generator(3, "order", 0))[:5]
    assert torch.equal(targets, task.train.targets[order])
    centers = task.train.inputs[order].float() / 255
    centers = F.normalize(centers, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(inputs, centers, atol=1e-5) == (augmentation == "none")
    ((seen, _),) = batches_of_the_test_set(task, torch.device("cpu"))
    assert seen.shape == (3, 3, 224, 224)


class Flowers:
    """Stands for torchvision's data set: (file, class) from the loader that it is given."""

    def __init__(self, root, split, download, loader):
        assert download
        kept = Path(root) / f"{split}.png"
        photograph(61, 47, len(split)).save(kept)
        self.pairs = [(loader(kept), label) for label in range(102)]

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]


def test_flowers_train_on_two_splits_and_test_on_the_third(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "Flowers102", Flowers)
    task = load_task("flowers102", cache=tmp_path)
    assert (len(task.train), len(task.test), task.n_classes) == (204, 102, 102)
    assert {Path(file).name for file in task.train.inputs.files} == {"train.png", "val.png"}
    assert task.model["name"] == "cct_7_7x2_224"


def test_what_is_wrong_is_named(folder, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"expected 102 classes for flowers102, got 2"):
        load_task("flowers102", data=folder)
    with pytest.raises(BadInput, match=r"train_examples: expected a whole number from 1 to 8, got 9"):
        load_task("imagenet", data=folder, train_examples=9)
    with pytest.raises(BadInput, match=r"got none"):
        load_task("imagenet")
    (folder / "train/ape/0.png").write_bytes(b"no image")
    task = load_task("imagenet", data=folder)
    with pytest.raises(BadInput, match=r"0\.png: expected an image"):
        task.train.inputs[:8]

    def fail(*args, **kwargs):
        raise RuntimeError("no network")

    monkeypatch.setattr(datasets, "Flowers102", fail)
    with pytest.raises(BadInput, match=r"task flowers102: the download by torchvision failed \(no network\)"):
        load_task("flowers102", cache=tmp_path / "cache")
