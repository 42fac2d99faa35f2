"""Which device and which number format a run uses on this machine.

Measured on x86 processors and, for CUDA, on one H200; the rules for MPS follow its documentation and are not measured.
Knows nothing of models.
"""

from __future__ import annotations

import functools

import torch

from crossnorm.errors import BadInput
from crossnorm.training.recipe.recipes import Recipe

__all__ = ["autocast", "pick_device", "precision"]


def pick_device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" prefers CUDA, then MPS, then the CPU.

    Raises:
        BadInput: An unknown name, or a device that this machine has not.
    """
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if have[d]))
    if not have.get(name, False):
        present = ", ".join(d for d in have if have[d])
        raise BadInput("--device", f"auto or a device of this machine ({present})", repr(name))
    return torch.device(name)


def precision(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The type of a step's matrix products: bf16 if the recipe or, for "auto", the device asks for it, else float32."""
    wanted = recipe.precision == "bf16" or (recipe.precision == "auto" and _native_bf16(device.type))
    return torch.bfloat16 if wanted else torch.float32


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The autocast context of a step, on where its `precision` is bf16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision(recipe, device) is torch.bfloat16)


@functools.cache
def _native_bf16(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False
