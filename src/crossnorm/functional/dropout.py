"""Dropout of attention weights.

Knows nothing of attention: it zeroes entries of a tensor and scales the others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["drop"]


def drop(weights: Tensor, probability: float) -> Tensor:
    """Zero each entry with `probability` p and scale the others by 1 / (1 - p), drawn from torch's global generator.

    On a CPU one 64-bit word decides four entries (p is a multiple of 2⁻¹⁶ then), which takes a quarter of the time of
    torch's dropout in bfloat16; which entries go is the same in every floating type and on any number of threads.
    Elsewhere this is torch's dropout.

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
    # 0 or 1 as whole numbers, written over what was drawn: a boolean would be converted one by one.
    kept = uniform.ge_(share - 2**15).to(weights.dtype)
    return weights * kept.mul_(1 / (1 - share / 2**16))
