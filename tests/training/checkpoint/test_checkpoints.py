"""A checkpoint is whole or refused."""

from __future__ import annotations

import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import State, read_state, write_state
from tests.training.training_cases import member


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    trained = member()
    trained.step, trained.seconds = 13, 1.5
    save_checkpoint(trained, path)
    return path


def test_progress_comes_back(saved):
    fresh = member(seed=1)
    load_checkpoint(fresh, read_state(saved), "checkpoint")
    assert (fresh.step, fresh.seconds) == (13, 1.5)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(BadInput, match="checkpoint"):
        read_state(saved)


def test_a_flipped_bit_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    data[-5] ^= 1
    saved.write_bytes(data)
    with pytest.raises(BadInput, match="the checkpoint is damaged"):
        read_state(saved)


def test_nothing_else_is_left_beside_it(saved):
    assert [p.name for p in saved.parent.iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize(
    ("about", "tensors"),
    [
        ({"step": None}, {}),
        ({"step": "13"}, {}),
        ({"step": -1}, {}),
        ({"step": True}, {}),
        ({"seconds": None}, {}),
        ({"seconds": "long"}, {}),
        ({"seconds": float("inf")}, {}),
        ({}, {"optimizer.x.y": torch.zeros(1)}),
        ({}, {"optimizer.99999.step": torch.zeros(1)}),
        ({}, {"optimizer.short": torch.zeros(1)}),
        ({}, {"model.more": torch.zeros(1)}),
    ],
)
def test_content_of_wrong_types_is_refused(saved, about, tensors):
    good = read_state(saved)
    write_state(saved, State({**good.about, **about}, {**good.tensors, **tensors}))
    with pytest.raises(BadInput, match="there: expected a checkpoint of this model"):
        load_checkpoint(member(seed=1), read_state(saved), "there")


def test_a_description_that_is_no_mapping(saved):
    write_state(saved, State([1], {}))
    with pytest.raises(BadInput, match="a readable checkpoint"):
        read_state(saved)


def test_equal_members_give_equal_bytes(tmp_path):
    contents = set()
    for number in range(8):  # the library orders the metadata at random
        path = tmp_path / f"{number}.safetensors"
        save_checkpoint(member(), path)
        contents.add(path.read_bytes())
    assert len(contents) == 1
