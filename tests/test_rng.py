"""Draws are a function of their address."""

from __future__ import annotations

import hashlib

import torch

from crossnorm.rng import address, addressed, generator


def test_address_is_the_hash_of_its_parts():
    digest = hashlib.blake2b(b"3\x00dropout\x007", digest_size=8).digest()
    assert address(3, "dropout", 7) == int.from_bytes(digest, "little") // 2


def test_every_part_of_the_address_matters():
    keys = {address(s, stream, step) for s in range(7) for stream in ("a", "b", "ab") for step in range(11)}
    assert len(keys) == 7 * 3 * 11
    assert address(1, "a", 11) != address(11, "a", 1)


def test_same_address_same_draw():
    one = torch.rand(13, generator=generator(5, "order", 2))
    other = torch.rand(13, generator=generator(5, "order", 2))
    assert torch.equal(one, other)


def test_global_generator_stands_at_the_address_inside_and_is_restored_after():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with addressed(5, "init"):
        inside = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(3, generator=generator(5, "init")))


def test_an_accelerator_is_seeded_too(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch, "manual_seed", seeded.append)
    with addressed(5, "init", 3):
        assert seeded == [address(5, "init", 3)]
