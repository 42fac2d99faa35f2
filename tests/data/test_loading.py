from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import crossnorm
from crossnorm.data import Task, list_tasks, load_task, prepare
from crossnorm.data import builtin_datasets as sources
from crossnorm.data.task_registry import default_model, find_task
from crossnorm.errors import BadInput
from crossnorm.models.compact_transformers import build
from crossnorm.models.presets import configure
from crossnorm.rng import address


@pytest.fixture(params=["mnist1d", "digits", "folder"])
def task(request, shared_cache, class_folders) -> Task:
    data = class_folders({"ape": 13, "cat": 11}) if request.param == "folder" else None
    return load_task(request.param, data=data, cache=shared_cache)


def test_contract(task):
    assert task.kind == ("sequence" if task.name == "mnist1d" else "image")
    for split in (task.train, task.test):
        shape = (len(split), task.n_channels, *task.image_size)
        assert split.inputs.shape == shape
        assert split.inputs.dtype == (torch.float32 if task.kind == "sequence" else torch.uint8)
        assert split.targets.dtype == torch.int64
        assert split.targets.unique().tolist() == list(range(task.n_classes))
        assert not split.inputs.is_cuda
    assert len(task.classes) == task.n_classes
    assert len(task.mean) == len(task.std) == task.n_channels
    assert len(task.digest) == 64
    assert task.model["img_size"] == task.image_size
    assert task.model["num_classes"] == task.n_classes
    assert task.model["n_input_channels"] == task.n_channels


def test_prepared_training_inputs_are_standardized(task):
    ready = prepare(task.train.inputs, task)
    assert ready.dtype == torch.float32
    assert ready.shape == task.train.inputs.shape
    assert ready.double().mean((0, 2, 3)).abs().max() < 1e-5
    assert (ready.double().std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_batches_are_every_full_batch_of_the_epochs_order(task):
    size = len(task.train) // 3 - 1  # the last rows of the order are no batch
    order = torch.randperm(len(task.train), generator=torch.Generator().manual_seed(address(5, "order", 2)))
    batches = list(task.train_batches(2, seed=5, batch_size=size))
    assert len(batches) == 3
    for number, (inputs, targets) in enumerate(batches):
        rows = order[number * size : (number + 1) * size]
        assert torch.equal(targets, task.train.targets[rows])
        assert torch.equal(inputs, prepare(task.train.inputs[rows], task))
    inputs, targets = (torch.cat(part) for part in zip(*task.test_batches(), strict=True))
    assert torch.equal(targets, task.test.targets)
    assert torch.equal(inputs, prepare(task.test.inputs, task))


def test_batches_are_augmented_on_request(class_folders):
    task = load_task("folder", data=class_folders({"ape": 13, "cat": 11}))
    plain, moved = (next(task.train_batches(0, seed=1, batch_size=8, augmentation=a)) for a in ("none", "crop-flip"))
    assert torch.equal(plain[1], moved[1])
    assert not torch.equal(plain[0], moved[0])
    with pytest.raises(BadInput, match="augmentation: expected one of autoaugment"):
        next(task.train_batches(0, seed=1, batch_size=8, augmentation="crop"))


def test_the_example_of_load_task_runs():
    example = doctest.DocTestFinder().find(crossnorm.load_task, "load_task", globs={})
    results = [doctest.DocTestRunner().run(each) for each in example]
    assert sum(found.attempted for found in results) > 5
    assert sum(found.failed for found in results) == 0


def test_prepare_is_the_formula_per_channel(class_folders):
    task = load_task("folder", data=class_folders())
    got = prepare(task.test.inputs, task)
    for c in range(3):
        expected = (task.test.inputs[:, c].double() / 255 - task.mean[c]) / task.std[c]
        assert (got[:, c] - expected).abs().max() < 1e-5


def test_mnist1d_default_model(shared_cache):
    assert load_task("mnist1d", cache=shared_cache).model == {
        "name": "cct_2_3x2_32",
        "img_size": (1, 40),
        "n_input_channels": 1,
        "num_classes": 10,
        "n_conv_layers": 1,
        "embedding_dim": 64,
    }


@pytest.mark.parametrize(("side", "layers"), [(8, 1), (28, 2), (32, 2), (64, 3), (224, 5), (5, 1)])
def test_the_tokenizer_of_own_images_leaves_about_8_x_8_tokens(side, layers):
    model = default_model(find_task("folder"), (3, side - 1, side), 7)
    assert model["n_conv_layers"] == layers
    assert model["img_size"] == (side - 1, side)


def test_subsets_are_balanced_nested_fixed_and_share_the_pages(task, shared_cache, class_folders):
    data = None if task.name != "folder" else class_folders({"ape": 13, "cat": 11}, name="again")
    n = 7 if task.name == "folder" else 103
    few = load_task(task.name, data=data, cache=shared_cache, train_examples=n)
    again = load_task(task.name, data=data, cache=shared_cache, train_examples=n)
    assert len(few.train) == n
    assert torch.equal(few.train.inputs, task.train.inputs[:n])
    assert torch.equal(few.train.targets, task.train.targets[:n])
    counts = few.train.targets.bincount(minlength=task.n_classes)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(few.test.inputs, task.test.inputs)
    assert (few.mean, few.std) == (task.mean, task.std)
    assert few.digest == again.digest != task.digest


def test_all_examples_asked_for_by_number_are_the_task_itself(shared_cache):
    whole = load_task("digits", cache=shared_cache)
    assert load_task("digits", cache=shared_cache, train_examples=len(whole.train)).digest == whole.digest


def test_the_training_set_is_a_permutation_of_the_source(shared_cache):
    source = sources.digits()
    task = load_task("digits", cache=shared_cache)

    def rows(inputs: np.ndarray, targets: np.ndarray) -> list:
        return sorted(zip(map(bytes, np.asarray(inputs)), np.asarray(targets).tolist(), strict=True))

    assert rows(task.train.inputs, task.train.targets) == rows(source.train_inputs, source.train_targets)
    assert np.array_equal(task.test.inputs, source.test_inputs)


def test_the_digest_notices_changed_data(class_folders):
    root = class_folders()
    before = load_task("folder", data=root).digest
    assert load_task("folder", data=root).digest == before
    image = root / "test/cat/0.png"
    image.write_bytes((root / "test/ape/0.png").read_bytes())
    assert load_task("folder", data=root).digest != before


def test_folder_and_zip_of_the_same_images_have_one_digest(class_folders, zipped):
    root = class_folders()
    assert load_task("folder", data=root).digest == load_task("folder", data=str(zipped(root, "top/"))).digest


def cifar(class_folders, **changed: object) -> Path:
    counts = {f"class{i}": 1 for i in range(10)}
    return class_folders(counts, counts, **{"size": (32, 32), **changed})


def test_a_known_task_from_class_folders(class_folders):
    task = load_task("cifar10", data=cifar(class_folders))
    assert task.image_size == (32, 32)
    assert task.mean == (0.4914, 0.4822, 0.4465)
    assert task.std == (0.2470, 0.2435, 0.2616)
    assert task.model == {
        "name": "cct_2_3x2_32",
        "img_size": (32, 32),
        "n_input_channels": 3,
        "num_classes": 10,
    }


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        ("cifar10", {"size": (32, 31)}, r"10 classes of .* = \(3, 32, 31\)"),
        ("cifar10", {"channels": 1}, r"10 classes of .* = \(1, 32, 32\)"),
        ("cifar100", {}, r"10 classes of .* = \(3, 32, 32\)"),
    ],
)
def test_files_that_cannot_be_the_named_task(class_folders, name, changed, found):
    with pytest.raises(BadInput, match=rf"for {name}, got {found}\. Use the task 'folder' for"):
        load_task(name, data=cifar(class_folders, **changed))


def test_a_download_is_asked_for_once(monkeypatch, tmp_path):
    calls: list[str] = []

    def arrive(name: str, dataset: str, scratch: Path) -> object:
        calls.append(dataset)
        assert list(scratch.iterdir()) == []
        (scratch / "archive").write_bytes(b"raw")
        return sources.digits()

    monkeypatch.setattr(sources, "torchvision_dataset", arrive)
    first, second = load_task("mnist"), load_task("mnist")
    assert calls == ["MNIST"]
    assert first.digest == second.digest
    assert not list(tmp_path.rglob("archive"))


@pytest.mark.parametrize("count", [0, -3, 1443, 2.0, True, "10"])
def test_train_examples_out_of_range(shared_cache, count):
    with pytest.raises(BadInput, match="train_examples: expected a whole number from 1 to 1442"):
        load_task("digits", cache=shared_cache, train_examples=count)


def test_names_and_paths_that_make_no_sense(tmp_path, shared_cache):
    with pytest.raises(BadInput, match=r"task: expected one of .* Did you mean 'cifar10'"):
        load_task("cifar-10")
    with pytest.raises(BadInput, match=r"data: not supported for task mnist1d"):
        load_task("mnist1d", data=tmp_path, cache=shared_cache)
    with pytest.raises(BadInput, match=r"data: expected a folder or zip file .*, got none"):
        load_task("folder")
    with pytest.raises(BadInput, match="no such file or folder"):
        load_task("cifar10", data=tmp_path / "absent")


def test_an_unwritable_cache_is_told_in_the_notes(class_folders, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = load_task("folder", data=class_folders(), cache=tmp_path / "file")
    assert f"{tmp_path / 'file'} is not writable" in task.notes
    assert "images" in task.notes


def test_listing_tasks_imports_nothing_heavy():
    code = (
        "import sys; from crossnorm.data import list_tasks; tasks = list_tasks();"
        "heavy = {'torch', 'numpy', 'torchvision', 'sklearn', 'PIL', 'mnist1d'} & set(sys.modules);"
        "assert not heavy, heavy; print(*tasks)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == list(list_tasks())


def test_every_task_has_one_line():
    for name, task in list_tasks().items():
        assert task.description
        assert "\n" not in task.description
        assert find_task(name) is task


KNOWN_TOKENS = {name: task for name, task in list_tasks().items() if task.tokens is not None}


@pytest.mark.parametrize("name", KNOWN_TOKENS)
def test_the_listed_tokens_are_those_of_the_default_model(name):
    task = KNOWN_TOKENS[name]
    if task.text is not None:
        settings = {**task.model, "num_classes": 2, "vocab_size": 11, "seq_len": task.text.seq_len}
    elif task.kind == "language":
        settings = {**task.model, "vocab_size": 11, "seq_len": task.seq_len}
    else:
        settings = default_model(task, task.shape, 2)
    with torch.device("meta"):
        model = build(configure(task.model_name, {k: v for k, v in settings.items() if k != "name"}))
    assert model.classifier.tokens == task.tokens


def test_the_package_has_no_other_names():
    import crossnorm.data

    with pytest.raises(AttributeError, match="no attribute 'load_tasks'"):
        _ = crossnorm.data.load_tasks
