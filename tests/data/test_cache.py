from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch

from crossnorm.data import cache as module
from crossnorm.data.arrays import Arrays, array_digest, moments
from crossnorm.data.cache import cache_folder, cache_key, stored
from crossnorm.errors import BadInput
from tests.data.data_images import arrays, race


def never(scratch: Path) -> Arrays:
    raise AssertionError("the entry was there")


def test_what_is_stored_comes_back_and_is_built_once(tmp_path):
    first = stored("a", lambda scratch: arrays(), tmp_path)
    again = stored("a", never, tmp_path)
    for entry in (first, again):
        for field in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
            assert np.array_equal(getattr(entry.arrays, field), getattr(arrays(), field))
            assert entry.digests[field] == array_digest(getattr(arrays(), field))
        assert entry.arrays.classes == ("ape", "cat")
        assert entry.root == tmp_path
    assert [path.name for path in tmp_path.iterdir()] == ["a"]  # nothing half-made is left


def test_moments_are_those_of_the_training_inputs():
    inputs = arrays().train_inputs
    mean, std = moments(inputs)
    scaled = inputs.astype(np.float64) / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3)).tolist(), rel=1e-12)
    sequences = np.random.default_rng(1).normal(3, 2, (601, 1, 1, 13)).astype(np.float32)
    mean, std = moments(sequences)
    assert (mean[0], std[0]) == pytest.approx((sequences.astype(float).mean(), sequences.astype(float).std()))
    assert moments(np.full((3, 1, 2, 2), 51, np.uint8)) == (pytest.approx((0.2,)), (1.0,))


def test_arrays_are_mapped_and_writing_to_them_stays_private(tmp_path):
    entry = stored("a", lambda scratch: arrays(), tmp_path)
    assert isinstance(entry.arrays.train_inputs, np.memmap)
    tensor = torch.from_numpy(entry.arrays.train_inputs)  # torch warns of arrays that cannot be written to
    assert tensor.data_ptr() == entry.arrays.train_inputs.ctypes.data
    tensor.zero_()
    assert np.array_equal(stored("a", never, tmp_path).arrays.train_inputs, arrays().train_inputs)


def test_a_failing_build_leaves_nothing(tmp_path):
    def fail(scratch: Path) -> Arrays:
        (scratch / "download").write_text("half")
        raise BadInput("x", "y", "z")

    with pytest.raises(BadInput, match="x: expected y"):
        stored("a", fail, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["truncated", "missing", "{", "[]", "null", '{"classes": null}'])
def test_a_damaged_entry_is_built_again(tmp_path, damage):
    stored("a", lambda scratch: arrays(), tmp_path)
    file = tmp_path / "a" / "train_inputs.npy"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "missing":
        file.unlink()
    else:
        (tmp_path / "a" / "meta.json").write_text(damage)
    entry = stored("a", lambda scratch: arrays(), tmp_path)
    assert np.array_equal(entry.arrays.train_inputs, arrays().train_inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_another_process_that_was_first_wins(tmp_path):
    def slow(scratch: Path) -> Arrays:
        stored("a", lambda scratch: arrays(), tmp_path)  # someone else, meanwhile
        return arrays()

    entry = stored("a", slow, tmp_path)
    assert np.array_equal(entry.arrays.test_inputs, arrays().test_inputs)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_processes_at_once_read_the_same(tmp_path):
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(3), context.Queue()
    workers = [context.Process(target=race, args=(str(tmp_path), gate, results)) for _ in range(3)]
    [worker.start() for worker in workers]
    digests = [results.get(timeout=60) for _ in workers]
    [worker.join() for worker in workers]
    assert set(digests) == {array_digest(arrays().train_inputs)}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "system"))
    entry = stored("a", lambda scratch: arrays(), tmp_path / "file")
    assert (tmp_path / "system") in entry.root.parents
    assert stored("a", never, tmp_path / "file").root == entry.root
    (tmp_path / "system2").write_text("in the way, too")
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "system2"))
    with pytest.raises(BadInput, match=r"file: not writable .* Set CROSSNORM_CACHE"):
        stored("a", lambda scratch: arrays(), tmp_path / "file")


def test_a_full_disk_is_one_message(tmp_path, monkeypatch):
    def full(path: Path, array: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(BadInput, match=r"cannot write the arrays .*No space left"):
        stored("a", lambda scratch: arrays(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_argument_the_variable_or_the_platforms(monkeypatch, tmp_path):
    monkeypatch.setenv("CROSSNORM_CACHE", str(tmp_path / "variable"))
    assert cache_folder(tmp_path / "argument") == tmp_path / "argument"
    assert cache_folder() == tmp_path / "variable"
    monkeypatch.delenv("CROSSNORM_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("crossnorm", appauthor=False))


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders")
def test_on_linux_the_folder_is_that_of_version_0_1(monkeypatch, tmp_path):
    monkeypatch.delenv("CROSSNORM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "crossnorm"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "crossnorm"


def test_the_key_follows_the_identity(monkeypatch):
    key = cache_key("digits", {"a": 1})
    assert key.startswith("digits-")
    assert key == cache_key("digits", {"a": 1})
    assert key != cache_key("digits", {"a": 2})
    monkeypatch.setattr(module, "_FORMAT", 0)
    assert key != cache_key("digits", {"a": 1})


def test_a_cache_that_another_user_could_have_made_is_not_read(tmp_path, monkeypatch):
    from crossnorm.data import cache

    monkeypatch.setattr(cache.tempfile, "gettempdir", lambda: str(tmp_path))
    (root,) = cache._temporary_root()
    root.mkdir(mode=0o700)
    assert cache._temporary_root() == [root]
    root.chmod(0o777)
    assert cache._temporary_root() == []
    root.chmod(0o700)
    monkeypatch.setattr(cache.os, "getuid", lambda: int(root.name.rpartition("-")[2]) + 1)
    root.rename(root.with_name(f"crossnorm-{cache.os.getuid()}"))
    assert cache._temporary_root() == []
    (tmp_path / "elsewhere").mkdir()
    root.with_name(f"crossnorm-{cache.os.getuid()}").rmdir()
    root.with_name(f"crossnorm-{cache.os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert cache._temporary_root() == []
