from __future__ import annotations

import random
import sys
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision import datasets

from crossnorm.data import builtin_datasets as sources
from crossnorm.data.arrays import array_digest
from crossnorm.errors import BadInput


@pytest.fixture(scope="module")
def twice() -> list:
    return [sources.mnist1d(), sources.mnist1d()]


def test_mnist1d_is_the_package_defaults(twice):
    from mnist1d.data import get_dataset_args, make_dataset

    with sources._global_random_state_restored():
        expected = make_dataset(get_dataset_args())
    got = twice[0]
    assert got.train_inputs.shape == (4000, 1, 1, 40)
    assert got.test_inputs.shape == (1000, 1, 1, 40)
    assert np.array_equal(got.train_inputs[:, 0, 0], expected["x"].astype(np.float32))
    assert np.array_equal(got.test_targets, expected["y_test"])


def test_mnist1d_twice_is_the_same(twice):
    first, second = twice
    for field in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        assert array_digest(getattr(first, field)) == array_digest(getattr(second, field))


def test_mnist1d_leaves_global_random_state_alone():
    random.seed(3)
    np.random.seed(5)
    torch.manual_seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()
    sources.mnist1d()
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.random.get_rng_state(), before[2])


def test_digits_are_split_class_by_class():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    train, test = [], []
    seen = [0] * 10
    for image, label in zip(bunch.images, bunch.target, strict=True):
        seen[label] += 1
        (test if seen[label] % 5 == 0 else train).append((image, label))
    got = sources.digits()
    for inputs, targets, expected in (
        (got.train_inputs, got.train_targets, train),
        (got.test_inputs, got.test_targets, test),
    ):
        assert targets.tolist() == [label for _, label in expected]
        levels = np.array([image for image, _ in expected])[:, None]
        assert inputs.dtype == np.uint8
        assert np.abs(inputs - levels * 255 / 16).max() <= 0.5


def fake(shape: tuple[int, ...], channels_last: bool):
    def make(root: str, *, train: bool, download: bool) -> SimpleNamespace:
        assert download
        sys.stdout.write("Downloading")  # as torchvision does
        n = 13 if train else 3
        data = torch.arange(n * np.prod(shape)).reshape(n, *shape).to(torch.uint8)
        targets = [i % 2 for i in range(n)]
        classes = ["a", "b"]
        if channels_last:  # CIFAR: an array and a list; MNIST: tensors
            return SimpleNamespace(data=data.numpy(), targets=targets, classes=classes)
        return SimpleNamespace(data=data, targets=torch.tensor(targets), classes=classes)

    return make


@pytest.mark.parametrize(("shape", "channels_last"), [((5, 7, 3), True), ((5, 7), False)])
def test_torchvision_arrays_become_channels_first(monkeypatch, tmp_path, capsys, shape, channels_last):
    make = fake(shape, channels_last)
    monkeypatch.setattr(datasets, "CIFAR10", make)
    got = sources.torchvision_dataset("cifar10", "CIFAR10", tmp_path)
    data = np.asarray(make("", train=True, download=True).data)
    for i, image in enumerate(data):
        expected = image.transpose(2, 0, 1) if channels_last else image[None]
        assert np.array_equal(got.train_inputs[i], expected)
    assert got.train_targets.dtype == np.int64
    assert len(got.test_inputs) == len(got.test_targets) == 3
    assert got.classes == ("a", "b")
    capsys.readouterr()
    sources.torchvision_dataset("cifar10", "CIFAR10", tmp_path)
    assert capsys.readouterr().out == ""  # progress is not a result


@pytest.mark.parametrize(
    "error",
    [URLError("Name or service not known"), RuntimeError("File not found or corrupted."), TimeoutError()],
)
def test_offline_is_one_message_that_names_the_way_out(monkeypatch, tmp_path, error):
    def offline(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(datasets.utils, "download_url", offline)
    monkeypatch.setattr(datasets.utils, "_urlretrieve", offline)
    with pytest.raises(BadInput, match=r"task cifar10: the download .* Set data to a local copy") as caught:
        sources.torchvision_dataset("cifar10", "CIFAR10", tmp_path)
    assert caught.value.__suppress_context__
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", ["CIFAR10", "CIFAR100", "MNIST", "FashionMNIST"])
def test_torchvision_has_the_data_sets(dataset):
    assert issubclass(getattr(datasets, dataset), datasets.VisionDataset)
