"""Dropout of attention weights, faster than torch's on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["drop"]


def drop(weights: Tensor, probability: float) -> Tensor:
    """Zero each entry with `probability` p and scale the others by 1 / (1 - p), drawn from torch's global generator.

    On a CPU one random 64-bit word decides four entries, so p is rounded to a multiple of 2⁻¹⁶. This takes a quarter of
    the time of torch's dropout in bfloat16, and drops the same entries in every floating type and with any number of
    threads. On other devices this is torch's dropout.

    Args:
        weights: Any shape, any floating type.
        probability: 0 to 1.
    """
    if weights.device.type != "cpu":
        return F.dropout(weights, probability)
    if probability == 1:
        return weights * 0.0
    share = min(round(probability * 2**16), 2**16 - 1)
    words = torch.empty((weights.numel() + 3) // 4, dtype=torch.int64, device=weights.device).random_(-(2**63), None)
    uniform = words.view(torch.int16)[: weights.numel()].view(weights.shape)
    # In place and as integers 0 and 1, because converting a boolean tensor is slow.
    kept = uniform.ge_(share - 2**15).to(weights.dtype)
    return weights * kept.mul_(1 / (1 - share / 2**16))
