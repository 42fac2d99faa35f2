"""Choose the device and the precision of a run. Tested on x86 processors and on CUDA; MPS is untested."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from crossnorm.errors import BadInput
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["autocast", "describe_device", "pick_device", "precision", "with_threads"]


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of a name; "auto" is CUDA if available, else MPS, else the CPU.

    Raises:
        BadInput: Unknown name, or a device that is not available.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if available[d]))
    if not available.get(name, False):
        names = ", ".join(d for d in available if available[d])
        raise BadInput("device", f"auto or a device of this machine ({names})", repr(name))
    return torch.device(name)


def describe_device(device: torch.device) -> dict[str, Any]:
    """What the bits of a run depend on beside its settings: device, version of torch, number of threads."""
    return {"device": str(device), "torch": torch.__version__, "threads": torch.get_num_threads()}


@contextmanager
def with_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads inside a ``with`` block; None: with as many as now."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The dtype of matrix products: bfloat16 for "bf16", or "auto" on a device with native support; else float32."""
    wanted = recipe.precision == "bf16" or (recipe.precision == "auto" and _native_bf16(device.type))
    return torch.bfloat16 if wanted else torch.float32


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The autocast context of a step, enabled if its `precision` is bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision(recipe, device) is torch.bfloat16)


@functools.cache
def _native_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
