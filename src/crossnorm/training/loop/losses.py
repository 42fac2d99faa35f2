"""What is asked of a model: its logits on a batch, the loss, and what counts in a test.

One place for every kind of task: classes of images, sequences and texts, and the next token of a language. Knows
nothing of optimizers or of where batches come from.

Axes: b batch, n tokens, c classes (for language, the vocabulary).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.data.text.vocabulary import PADDING
from crossnorm.models import TextTransformer

__all__ = ["logits_of", "loss_of", "scores_of"]


def logits_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Logits (b, c), or (b, n, c) of a language model; a text model is told which words are real.

    Args:
        model: Of any task, wrapped for several processes or not.
        inputs: What `crossnorm.data.prepare` returns.
    """
    if isinstance(getattr(model, "module", model), TextTransformer):
        return model(inputs, inputs != PADDING)  # type: ignore[no-any-return]
    return model(inputs)  # type: ignore[no-any-return]


def loss_of(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """Cross-entropy in nats over classes or next tokens.

    Args:
        logits: (b, c) or (b, n, c).
        targets: (b,) or (b, n) class or token ids; (b, c) shares of the classes.
        label_smoothing: Share of the target spread over all classes.
        reduction: "mean" or "sum", over examples or tokens.
    """
    if logits.ndim == 3:
        logits, targets = logits.flatten(0, 1), targets.flatten()
    return F.cross_entropy(logits.float(), targets, label_smoothing=label_smoothing, reduction=reduction)


def scores_of(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy, and how many examples or tokens have their target on top."""
    return loss_of(logits, targets, reduction="sum"), (logits.argmax(-1) == targets).sum()
