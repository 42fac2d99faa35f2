"""Language modelling: streams, windows, splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossnorm.data import load_task, prepare
from crossnorm.data.text.token_streams import windows
from crossnorm.errors import BadInput

TEXT = "".join("abcdé\n"[k] for k in np.random.default_rng(7).integers(0, 6, 2593))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT + "z", encoding="utf-8")  # the last character is in the test part alone
    return path


def test_windows_hold_the_next_tokens_and_copy_nothing():
    stream = np.arange(100, 117, dtype=np.uint8)
    split = windows(stream, 5)
    assert split.inputs.tolist() == [[100 + 5 * i + j for j in range(5)] for i in range(3)]
    assert torch.equal(split.targets, split.inputs + 1)
    assert split.inputs.untyped_storage().data_ptr() == split.targets.untyped_storage().data_ptr()
    assert len(windows(stream[:16], 5)) == 3
    assert len(windows(stream[:15], 5)) == 2


def test_characters(file):
    task = load_task("shakespeare", data=file)
    text = TEXT + "z"
    cut = len(text) - len(text) // 10
    assert task.vocabulary == ("<unk>", "\n", "a", "b", "c", "d", "é")
    assert (task.kind, task.n_classes, task.image_size) == ("language", 7, (1, 128))
    for split, part in ((task.train, text[:cut]), (task.test, text[cut:])):
        assert len(split) == (len(part) - 1) // 128
        flat = "".join(task.vocabulary[k] for k in split.inputs.flatten().tolist())
        assert flat == part[: len(flat)]
        assert torch.equal(split.inputs[:, 1:], split.targets[:, :-1])
    assert prepare(task.test.inputs, task).dtype == torch.int64
    assert task.model == {"name": "gpt_2", "vocab_size": 7, "seq_len": 128}


def test_a_character_of_the_test_part_alone_is_unknown(tmp_path):
    path = tmp_path / "t"
    path.write_text("ab" * 1161 + "ŷ" * 258, encoding="utf-8")
    task = load_task("shakespeare", data=path)
    assert task.vocabulary == ("<unk>", "a", "b")
    assert set(task.test.inputs.flatten().tolist()) == {0}


def test_bytes_are_their_own_ids(file):
    task = load_task("bytes", data=file)
    raw = file.read_bytes()
    assert task.train.inputs[3].tolist() == list(raw[3 * 128 : 4 * 128])
    assert len(task.vocabulary) == 256


def test_fewer_windows_are_the_first_ones(file):
    whole = load_task("shakespeare", data=file)
    few = load_task("shakespeare", data=file, train_examples=7)
    assert torch.equal(few.train.inputs, whole.train.inputs[:7])
    assert few.digest != whole.digest == load_task("shakespeare", data=file, train_examples=len(whole.train)).digest
    assert load_task("shakespeare", data=file, train_examples=len(whole.train) - 1).digest != whole.digest


def test_errors(tmp_path, file):
    with pytest.raises(BadInput, match=r"data: required: a file whose characters the task text8 predicts"):
        load_task("text8")
    with pytest.raises(BadInput, match="absent: no such file"):
        load_task("shakespeare", data=tmp_path / "absent")
    with pytest.raises(BadInput, match="expected a file, got a folder"):
        load_task("bytes", data=tmp_path)
    (tmp_path / "short").write_text("abc")
    with pytest.raises(BadInput, match=r"expected at least 2570 tokens: ten windows of 256, got 3"):
        load_task("text8", data=tmp_path / "short")
    (tmp_path / "raw").write_bytes(b"\xff" * 5000)
    with pytest.raises(BadInput, match="expected a text file in UTF-8"):
        load_task("shakespeare", data=tmp_path / "raw")


def test_more_characters_than_a_model_can_predict(tmp_path):
    (tmp_path / "many").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 12_000))), encoding="utf-8")
    with pytest.raises(BadInput, match="expected at most 10000 different characters, got 10800"):
        load_task("text8", data=tmp_path / "many")
