"""A checkpoint is whole or refused."""

from __future__ import annotations

import pytest

from crossnorm.errors import BadInput
from crossnorm.training.checkpoint.checkpoints import load_checkpoint, save_checkpoint
from crossnorm.training.checkpoint.file_format import read_state
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
