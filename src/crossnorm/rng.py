"""Random numbers addressed by (seed, stream, step).

A draw depends on its address only. A run therefore has the same bits alone, in a cohort, after a resume and under any
executor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["address", "addressed", "generator"]


def address(seed: int, stream: str, step: int = 0) -> int:
    """The 63-bit key of a draw: a hash of (seed, stream, step).

    Args:
        seed: Of the run; paired runs share it.
        stream: Purpose of the draw: ``"init"``, ``"order"``, ``"augment"``, ``"dropout"`` …
        step: Training step, epoch or another counter.
    """
    digest = hashlib.blake2b(f"{seed}\0{stream}\0{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, step: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
    """A new torch generator, seeded with the address."""
    return torch.Generator(device=device).manual_seed(address(seed, stream, step))


@contextmanager
def addressed(seed: int, stream: str, step: int = 0) -> Iterator[None]:
    """Context in which torch's global generators are seeded with the address; their state is restored afterwards.

    For draws that accept no generator: layer initializers, dropout inside a model. Covers the CPU and, where
    present, the current CUDA or MPS device.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        _seed_all(address(seed, stream, step))
        yield


def _seed_all(key: int) -> None:
    """Like ``torch.manual_seed``, which without an accelerator records stack traces and takes 1 ms."""
    seed = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seed(key)
