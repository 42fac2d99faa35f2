"""One model on one test set in detail: loss, top-1, top-5 and who is taken for whom.

Knows nothing of files and figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crossnorm.data import Task
from crossnorm.errors import BadInput
from crossnorm.training.loop.batches import test_batches
from crossnorm.training.loop.losses import logits_of

__all__ = ["Assessment", "assess"]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """A model on a test set.

    Attributes:
        examples: Size of the test set.
        loss: Mean cross-entropy in nats.
        top1: Share of examples whose class has the largest logit.
        top5: Share of examples whose class is among the five largest; None with fewer than six classes.
        classes: Names by index.
        confusion: Counts; row: the true class, column: the class with the largest logit.
    """

    examples: int
    loss: float
    top1: float
    top5: float | None
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


@torch.inference_mode()
def assess(model: nn.Module, task: Task, device: torch.device) -> Assessment:
    """Evaluate a model in float32; it is left in evaluation mode.

    Raises:
        BadInput: The model does not take the task's inputs, or has another number of classes.
    """
    model = model.to(device).eval()
    n = task.n_classes
    loss = torch.zeros((), dtype=torch.float64)
    hits = torch.zeros((), dtype=torch.int64)
    confusion = torch.zeros(n, n, dtype=torch.int64)
    for inputs, targets in test_batches(task, device):
        logits = _logits(model, inputs, task)
        loss += F.cross_entropy(logits, targets, reduction="sum").cpu().double()
        ranked = logits.topk(min(5, n)).indices
        hits += (ranked == targets[:, None]).any(1).sum().cpu()
        confusion += _counts(targets, ranked[:, 0], n)
    examples = len(task.test)
    return Assessment(
        examples=examples,
        loss=float(loss) / examples,
        top1=int(confusion.diagonal().sum()) / examples,
        top5=int(hits) / examples if n > 5 else None,
        classes=task.classes,
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def _counts(targets: Tensor, guesses: Tensor, n: int) -> Tensor:
    return torch.bincount((targets * n + guesses).cpu(), minlength=n * n).view(n, n)


def _logits(model: nn.Module, inputs: Tensor, task: Task) -> Tensor:
    try:
        logits: Tensor = logits_of(model, inputs).float()
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        hint = "The checkpoint may be that of a model for another task."
        raise BadInput(f"task {task.name}", "inputs that the checkpoint's model takes", reason, hint) from None
    if logits.shape[-1] != task.n_classes:
        raise BadInput(f"task {task.name}", f"{logits.shape[-1]} classes, as the checkpoint has", task.n_classes)
    return logits
