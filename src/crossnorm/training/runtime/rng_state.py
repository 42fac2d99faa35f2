"""Seed, save and restore the global random generators of Python, numpy and torch.

For users' training functions; crossnorm's own random numbers are addressed (``crossnorm.rng``).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from crossnorm.rng import address

__all__ = ["generators_now", "seed_generators", "set_generators"]


def seed_generators(seed: int) -> None:
    """Seed Python, numpy and torch, each from its own stream of the seed."""
    random.seed(address(seed, "python"))
    np.random.seed(address(seed, "numpy") % 2**32)
    torch.manual_seed(address(seed, "torch"))


def generators_now() -> dict[str, Any]:
    """The states of the generators, including the current CUDA device once CUDA is in use."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(legacy=True), "torch": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_generators(state: dict[str, Any]) -> None:
    """Restore the states returned by `generators_now`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
