"""Logits, loss and test scores, for classification and for language modeling.

Axes: b batch, n tokens, c classes (for language, the vocabulary).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.data.text.vocabulary import PADDING
from crossnorm.models import TextTransformer

__all__ = ["logits_of", "loss_of", "scores_of"]


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (b, c), or (b, n, c) of a language model; text models also get the mask of real words.

    Args:
        model: May be wrapped, for example in `DistributedDataParallel`.
        inputs: From `crossnorm.data.prepare`.
    """
    if isinstance(getattr(model, "module", model), TextTransformer):
        return model(inputs, inputs != PADDING)  # type: ignore[no-any-return]
    return model(inputs)  # type: ignore[no-any-return]


def loss_of(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats over classes or next tokens.

    Args:
        logits: (b, c) or (b, n, c).
        targets: Class or token ids (b,) or (b, n), or class probabilities (b, c).
        label_smoothing: As in `torch.nn.functional.cross_entropy`.
        reduction: "mean" or "sum", over examples or tokens.
    """
    if logits.ndim == 3:
        logits, targets = logits.flatten(0, 1), targets.flatten()
    return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing, reduction=reduction)


def scores_of(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy, and the number of correct predictions."""
    return loss_of(logits, targets, reduction="sum"), (logits.argmax(-1) == targets).sum()
