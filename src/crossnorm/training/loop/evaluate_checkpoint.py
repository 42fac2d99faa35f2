"""Evaluate one model in detail: loss, top-1 and top-5 accuracy, and the confusion matrix of classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.data import Task
from crossnorm.data.batches import test_batches
from crossnorm.errors import BadInput
from crossnorm.training.loop.losses import logits_of

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Results of a model on a test set.

    Attributes:
        examples: Size of the test set; for language the number of predicted tokens.
        loss: Mean cross-entropy in nats.
        top1: Accuracy, 0 to 1.
        top5: Top-5 accuracy, 0 to 1; None with fewer than six classes.
        classes: Names by index.
        confusion: Counts by true class (row) and predicted class (column); None for language.
    """

    examples: int
    loss: float
    top1: float
    top5: float | None
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] | None


@torch.inference_mode()
def assess(model: nn.Module, task: Task, device: torch.device) -> Assessment:
    """Evaluate a model in float32. The model is left in evaluation mode.

    Raises:
        BadInput: The model does not support the inputs of the task, or has another number of classes.
    """
    model = model.to(device).eval()
    n = task.n_classes
    loss = torch.zeros((), dtype=torch.float64)
    hits = torch.zeros((), dtype=torch.int64)
    confusion = torch.zeros(n, n, dtype=torch.int64)
    for inputs, targets in test_batches(task, device):
        logits, targets = _logits(model, inputs, task).flatten(0, -2), targets.flatten()  # language: (b, n, c), (b, n)
        loss += F.cross_entropy(logits, targets, reduction="sum").cpu().double()
        ranked = logits.topk(min(5, n)).indices
        hits += (ranked == targets[:, None]).any(1).sum().cpu()
        confusion += _confusion(targets, ranked[:, 0], n)
    examples = task.test.targets.numel()
    return Assessment(
        examples=examples,
        loss=float(loss) / examples,
        top1=int(confusion.diagonal().sum()) / examples,
        top5=int(hits) / examples if n > 5 else None,
        classes=task.classes,
        confusion=None if task.kind == "language" else tuple(map(tuple, confusion.tolist())),
    )


def _confusion(targets: Tensor, predictions: Tensor, n: int) -> Tensor:
    return torch.bincount((targets * n + predictions).cpu(), minlength=n * n).view(n, n)


def _logits(model: nn.Module, inputs: Tensor, task: Task) -> Tensor:
    try:
        logits: Tensor = logits_of(model, inputs).float()
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        hint = "The checkpoint may be of a model for another task."
        raise BadInput.because(f"task {task.name}", f"the model does not support its inputs ({reason})", hint) from None
    if logits.shape[-1] != task.n_classes:
        raise BadInput(f"task {task.name}", f"{logits.shape[-1]} classes, as in the checkpoint", task.n_classes)
    return logits
