"""Tasks (data sets with their defaults) and whole-batch augmentation.

Names are resolved on first use, so that ``list_tasks`` does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossnorm._lazy import lazy

if TYPE_CHECKING:
    from crossnorm.data.batches import prepare as prepare
    from crossnorm.data.images.lazy_images import Photographs as Photographs
    from crossnorm.data.loading import load_task as load_task
    from crossnorm.data.task import Split as Split
    from crossnorm.data.task import Task as Task
    from crossnorm.data.task_registry import list_tasks as list_tasks

_HOME = {
    "Photographs": "crossnorm.data.images.lazy_images",
    "Split": "crossnorm.data.task",
    "Task": "crossnorm.data.task",
    "list_tasks": "crossnorm.data.task_registry",
    "load_task": "crossnorm.data.loading",
    "prepare": "crossnorm.data.batches",
}

__all__ = ["Photographs", "Split", "Task", "list_tasks", "load_task", "prepare"]


__getattr__ = lazy(__name__, _HOME)
