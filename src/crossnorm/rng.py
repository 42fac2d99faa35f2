"""Random draws addressed by (seed, stream, step), never advanced.

A draw depends on nothing but its address, so a run has the same bits alone, beside others, after a resume
and under any executor. Knows nothing of what is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["address", "addressed", "generator"]


def address(seed: int, stream: str, step: int = 0) -> int:
    """The 63-bit key of one draw: a hash of (seed, stream, step).

    Args:
        seed: The run's seed, shared by every arm of a pair.
        stream: What is drawn: ``"init"``, ``"order"``, ``"augment"``, ``"dropout"`` …
        step: The training step, epoch or other counter of the draw.
    """
    digest = hashlib.blake2b(f"{seed}\0{stream}\0{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, step: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
    """A fresh torch generator that stands at the address."""
    return torch.Generator(device=device).manual_seed(address(seed, stream, step))


@contextmanager
def addressed(seed: int, stream: str, step: int = 0) -> Iterator[None]:
    """Inside the block torch's global generators stand at the address; afterwards as before.

    For draws that accept no generator: layer initialisers, dropout inside a model. Covers the CPU and, where
    present, the current CUDA or MPS device.
    """
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        _seed_all(address(seed, stream, step))
        yield


def _seed_all(key: int) -> None:
    """``torch.manual_seed``, which without an accelerator notes a stack trace for each one that it looked for: 1 ms."""
    seed = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
    seed(key)
