"""Nested state survives a file; what cannot is named."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch

from crossnorm.errors import BadInput
from crossnorm.training.checkpoint.file_format import (
    State,
    previous_of,
    read_newest,
    read_state,
    remove_state,
    write_state,
)
from crossnorm.training.checkpoint.state_tree import flatten, restore
from crossnorm.training.runtime.rng_state import generators_now, seed_generators, set_generators


def there_and_back(tmp_path, value):
    shape, tensors = flatten(value)
    write_state(tmp_path / "s.safetensors", State({"content": shape}, tensors))
    state = read_state(tmp_path / "s.safetensors")
    return restore(state.about["content"], state.tensors)


def test_plain_values_come_back_as_they_are(tmp_path):
    value = {
        "a": [1, 2.5, None, True, "α", -0.0, math.inf, 10**30],
        3: (4, (), [], {}),
        None: {0.5: 1},
        "dict": {"tensor": "0"},
        "n": np.float64(2.5),
        "ordered": OrderedDict(b=1, a=2),
    }
    back = there_and_back(tmp_path, value)
    assert back == value
    assert [type(x) for x in back["a"]] == [type(x) for x in value["a"]]
    assert type(back[3]) is tuple
    assert list(back["ordered"]) == ["b", "a"]
    assert math.isnan(there_and_back(tmp_path, float("nan")))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).view(2, 3).T,
        torch.zeros(0, 5),
        torch.tensor(3.5),
        torch.randn(7).to(torch.bfloat16),
        torch.tensor([True, False]),
        torch.randn(3, dtype=torch.complex64),
        torch.nn.Parameter(torch.randn(2)),
        torch.arange(3, dtype=torch.uint8),
    ],
    ids=lambda t: f"{t.dtype}-{tuple(t.shape)}",
)
def test_tensors_come_back(tmp_path, tensor):
    back = there_and_back(tmp_path, {"t": tensor})["t"]
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor.detach())


def test_arrays_and_shared_memory_come_back(tmp_path):
    table = torch.randn(5, 3)
    back = there_and_back(tmp_path, {"tied": [table, table, table[1:]], "a": np.arange(6.0).reshape(3, 2).T})
    assert torch.equal(back["tied"][0], table)
    assert torch.equal(back["tied"][2], table[1:])
    assert isinstance(back["a"], np.ndarray)
    assert (back["a"] == np.arange(6.0).reshape(3, 2).T).all()


def test_an_optimizer_goes_on(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.5, 0.9))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    fresh = torch.optim.AdamW(torch.nn.Linear(3, 2).parameters())
    fresh.load_state_dict(there_and_back(tmp_path, optimizer.state_dict()))
    assert fresh.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    assert torch.equal(fresh.state_dict()["state"][0]["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {"b": object()}]}, "state['a'][1]['b']"),
        ({"f": lambda: 1}, "function"),
        ({1, 2}, "builtins.set"),
        (torch.ones(2, 2).to_sparse(), "layout torch.sparse_coo"),
        (np.array(["x"]), "an array of <U1"),
        ({(1, 2): 3}, "a key of state"),
        (torch.nn.Linear(1, 1), "Save its state_dict() instead"),
    ],
)
def test_what_cannot_be_stored_is_named(value, words):
    with pytest.raises(BadInput) as caught:
        flatten(value)
    assert words in str(caught.value)


def test_generators_go_on_where_they_stood(tmp_path):
    import random

    def draw():
        return random.random(), np.random.randn(), np.random.rand(), torch.rand(()).item()

    seed_generators(5)
    np.random.randn()  # leaves a second one cached
    kept = there_and_back(tmp_path, generators_now())
    expected = draw()
    seed_generators(6)
    assert draw() != expected
    set_generators(kept)
    assert draw() == expected
    seed_generators(5)
    np.random.randn()
    assert draw() == expected


def state(number):
    return State({"number": number}, {"t": torch.full((5,), float(number))})


def test_the_one_before_is_kept(tmp_path):
    path, notes = tmp_path / "c.safetensors", []
    for number in (1, 2, 3):
        write_state(path, state(number))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.previous.safetensors", "c.safetensors"]
    assert read_newest(path, notes.append).about == {"number": 3}
    path.rename(tmp_path / "moved")  # killed between the two renames
    assert read_newest(path, notes.append).about == {"number": 2}
    assert notes == []
    remove_state(path)
    assert read_newest(path, notes.append) is None


@pytest.mark.parametrize("where", range(0, 260, 13))
def test_every_damage_is_noticed_and_passed_over(tmp_path, where):
    path = tmp_path / "c.safetensors"
    write_state(path, state(1))
    write_state(path, state(2))
    whole = path.read_bytes()
    place = where * len(whole) // 260
    for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]):
        path.write_bytes(damaged)
        notes = []
        assert read_newest(path, notes.append).about == {"number": 1}
        assert ["continues from the previous checkpoint" in note for note in notes] == [True]
    previous_of(path).write_bytes(whole[:9])
    notes = []
    assert read_newest(path, notes.append) is None
    assert "starts from the beginning" in notes[1]
