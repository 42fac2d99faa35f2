"""Test metrics of the members of a cohort, in one pass over the test set."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from crossnorm.data import Task
from crossnorm.data.batches import test_batches
from crossnorm.training.loop.losses import logits_of, scores_of
from crossnorm.training.loop.run_state import Member
from crossnorm.training.runtime.devices import autocast

__all__ = ["evaluate"]


@torch.inference_mode()
def evaluate(members: Sequence[Member], task: Task, device: torch.device) -> list[dict[str, float]]:
    """`test_loss` (mean cross-entropy in nats, without label smoothing) and `test_accuracy` (0 to 1) of each member.

    Means are over examples, for language over tokens.
    """
    losses = [torch.zeros((), dtype=torch.float64) for _ in members]
    hits = [torch.zeros((), dtype=torch.int64) for _ in members]
    for member in members:
        member.evaluated_model.eval()
    for inputs, targets in test_batches(task, device):
        for i, member in enumerate(members):
            started = time.perf_counter()
            with autocast(member.recipe, device):
                logits = logits_of(member.evaluated_model, inputs)
            loss, correct = scores_of(logits.float(), targets)
            losses[i] += loss.cpu().double()
            hits[i] += correct.cpu()
            member.seconds += time.perf_counter() - started
    n = task.test.targets.numel()
    return [
        {"test_loss": float(loss) / n, "test_accuracy": float(hit) / n} for loss, hit in zip(losses, hits, strict=True)
    ]
